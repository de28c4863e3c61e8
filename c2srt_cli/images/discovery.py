"""From what the user names (folders, files, patterns, a list on stdin) to a list of image files with stable names."""

# Strings and os.scandir list 100,000 photographs in a second, where pathlib takes several.
# ruff: noqa: PTH100, PTH109, PTH112, PTH118, PTH120, PTH122

import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from c2srt_cli.errors import InputError, UsageError
from c2srt_cli.text import spellings

#: What folders and patterns are searched for, in any case. A file named in full is tried whatever its suffix.
SUFFIXES = (
    ".avif",
    ".bmp",
    ".gif",
    ".heic",
    ".heif",
    ".hif",
    ".jfif",
    ".jpeg",
    ".jpg",
    ".mpo",
    ".png",
    ".tif",
    ".tiff",
    ".webp",
)


@dataclass(frozen=True, slots=True)
class ImageFile:
    """An image to read.

    Attributes:
        path: Where it is.
        name: Relative to the root, ``/`` between its parts, valid UTF-8: the key of its row.
    """

    path: Path
    name: str


@dataclass(frozen=True, slots=True)
class FailedFile:
    """Something named or found that cannot be read: a reason code (see `errors.ImageError`) and one line of detail."""

    name: str
    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class Found:
    """What the inputs hold.

    Attributes:
        root: The folder that was named where it is the only input, otherwise the common parent of everything named.
        files: In the order of the inputs; inside a folder or pattern bytewise by the parts of their paths.
        problems: What is not there, cannot be listed, or has a name that no row can hold.
    """

    root: Path
    files: list[ImageFile]
    problems: list[FailedFile]


def find_images(inputs: Sequence[str], *, stdin: Sequence[str] | None = None, recursive: bool = False) -> Found:
    """List the images that the inputs name, each real file once.

    Folders are searched to any depth for files with one of `SUFFIXES`; hidden entries are left out, symbolic links to
    files are followed, those to folders are not. Patterns (``*``, ``?``, ``[…]``, ``**``) find files by the same
    suffixes, and folders, which are then searched. Files named in full are always tried.

    Args:
        inputs: Folders, files and patterns; ``-`` stands for the list on ``stdin``.
        stdin: Paths, never patterns, empty ones passed over (see `text.path_list`).
        recursive: Search the folders on ``stdin`` too; otherwise each is a problem.

    Raises:
        InputError: a folder or pattern holds no image, or none of the named files is there.
        UsageError: ``-`` without a list on stdin, or an empty or malformed path.
    """
    targets = [target for text in inputs for target in _targets(text, stdin, recursive=recursive)]
    bases = {os.path.dirname(target.path) if target.kind == "file" else target.path for target in targets}
    search = _Search(os.path.commonpath(bases) if bases else os.getcwd())
    fruitless = []
    for target in targets:
        before = search.matches
        if target.kind == "folder":
            search.walk(target.path)
        elif target.kind == "pattern":
            search.glob(target.path, target.pattern)
        elif target.kind == "unasked":
            search.fail(target.path, "folder", f"line {target.line} of the list is a folder; --recursive searches it")
        else:
            search.file(target)
        if search.matches == before:
            fruitless.append(f"{_printable(target.text)}: no image found")
    looked_for = f"folders and patterns are searched for {' '.join(SUFFIXES)}; a file named in full is always tried"
    if fruitless:
        raise InputError("some of what was named holds no image", problems=fruitless, hint=looked_for)
    if not search.files:
        problems = [f"{bad.name}: {bad.reason}, {bad.detail}" for bad in search.problems]
        raise InputError("there is no image to read", problems=problems, hint=looked_for)
    return Found(Path(search.root), search.files, search.problems)


@dataclass(frozen=True, slots=True)
class _Target:
    """One input: a ``file``, a ``folder``, or a ``pattern`` below the folder ``path``; ``line`` of the list, or 0.

    A folder of a list that is not to be searched is ``unasked``.
    """

    kind: str
    text: str
    path: str
    pattern: str = ""
    line: int = 0


def _targets(text: str, stdin: Sequence[str] | None, *, recursive: bool) -> list[_Target]:
    if text == "-":
        if stdin is None:
            raise UsageError("- asks for a list of files on stdin, and there is none")
        targets = [_listed(entry, line, recursive=recursive) for line, entry in enumerate(stdin, 1) if entry.strip()]
        if not targets:
            raise InputError("the list names no file", where="standard input", hint="write one path a line")
        return targets
    if not text:
        raise UsageError("an empty path was given")
    parts = Path(text).parts
    first = next((index for index, part in enumerate(parts) if any(mark in part for mark in "*?[")), None)
    if first is None or os.path.lexists(text):
        return [_named(text)]
    return [_Target("pattern", text, _absolute(os.path.join(".", *parts[:first])), os.path.join(*parts[first:]))]


def _named(text: str) -> _Target:
    path = _absolute(text)
    return _Target("folder" if os.path.isdir(path) else "file", text, path)


def _listed(entry: str, line: int, *, recursive: bool) -> _Target:
    """What a line of the list names: the path as it stands where there is one, else what it may mean."""
    options = (entry, *spellings(entry))
    text = next((option for option in options if option and os.path.lexists(option)), options[1])
    named = _named(text)
    return replace(named, kind="unasked" if named.kind == "folder" and not recursive else named.kind, line=line)


def _absolute(text: str) -> str:
    """Absolute, links kept, unless ``..`` stands behind a link, where it is not the parent in the text."""
    path = os.path.abspath(text)
    if ".." in text and os.path.realpath(path) != os.path.realpath(text):
        return os.path.realpath(text)
    return path


def _foreign(target: _Target) -> str:
    """What is to be said of a missing file whose name is not UTF-8: most lists are, whatever file names are."""
    if not target.line or not any("\udc80" <= letter <= "\udcff" for letter in target.text):
        return ""
    return f"; line {target.line} of the list is not UTF-8: write it as UTF-8 (in cmd, chcp 65001 before dir)"


def _printable(path: str) -> str:
    """A path as valid UTF-8; bytes that are not appear in hexadecimal."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _has_suffix(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in SUFFIXES


@dataclass(slots=True)
class _Search:
    """What has been found so far below ``root``; ``matches`` counts repeated finds too."""

    root: str
    files: list[ImageFile] = field(default_factory=list)
    problems: list[FailedFile] = field(default_factory=list)
    matches: int = 0
    seen: set[str] = field(default_factory=set)

    def add(self, path: str, real: str) -> None:
        self.matches += 1
        if real in self.seen:
            return
        self.seen.add(real)
        name = self.name(path)
        try:
            name.encode()
        except UnicodeEncodeError:
            self.fail(path, "bad-name", "the name is not valid UTF-8; rename it to have the image read")
        else:
            self.files.append(ImageFile(Path(path), name))

    def fail(self, path: str, reason: str, detail: str) -> None:
        self.matches += 1
        self.problems.append(FailedFile(_printable(self.name(path)), reason, detail))

    def name(self, path: str) -> str:
        return path[len(self.root) :].lstrip(os.sep).replace(os.sep, "/") or "."

    def file(self, target: _Target) -> None:
        path = target.path
        if os.path.lexists(path):
            self.add(path, os.path.realpath(path))
        elif path in self.seen:
            self.matches += 1
        else:
            self.seen.add(path)
            self.fail(path, "missing", f"no such file{_foreign(target)}")

    def walk(self, folder: str) -> None:
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
                if entry.name.startswith("."):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    pending.append((entry.path, os.path.join(real, entry.name), True))
                elif _has_suffix(entry.name):
                    if not entry.is_symlink():
                        pending.append((entry.path, os.path.join(real, entry.name), False))
                    elif not os.path.isdir(entry.path):
                        pending.append((entry.path, os.path.realpath(entry.path), False))

    def glob(self, base: str, pattern: str) -> None:
        parts = Path(pattern).parts
        hidden = any(part.startswith(".") for part in parts)
        # Path.glob does not follow links to folders under "**", as glob.glob does until the system gives up.
        try:
            found = list(Path(base).glob(os.path.join(pattern, "*") if parts[-1] == "**" else pattern))
        except ValueError as error:
            raise UsageError(f"not a pattern: {error}", where=pattern) from None
        for path in sorted(found, key=lambda path: [os.fsencode(part) for part in path.parts]):
            if not hidden and any(part.startswith(".") for part in path.relative_to(base).parts):
                continue
            if path.is_dir():
                # "**" lists what is in every folder below by itself.
                if "**" not in parts:
                    self.walk(str(path))
            elif _has_suffix(path.name):
                self.add(str(path), os.path.realpath(path))
