"""Sidecars: where that of each photograph lies, and which photographs would share one."""

import os
import secrets
import unicodedata
from collections.abc import Container, Iterable
from pathlib import Path
from typing import Literal

from c2srt_cli.artifacts import TEMPORARY
from c2srt_cli.tagging.writers.context import WriteContext


class Sidecars:
    """The sidecars of the photographs of a run.

    By default the sidecar that a photograph has is taken, whether it is named ``a.jpg.xmp`` or ``a.xmp``; a new one is
    named as those of its folder are, ``a.jpg.xmp`` where there are none.

    Args:
        names: Of all photographs of the run, relative to the root.
        suffix: Of the sidecars, with its dot.
        folder: Mirrors the tree of the photographs.
        context: How they are to be named, and whom to tell what is out of the ordinary.
        known: Names of the files that count as sidecars, relative to the folder; all where None.
        naming: The only one that the readers of these sidecars know, where there is just one.

    Attributes:
        problems: Photographs that get no sidecar, and why.
    """

    def __init__(  # noqa: PLR0917
        self,
        names: Iterable[str],
        suffix: str,
        folder: Path,
        context: WriteContext,
        known: Container[str] | None = None,
        naming: Literal["stem"] | None = None,
    ) -> None:
        self._folder, self._naming = folder, naming
        self._paths: dict[str, str] = {}
        self.problems: dict[str, str] = {}
        second = []
        by_folder: dict[str, list[str]] = {}
        for name in names:
            parent, slash, file = name.rpartition("/")
            by_folder.setdefault(parent + slash, []).append(file)
        links: set[str] = set()
        for parent, files in by_folder.items():
            listing, linked = _listing(folder / parent, suffix)
            links.update(parent + name for name in linked)
            if known is not None:
                listing = {name for name in listing if parent + name in known}
            chosen, more = _choose(
                files, suffix, listing, naming or context.sidecar_name, context.root / parent, pairs=not naming
            )
            second += [parent + file for file in more]
            self._paths.update((parent + file, parent + sidecar) for file, sidecar in chosen.items())
        self._find_collisions(links)
        if second:
            context.note(
                f"{len(second):,} photographs have a sidecar of the other naming, such as that of {second[0]}; "
                "readers that look for that one do not see these keywords"
            )

    def __getitem__(self, name: str) -> str:
        """Path of a photograph's sidecar, relative to the folder."""
        return self._paths[name]

    def _find_collisions(self, links: Container[str]) -> None:
        """Note photographs that would share a sidecar on this file system."""
        owners: dict[str, dict[str, list[str]]] = {}
        for name, path in self._paths.items():
            real = os.path.realpath(self._folder / path) if path in links else path
            owners.setdefault(_key(real), {}).setdefault(real, []).append(name)
        for files in owners.values():
            groups = list(files.values())
            if len(files) > 1 and _are_one(self._folder, list(files)):
                groups = [[name for group in groups for name in group]]
            for group in groups:
                for name in group if len(group) > 1 else ():
                    others = ", ".join(other for other in group if other != name)
                    alone = self._naming is not None or self._paths[name].startswith(name)
                    named = "" if alone else "; --sidecar-name ext gives each its own"
                    self.problems[name] = f"{self._paths[name]} would be that of {others} too{named}"


def _listing(folder: Path, suffix: str) -> tuple[set[str], list[str]]:
    """The files of a folder that end like sidecars, and those of them that are links."""
    try:
        with os.scandir(folder) as scan:
            found = [entry for entry in scan if entry.name.lower().endswith(suffix)]
    except OSError:
        return set(), []
    return {entry.name for entry in found}, [entry.name for entry in found if entry.is_symlink()]


def _choose(
    files: list[str],
    suffix: str,
    listing: set[str],
    style: Literal["ext", "stem"] | None,
    photographs: Path,
    *,
    pairs: bool,
) -> tuple[dict[str, str], list[str]]:
    """Name of each file's sidecar in one folder, and the files that get a second one."""
    from c2srt_cli.images import is_raw  # not where help is printed: it reads numpy

    by_key: dict[str, list[str]] = {}
    for name in listing:
        by_key.setdefault(_key(name), []).append(name)

    def there(wanted: str, file: str) -> str | None:
        """The sidecar of that name, else the one whose name differs by case or composition alone; nobody else's."""
        near = [wanted] if wanted in listing else by_key.get(_key(wanted), [])
        near = [name for name in near if not _is_of_another(photographs, name.removesuffix(name[-len(suffix) :]), file)]
        return near[0] if len(near) == 1 else None

    whole = {file: there(file + suffix, file) for file in files}
    raws = {_stem(file) for file in files if pairs and is_raw(file)}
    # a.xmp is that of a.cr2, where a camera has written a JPEG beside it
    seconds = {file for file in files if _stem(file) in raws and not is_raw(file)}
    stems = {file: None if file in seconds else there(_stem(file) + suffix, file) for file in files}
    follow = "stem" if any(stems.values()) and not any(whole.values()) else "ext"
    shared: dict[str, int] = {}
    for file in files:
        shared[_stem(file)] = shared.get(_stem(file), 0) + (file not in seconds)
    chosen, second = {}, []
    for file in files:
        new = (style or follow) == "stem" and file not in seconds and (style or shared[_stem(file)] == 1)
        names = {"ext": whole[file] or file + suffix, "stem": stems[file] or _stem(file) + suffix}
        if style is None and (found := whole[file] or stems[file]):
            chosen[file] = found
            if whole[file] and stems[file]:
                second.append(file)
        else:
            chosen[file] = names["stem" if new else "ext"]
            other = whole[file] if new else stems[file]
            if other and chosen[file] not in listing:
                second.append(file)
    return chosen, second


def _is_of_another(photographs: Path, owner: str, file: str) -> bool:
    """Whether the sidecar that is named after all of ``owner`` is that of another photograph, which is there."""
    if owner == file or not (photographs / owner).exists():
        return False
    return not (photographs / file).exists() or not (photographs / owner).samefile(photographs / file)


def _stem(file: str) -> str:
    stem, dot, _ = file.rpartition(".")
    return stem if dot and stem else file


def _key(name: str) -> str:
    """What names have in common that some file systems take for one."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def _are_one(folder: Path, names: list[str]) -> bool:
    """Whether the file system takes names for one that differ by case or composition, found by trying."""
    first, *others = ((folder / name) for name in names)
    mark = f".{secrets.token_hex(4)}{TEMPORARY}"
    probe = first.with_name(first.name + mark)
    try:
        first.parent.mkdir(parents=True, exist_ok=True)
        probe.touch()
    except OSError:
        return False  # then nothing can be written there anyway, and each says so
    try:
        return any(other.with_name(other.name + mark).exists() for other in others)
    finally:
        probe.unlink(missing_ok=True)
