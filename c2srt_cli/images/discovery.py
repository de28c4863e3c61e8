"""From what the user names (folders, files, patterns, a list on stdin) to a list of image files with stable names."""

# Strings and os.scandir list 100,000 photographs in a second, where pathlib takes several.
# ruff: noqa: PTH100, PTH109, PTH112, PTH118, PTH120

import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from c2srt_cli.artifacts import address, bucket_path, in_bucket, is_address
from c2srt_cli.artifacts.buckets import list_objects
from c2srt_cli.errors import InputError, UsageError, nearby
from c2srt_cli.images.exclusion import Exclusion
from c2srt_cli.images.files import ImageFiles
from c2srt_cli.images.formats import SUFFIXES
from c2srt_cli.images.search import FailedFile, Search, printable
from c2srt_cli.text import spellings


@dataclass(frozen=True, slots=True)
class Found:
    """What the inputs hold.

    Attributes:
        root: The folder that was named where it is the only input, otherwise the common parent of everything named.
        files: In the order of the inputs; inside a folder or pattern bytewise by the parts of their paths.
        problems: What is not there, cannot be listed, or has a name that no row can hold.
        left_out: One line that says what the search has passed over; empty where that is nothing.
        passed_over: The files and folders of it.
    """

    root: Path
    files: ImageFiles
    problems: list[FailedFile]
    left_out: str = ""
    passed_over: frozenset[str] = frozenset()

    def passes_over(self, name: str) -> bool:
        """Whether the search has passed over a file, or a folder that it lies in."""
        path = self.root / name
        return any(str(part) in self.passed_over for part in (path, *path.parents))

    def relative_to(self, root: Path) -> "Found":
        """The same, with names relative to a folder further up.

        Raises:
            UsageError: the files are not below it.
        """
        root = root if in_bucket(root) else Path(os.path.abspath(root))
        if not self.root.is_relative_to(root):
            what = f"the photographs are in {address(self.root)}"
            raise UsageError(what, where=f"--root {address(root)}", hint="name a folder that they are below")
        steps = self.root.relative_to(root).parts
        if not steps:
            return self
        above = "/".join(steps)
        files = self.files.below(root, above)
        problems = [replace(bad, name=above if bad.name == "." else f"{above}/{bad.name}") for bad in self.problems]
        return replace(self, root=root, files=files, problems=problems)


def find_images(
    inputs: Sequence[str],
    *,
    stdin: Sequence[str] | None = None,
    recursive: bool = False,
    exclude: Sequence[str] = (),
    root: Path | None = None,
    buckets: bool = False,
) -> Found:
    """List the images that the inputs name, each real file once.

    Folders are searched to any depth for files with one of `SUFFIXES`. Left out are hidden entries, folders that are
    known to hold no photographs (`exclusion`), and what ``exclude`` says. Links to files are followed, links to folders
    are not. Patterns (``*``, ``?``, ``[…]``, ``**``) find files by the same suffixes, and folders, which are then
    searched. Files and folders named in full are always tried.

    Args:
        inputs: Folders, files and patterns; ``-`` stands for the list on ``stdin``.
        stdin: Paths, never patterns, empty ones passed over (see `text.path_list`).
        recursive: Search the folders on ``stdin`` too; otherwise each is a problem.
        exclude: Patterns in gitignore form, relative to the folder that is searched.
        root: A folder further up that names are relative to.
        buckets: Whether a folder or file may be named by its address in a bucket; patterns are none there.

    Raises:
        InputError: a folder or pattern holds no image, or none of the named files is there.
        ServiceError: a bucket cannot be reached.
        UsageError: ``-`` without a list on stdin, an address of something else, an empty or malformed path, or files
            that are not below ``root``.
    """
    targets = [target for text in inputs for target in _targets(text, stdin, recursive=recursive, buckets=buckets)]
    if 0 < sum(in_bucket(Path(target.path)) for target in targets) < len(targets):
        raise UsageError("photographs of one run lie in folders or in a bucket, not in both", hint="make two runs")
    bases = {os.path.dirname(target.path) if target.kind in {"file", "object"} else target.path for target in targets}
    if len({Path(base).parts[:2] for base in bases if in_bucket(Path(base))}) > 1:
        raise UsageError("photographs of one run lie in one bucket", hint="make a run for each")
    search = Search(os.path.commonpath(bases) if bases else os.getcwd(), Exclusion(exclude))
    fruitless = []
    for target in targets:
        before = search.matches
        if target.kind == "folder":
            search.walk(target.path)
        elif target.kind == "pattern":
            search.glob(target.path, target.pattern)
        elif target.kind == "bucket":
            search.objects(target.path, target.names)
        elif target.kind == "object":
            search.add(target.path, target.path)
        elif target.kind == "unasked":
            search.fail(target.path, "folder", f"line {target.line} of the list is a folder; --recursive searches it")
        else:
            search.file(target.path, f"no such file{_foreign(target)}")
        if search.matches == before:
            fruitless.append(f"{printable(target.text)}: no image found")
    looked_for = f"folders and patterns are searched for {' '.join(SUFFIXES)}; a file named in full is always tried"
    if str(search.left_out):
        looked_for = f"{search.left_out}; {looked_for}"
    if fruitless:
        raise InputError("some of what was named holds no image", problems=fruitless, hint=looked_for)
    files = search.files()
    if not files:
        problems = [f"{bad.name}: {bad.reason}, {bad.detail}" for bad in search.problems]
        searched = any(target.kind in {"folder", "pattern", "bucket"} for target in targets)
        hint = looked_for if searched else _where_else(targets)
        raise InputError("there is no image to read", problems=problems, hint=hint)
    found = Found(files.root, files, search.problems, str(search.left_out), search.passed_over)
    return found if root is None else found.relative_to(root)


@dataclass(frozen=True, slots=True)
class _Target:
    """One input: a ``file``, a ``folder``, or a ``pattern`` below the folder ``path``; ``line`` of the list, or 0.

    A folder of a list that is not to be searched is ``unasked``. In buckets a file is an ``object``, and a folder a
    ``bucket``, with the names of what is below it.
    """

    kind: str
    text: str
    path: str
    pattern: str = ""
    line: int = 0
    names: Collection[str] = ()


def _targets(text: str, stdin: Sequence[str] | None, *, recursive: bool, buckets: bool) -> list[_Target]:
    if text == "-":
        if stdin is None:
            raise UsageError("- asks for a list of files on stdin, and there is none")
        targets = [_listed(entry, line, recursive=recursive) for line, entry in enumerate(stdin, 1) if entry.strip()]
        if not targets:
            raise InputError("the list names no file", where="standard input", hint="write one path a line")
        return targets
    if not text:
        raise UsageError("an empty path was given")
    if is_address(text):
        return [_in_bucket(text, wanted=buckets)]
    parts = Path(text).parts
    first = next((index for index, part in enumerate(parts) if any(mark in part for mark in "*?[")), None)
    if first is None or os.path.lexists(text):
        return [_named(text)]
    return [_Target("pattern", text, _absolute(os.path.join(".", *parts[:first])), os.path.join(*parts[first:]))]


def _in_bucket(text: str, *, wanted: bool) -> _Target:
    path = bucket_path(text)
    if not wanted:
        what = "photographs in a bucket are read by c2srt embed and c2srt tag alone"
        raise UsageError(what, where=text, hint="embed them into a folder, and name that, or mount the bucket")
    names = list_objects(path)
    if {"manifest.json", "part-00000/index.parquet"} <= names.keys():
        what = "is a dataset that c2srt has written, and those are read from folders"
        raise InputError(what, where=text, hint=f"copy it into one: aws s3 sync {text} FOLDER")
    return _Target("object" if names.keys() == {""} else "bucket", text, str(path), names=names.keys() - {""})


def _named(text: str) -> _Target:
    path = _absolute(text)
    return _Target("folder" if os.path.isdir(path) else "file", text, path)


def _listed(entry: str, line: int, *, recursive: bool) -> _Target:
    """What a line of the list names: the path as it stands where there is one, else what it may mean."""
    if is_address(entry):
        hint = "name the folder of the bucket, which is searched: c2srt … s3://bucket/photos"
        raise UsageError(f"line {line} of the list is an address, and lists are of files", where=entry, hint=hint)
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


def _where_else(targets: Sequence[_Target]) -> str:
    """Where files may be that are not where they were named."""
    if any(target.line for target in targets):
        return "a list holds one path a line and nothing else, relative to the folder that c2srt runs in"
    meant = next(filter(None, (nearby(Path(target.path)) for target in targets)), None)
    return f"did you mean {meant}?" if meant else f"paths are relative to {os.getcwd()}"


def _foreign(target: _Target) -> str:
    """What is to be said of a missing file whose name is not UTF-8: most lists are, whatever file names are."""
    if not target.line or not any("\udc80" <= letter <= "\udcff" for letter in target.text):
        return ""
    return f"; line {target.line} of the list is not UTF-8: write it as UTF-8 (in cmd, chcp 65001 before dir)"
