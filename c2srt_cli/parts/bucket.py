"""A dataset of parts in a bucket: worked on in a folder that stands in for it, and put there part by part.

Buckets have neither locks nor renames. So a part is made in the stand-in, as in any folder, where a kill costs a
shard; when it is done it goes to the bucket, its manifest last. From then on the stand-in has its index and manifest
alone, and hollow files in place of the others: of their size, with nothing in them. What the bucket says counts: a run
begins by bringing the stand-in to it.
"""

import hashlib
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from c2srt_cli.artifacts import LOCK, MANIFEST, TEMPORARY, UNFINISHED, address, atomic_write, in_bucket, lock
from c2srt_cli.artifacts.buckets import Version, delete_object, list_objects, read_object, write_object
from c2srt_cli.artifacts.hollow import hollow, is_hollow
from c2srt_cli.backbone.names import home
from c2srt_cli.errors import C2srtError, InputError, UsageError
from c2srt_cli.parts.folder import PATIENCE, part_numbers, part_path
from c2srt_cli.parts.index import INDEX
from c2srt_cli.parts.problems import PROBLEMS

#: What is beside the parts; that which says what they are made with first.
_COMMON = (UNFINISHED, PROBLEMS, "text.safetensors", MANIFEST)
#: Results of a part that is worked on, which stay in the stand-in.
_JOURNAL = "journal"
_PART = re.compile(r"(part-[0-9]{5,9})/([A-Za-z0-9][A-Za-z0-9._-]*)")
_open: dict[Path, "Bucket"] = {}


@contextmanager
def folder_of(out: Path, share: tuple[int, int] | None = None) -> Iterator[Path]:
    """The folder to work in: ``out`` itself, or what stands in for it where that is in a bucket.

    Args:
        out: What the user names.
        share: Which of how many processes this is.

    Raises:
        InputError: something else is there, or it may not be read.
        ServiceError: the bucket cannot be reached.
        UsageError: another process of this machine is writing there.
    """
    if not in_bucket(out):
        yield out
        return
    name = re.sub(r"[^A-Za-z0-9._-]", "_", out.name)[:40]
    folder = home() / "buckets" / f"{name}-{hashlib.sha256(address(out).encode()).hexdigest()[:12]}"
    try:
        _open[folder] = bucket = Bucket(out, folder, share)
        with lock(folder / LOCK, wait=0 if share is None else PATIENCE):
            bucket.pull()
        yield folder
    except C2srtError as error:
        _tell_of(error, str(folder), address(out))
        raise
    finally:
        _open.pop(folder, None)


def _tell_of(error: C2srtError, folder: str, name: str) -> None:
    """Call the dataset what the user calls it, unless the disk here is what is wrong."""
    if "make room" in (error.hint or ""):
        return
    error.what = error.what.replace(folder, name)
    error.hint = error.hint and error.hint.replace(folder, name)
    error.where = error.where and error.where.replace(folder, name)
    error.problems = tuple(text.replace(folder, name) for text in error.problems)


def refuse_cluster(out: Path, cluster: str | None) -> None:
    """Refuse to have workers write parts that no machine but this one sees.

    Raises:
        UsageError: there is a cluster, and ``out`` is in a bucket.
    """
    if cluster is not None and in_bucket(out):
        what = "the workers of a cluster write into a folder that all see, not into a bucket"
        raise UsageError(what, where=f"--out {address(out)}", hint="name a folder, or use --shard")


def bucket_of(folder: Path) -> "Bucket | None":
    """The bucket that a folder stands in for; None where it is the dataset itself."""
    return _open.get(folder)


@dataclass(eq=False)
class Bucket:
    """A dataset of parts in a bucket.

    Attributes:
        out: Where it lies.
        folder: What stands in for it.
        share: Which of how many processes this is; the only one where None.
    """

    out: Path
    folder: Path
    share: tuple[int, int] | None = None
    _there: dict[str, Version] = field(default_factory=dict)
    _same: dict[str, tuple[int, int]] = field(default_factory=dict)

    def pull(self) -> None:
        """Bring the stand-in to what the bucket says, but for what it has of parts that are not done there.

        Raises:
            InputError: the bucket's folder is that of something else.
            ServiceError: it cannot be reached.
        """
        there = self._there = list_objects(self.out)
        if there and not {MANIFEST, UNFINISHED} & there.keys():
            what = (
                "is a file" if there.keys() == {""} else f"is not empty ({min(there)}, …) and holds nothing of c2srt's"
            )
            raise InputError(what, where=address(self.out), hint="name another --out")
        if INDEX in there:
            hint = "copy it into a folder, run the command there, and copy it back"
            raise InputError("holds embeddings of an earlier layout", where=address(self.out), hint=hint)
        for name in _COMMON:
            if name in there:
                self._fetch(name)
            elif there:
                (self.folder / name).unlink(missing_ok=True)
        parts: dict[str, set[str]] = {}
        for name in there:
            if (found := _PART.fullmatch(name)) is not None:
                parts.setdefault(found[1], set()).add(found[2])
        for number in part_numbers(self.folder):
            self._check_hollow(part_path(self.folder, number).name)
        for part, names in parts.items():
            if MANIFEST in names:
                self._take(part, names)
            elif INDEX in names and not (self.folder / part / MANIFEST).exists():
                self._fetch(f"{part}/{INDEX}")

    def push(self) -> None:
        """Bring the bucket to what the stand-in says, as far as it is done.

        Raises:
            ServiceError: it cannot be reached.
            UsageError: another process has written there since.
        """
        self._push_common()
        numbers = part_numbers(self.folder)
        gone = {name.partition("/")[0] for name in self._there if _PART.fullmatch(name)}
        for part in sorted(gone - {part_path(self.folder, number).name for number in numbers}):
            for name in sorted(self._of(part), key=lambda name: not name.endswith(f"/{MANIFEST}")):
                self._delete(name)
        for number in numbers:
            if not self._is_of_another(number):
                self.push_part(number)

    def push_part(self, number: int) -> None:
        """Put a part into the bucket, its manifest last, and hollow it here; of one that is not done its index alone.

        Raises:
            ServiceError: it cannot be reached.
            UsageError: another process has written this part since.
        """
        part = part_path(self.folder, number).name
        manifest = f"{part}/{MANIFEST}"
        names = {f"{part}/{path.name}" for path in (self.folder / part).iterdir() if self._belongs(path)}
        done = manifest in names
        wanted = names if done else names & {f"{part}/{INDEX}"}
        changed = sorted(name for name in wanted if self._is_new(name))
        gone = self._of(part) - names if done else self._of(part) & {manifest}
        if not changed and not gone:
            return
        self._check_alone(part)
        if manifest in self._there:
            self._delete(manifest)
        for name in changed:
            if name != manifest:
                self._put(name)
        for name in sorted(gone - {manifest}):
            self._delete(name)
        if done:
            self._put(manifest)
            for name in names - {manifest, f"{part}/{INDEX}"}:
                hollow(self.folder / name)
        self._there = {name: version for name, version in self._there.items() if not name.startswith(f"{part}/")}
        self._there |= self._listed(part)

    def _push_common(self) -> None:
        """What is beside the parts: never without what says what it was made with."""
        for name in _COMMON:
            if self._is_new(name):
                self._put(name)
        for name in reversed(_COMMON):
            if name in self._there and not (self.folder / name).exists():
                self._delete(name)

    def _is_of_another(self, number: int) -> bool:
        """Whether another process on this machine has done a part, and is about to push it."""
        mine, of = self.share or (0, 1)
        folder = part_path(self.folder, number)
        payload = (path for path in folder.iterdir() if self._belongs(path) and path.name not in (MANIFEST, INDEX))
        return number % of != mine and (folder / MANIFEST).exists() and not all(map(is_hollow, payload))

    def _belongs(self, path: Path) -> bool:
        return not path.name.startswith(".") and not path.name.endswith(TEMPORARY) and path.name != _JOURNAL

    def _of(self, part: str) -> set[str]:
        return {name for name in self._there if (found := _PART.fullmatch(name)) is not None and found[1] == part}

    def _listed(self, part: str) -> dict[str, Version]:
        there = {f"{part}/{name}": version for name, version in list_objects(self.out / part).items()}
        return {name: version for name, version in there.items() if _PART.fullmatch(name)}

    def _take(self, part: str, names: set[str]) -> None:
        """A part that is done there, whatever is here of it."""
        folder = self.folder / part
        folder.mkdir(exist_ok=True)
        before = {path.name for path in folder.iterdir() if self._belongs(path) or path.name == _JOURNAL}
        if before == names and self._same.get(f"{part}/{MANIFEST}") == _signature(folder / MANIFEST):
            return
        for name in (MANIFEST, *sorted(before - names - {MANIFEST})):
            (folder / name).unlink(missing_ok=True)
        for name in names - {MANIFEST, INDEX}:
            hollow(folder / name, self._there[f"{part}/{name}"][0])
        for name in (INDEX, MANIFEST):
            if name in names:
                self._fetch(f"{part}/{name}")

    def _check_hollow(self, part: str) -> None:
        """Give up what is here of a part whose payload is nowhere any more."""
        folder = self.folder / part
        for path in folder.iterdir():
            there = self._there.get(f"{part}/{path.name}")
            if self._belongs(path) and is_hollow(path) and (there is None or there[0] != path.stat().st_size):
                shutil.rmtree(folder)
                return

    def _fetch(self, name: str) -> None:
        path = self.folder / name
        try:
            data = read_object(self.out / name)
        except OSError as error:
            raise InputError(f"cannot be read ({error})", where=address(self.out / name), hint="try again") from error
        path.parent.mkdir(exist_ok=True)
        with atomic_write(path) as temporary:
            temporary.write_bytes(data)
        self._same[name] = _signature(path)

    def _is_new(self, name: str) -> bool:
        path = self.folder / name
        return path.exists() and not is_hollow(path) and self._same.get(name) != _signature(path)

    def _put(self, name: str) -> None:
        write_object(self.folder / name, self.out / name)
        self._same[name] = _signature(self.folder / name)
        self._there.setdefault(name, (-1, -1, -1))

    def _delete(self, name: str) -> None:
        delete_object(self.out / name)
        self._there.pop(name, None)
        self._same.pop(name, None)

    def _check_alone(self, part: str) -> None:
        """Notice a second process that no lock keeps away, on another machine."""
        if self._listed(part) != {name: self._there[name] for name in self._of(part)}:
            what = "another c2srt has written this part since this run began"
            hint = "let one run at a time, or share the parts out with --shard; then run it again"
            raise UsageError(what, where=address(self.out / part), hint=hint)


def _signature(path: Path) -> tuple[int, int]:
    stat = os.stat(path)  # noqa: PTH116
    return stat.st_size, stat.st_mtime_ns
