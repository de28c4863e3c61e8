"""The search for photographs below folders and by patterns."""

# Strings and os.scandir list 100,000 photographs in a second, where pathlib takes several.
# ruff: noqa: PTH112, PTH118, PTH119, PTH122

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from c2srt_cli.artifacts import in_bucket
from c2srt_cli.artifacts.records import relative_path
from c2srt_cli.errors import UsageError
from c2srt_cli.images.exclusion import Exclusion, LeftOut
from c2srt_cli.images.files import CHUNK, ImageFiles
from c2srt_cli.images.formats import OTHER_SUFFIXES, RAW_SUFFIXES, SUFFIXES, searched_suffixes

#: In no name that a system gives to a file below the folder, but for the odd one.
_ODD = re.compile(r"[^ -~]|[\\:]")


@dataclass(frozen=True, slots=True)
class FailedFile:
    """Something named or found that cannot be read: a reason code (see `errors.ImageError`) and one line of detail."""

    name: str
    reason: str
    detail: str


def printable(path: str) -> str:
    """A path as valid UTF-8; bytes that are not appear in hexadecimal."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


@dataclass(slots=True)
class Search:
    """What has been found so far below ``root``; ``matches`` counts repeated finds too.

    A photograph has one row however often it is found: under its own path where that is among them, else under that of
    the first link to it. Hard links are files of their own.
    """

    root: str
    exclusion: Exclusion
    problems: list[FailedFile] = field(default_factory=list)
    left_out: LeftOut = field(default_factory=LeftOut)
    matches: int = 0
    _names: list[str] = field(default_factory=list)
    _chunks: list[pa.LargeStringArray] = field(default_factory=list)
    _links: dict[str, int] = field(default_factory=dict)
    _targets: int = 0
    _failed: set[str] = field(default_factory=set)
    _passed_over: set[str] = field(default_factory=set)
    _suffixes: tuple[str, ...] = field(default_factory=searched_suffixes)
    _real_root: str = ""

    def __post_init__(self) -> None:
        real = self.root if in_bucket(Path(self.root)) else os.path.realpath(self.root)
        self._real_root = real.rstrip(os.sep) + os.sep

    @property
    def passed_over(self) -> frozenset[str]:
        """Paths of what has been left out."""
        return frozenset(self._passed_over)

    def files(self) -> ImageFiles:
        """In the order of their finds: the first under its own path, else that of the first link to it."""
        names = pa.concat_arrays([*self._chunks, pa.array(self._names, pa.large_string())])
        kept = np.ones(len(names), bool)
        if self._links:
            places = np.array(list(self._links.values()))
            own = [real.removeprefix(self._real_root).replace(os.sep, "/") for real in self._links]
            found = pc.is_in(pa.array(map(printable, own), pa.large_string()), value_set=names).to_numpy(False)
            kept[places[found]] = False
        if self._targets > 1:  # one search alone finds nothing twice
            first = pa.table({"name": names, "at": np.arange(len(names))}).group_by("name").aggregate([("at", "min")])
            once = np.zeros(len(names), bool)
            once[first["at_min"].to_numpy()] = True
            kept &= once
        return ImageFiles(Path(self.root), names if kept.all() else names.filter(pa.array(kept)))

    def add(self, path: str, real: str) -> None:
        """A photograph at ``path``, which is ``real`` where no link is followed."""
        self.matches += 1
        relative = self._relative(path)
        own = real == self._real_root + relative
        if real in self._failed or (not own and real in self._links):
            return
        name = relative.replace(os.sep, "/")
        try:
            if _ODD.search(name) or not name:
                relative_path(name).encode()
        except ValueError as error:
            if real not in self._links:
                self._failed.add(real)
                what = "is not valid UTF-8" if isinstance(error, UnicodeEncodeError) else str(error)
                self.fail(path, "bad-name", f"the name {what}; rename it to have the image read")
            return
        if not own:
            self._links[real] = CHUNK * len(self._chunks) + len(self._names)
        self._names.append(name)
        if len(self._names) == CHUNK:
            self._chunks.append(pa.array(self._names, pa.large_string()))
            self._names = []

    def fail(self, path: str, reason: str, detail: str) -> None:
        """Something at ``path`` that cannot be read."""
        self.matches += 1
        self.problems.append(FailedFile(printable(self._relative(path).replace(os.sep, "/") or "."), reason, detail))

    def file(self, path: str, missing: str) -> None:
        """A file named in full, whatever its suffix; ``missing`` is said where it is not there."""
        self._targets += 1
        if os.path.lexists(path):
            self.add(path, os.path.realpath(path))
        elif path in self._failed:
            self.matches += 1
        else:
            self._failed.add(path)
            self.fail(path, "missing", missing)

    def walk(self, folder: str, base: str | None = None) -> None:
        """Search a folder to any depth; what is excluded is so relative to ``base``, by default the folder."""
        base = folder if base is None else base
        self._targets += 1
        # A stack, not recursion: folders may be nested deeper than Python's calls.
        pending = [(folder, os.path.realpath(folder), True)]
        while pending:
            path, real, is_folder = pending.pop()
            if not is_folder:
                self.add(path, real)
                continue
            try:
                with os.scandir(path) as scan:
                    entries = sorted(scan, key=lambda entry: os.fsencode(entry.name), reverse=True)
            except OSError as error:
                self.fail(path, "unreadable", f"the folder cannot be listed ({error.strerror})")
                continue
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    if self._is_searched(entry.path, base):
                        pending.append((entry.path, os.path.join(real, entry.name), True))
                elif self._is_wanted(entry.path, base):
                    if not entry.is_symlink():
                        pending.append((entry.path, os.path.join(real, entry.name), False))
                    elif not os.path.isdir(entry.path):
                        pending.append((entry.path, os.path.realpath(entry.path), False))

    def objects(self, folder: str, names: Iterable[str]) -> None:
        """Search what is listed of a folder of a bucket, by its names below it."""
        self._targets += 1
        searched = {"": True}
        for parts in sorted((name.split("/") for name in names), key=lambda parts: [one.encode() for one in parts]):
            path = f"{folder}/{'/'.join(parts)}"
            if not {"", ".", ".."}.isdisjoint(parts):  # of which a path would make another one
                if self._is_wanted(path, folder):
                    self.matches += 1
                    detail = "the name is not the plain path of a file; rename it to have the image read"
                    self.problems.append(FailedFile(path[len(self.root) + 1 :], "bad-name", detail))
                continue
            above = ""
            for part in parts[:-1]:
                below = f"{above}{part}/"
                if below not in searched:
                    searched[below] = searched[above] and self._is_searched(f"{folder}/{above}{part}", folder)
                above = below
            if searched[above] and self._is_wanted(path, folder):
                self.add(path, path)

    def glob(self, base: str, pattern: str) -> None:
        """Search for what matches a pattern below ``base``; a folder that it names is searched whatever its name."""
        parts = Path(pattern).parts
        self._targets += 1
        # Path.glob does not follow links to folders under "**", as glob.glob does until the system gives up.
        try:
            found = list(Path(base).glob(os.path.join(pattern, "*") if parts[-1] == "**" else pattern))
        except ValueError as error:
            raise UsageError(f"not a pattern: {error}", where=pattern) from None
        hidden = any(part.startswith(".") for part in parts)
        searched: dict[Path, bool] = {Path(base): True}
        for path in sorted(found, key=lambda path: [os.fsencode(part) for part in path.parts]):
            if not self._all_searched(path.parent, base, parts, searched, hidden=hidden):
                continue
            if path.is_dir():
                # "**" lists what is in every folder below by itself.
                if "**" not in parts and self._all_searched(path, base, parts, searched, hidden=hidden):
                    self.walk(str(path), base)
            elif self._is_wanted(str(path), base, hidden=hidden):
                self.add(str(path), os.path.realpath(path))

    def _all_searched(
        self, folder: Path, base: str, named: tuple[str, ...], known: dict[Path, bool], *, hidden: bool
    ) -> bool:
        """Whether a folder and all above it, up to ``base``, are searched."""
        pending = []
        while folder not in known:
            pending.append(folder)
            folder = folder.parent
        for below in reversed(pending):
            known[below] = known[below.parent] and (
                below.name in named or self._is_searched(str(below), base, hidden=hidden)
            )
        return known[pending[0]] if pending else known[folder]

    def _is_searched(self, path: str, base: str, *, hidden: bool = False) -> bool:
        """Whether a folder is searched; if not, it is counted, once."""
        parent, name = os.path.split(path)
        relative = path[len(base) :].strip(os.sep).replace(os.sep, "/") + "/"
        wish = self.exclusion.by_user(relative)
        dotted = name.startswith(".") and not hidden
        if wish is False or (wish is None and not dotted and not self.exclusion.by_default(parent, name)):
            return True
        if path not in self._passed_over:
            self._passed_over.add(path)
            if wish:
                self.left_out.excluded += 1
            else:
                self.left_out.folders[printable(name)] += 1
        return False

    def _is_wanted(self, path: str, base: str, *, hidden: bool = False) -> bool:
        """Whether a file is read, by its name; a picture that is not is counted, once."""
        name = os.path.basename(path)
        suffix = os.path.splitext(name)[1].lower()
        is_read = suffix in self._suffixes
        if not is_read and suffix not in RAW_SUFFIXES and suffix not in OTHER_SUFFIXES and suffix not in SUFFIXES:
            return False
        dotted = name.startswith(".") and not hidden
        wish = self.exclusion.by_user(path[len(base) :].strip(os.sep).replace(os.sep, "/"))
        if is_read and (wish is False or (wish is None and not dotted)):
            return True
        if path not in self._passed_over:
            self._passed_over.add(path)
            if wish:
                self.left_out.excluded += 1
            elif dotted:
                self.left_out.hidden += is_read
            else:
                self.left_out.suffixes[suffix] += 1
        return False

    def _relative(self, path: str) -> str:
        return path[len(self.root) :].lstrip(os.sep)
