"""A user's own data: a table of paths and labels, tags, or a folder with a text file beside each image."""

import hashlib
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

import numpy as np

from c2srt_cli.datasets.annotations import SPLITS, Annotations, Incidence
from c2srt_cli.datasets.rows import Row, rows_of
from c2srt_cli.datasets.source import Source, damaged, read_lines
from c2srt_cli.errors import InputError
from c2srt_cli.images import find_images
from c2srt_cli.labels import Label, LabelSet, normalise

#: Where nothing says otherwise, one image in so many is for testing.
TEST_SHARE = 5


def read(source: Source, protocol: str) -> Annotations:
    """Read a table (see `rows.rows_of`), or a folder of images and ``.txt``.

    The labels are in alphabetical order, all of them seen. A label that is not given is absent.

    Raises:
        InputError: the file cannot be read, or has faults: all of them are named.
    """
    del protocol
    path = source.path
    if path.is_dir():
        rows, folder = _beside(source), path
    else:
        source.used[path.name] = path
        rows, folder = rows_of(source, path), path.parent
    if rows and all(row.split is None for row in rows):
        source.remark(f"no column 'split': one image in {TEST_SHARE} is for testing, by a hash of its path")
    first: dict[str, str] = {}
    for row in rows:
        for name in row.names:
            first.setdefault(name.casefold(), name)
    labels = LabelSet(tuple(Label(first[key]) for key in sorted(first)))
    if not labels.labels:
        raise InputError("no image has a label", where=str(path))
    return gather(source, rows, labels, folder, "table")


def gather(source: Source, rows: Iterable[Row], labels: LabelSet, folder: Path, dataset: str) -> Annotations:
    """Rows of known labels → annotations in which what is not given is absent, and every label seen.

    Paths may begin with the prefix or with the root, which are stripped. Rows without a split get one from a hash of
    their path: it stays when others come and go.

    Raises:
        InputError: a path stands twice or leads out of the root, or a split or label is unknown; all such are named.
    """
    root = source.root(folder)
    numbers = {label.key: number for number, label in enumerate(labels)}
    lists: list[list[int]] = []
    paths: dict[str, str] = {}
    splits, problems = [], []
    for row in rows:
        named = row.path.removeprefix(source.prefix)
        tidy = named.strip().removeprefix("\ufeff")
        if named != tidy and (root / tidy).exists() and not (root / named).exists():
            named = tidy
        path = _relative(named, root)
        if path is None:
            problems.append(
                f"{row.where}: {row.path} is not below {root}: give --root, or --prefix to strip from paths"
            )
            continue
        if path in paths:
            problems.append(f"{row.where}: {path} stands in {paths[path]} too")
        paths[path] = row.where
        if unknown := [name for name in row.names if name.casefold() not in numbers]:
            problems.append(f"{row.where}: unknown labels {', '.join(unknown)}")
        split = _drawn_split(path) if row.split is None else row.split
        if split not in SPLITS:
            problems.append(f"{row.where}: split {split!r} is none of {', '.join(SPLITS)}")
        splits.append(split)
        lists.append([numbers[name.casefold()] for name in row.names if name.casefold() in numbers])
    if not paths and not problems:
        problems.append("there is no image in it")
    if problems:
        raise damaged(source.path, problems)
    return Annotations(
        root,
        labels,
        np.ones(len(labels), dtype=bool),
        tuple(paths),
        np.array(splits, dtype="U5"),
        Incidence.from_lists(lists),
        Incidence.empty(len(lists)),
        complete=True,
        dataset=dataset,
    )


def _beside(source: Source) -> list[Row]:
    """Images that have a ``.txt`` of their name beside them, ``a.txt`` or ``a.jpg.txt``, one label a line."""
    found = find_images([str(source.path)], exclude=source.exclude)
    if found.left_out:
        source.remark(found.left_out)
    rows, bare = [], 0
    for file in found.files:
        beside = (file.path.with_suffix(".txt"), file.path.with_name(file.path.name + ".txt"))
        text = next((path for path in beside if path.is_file()), None)
        if text is None:
            bare += 1
            continue
        source.used[text.relative_to(found.root).as_posix()] = text
        lines = [line for line in read_lines(text) if line != "#" and not line.startswith("# ")]
        names = tuple(name for name in map(normalise, lines) if name)
        rows.append(Row(file.name, file.name, names))
    for problem in found.problems:
        source.remark(f"left out: {problem.name}: {problem.detail}")
    source.count("images without a .txt beside them, left out", bare)
    if not rows:
        raise InputError(
            "no image has a .txt beside it",
            where=str(source.path),
            hint="write one label a line into a.txt for a.jpg",
        )
    return rows


def _relative(path: str, root: Path) -> str | None:
    """A path below the root; None where it leads out of it or cannot be written down."""
    pure = PurePosixPath(path)
    if pure.is_absolute():
        if not pure.is_relative_to(root.as_posix()):
            return None
        pure = pure.relative_to(root.as_posix())
    if not pure.parts or ".." in pure.parts or "\0" in path:
        return None
    return str(pure)


def _drawn_split(path: str) -> str:
    return "train" if int(hashlib.sha256(path.encode()).hexdigest(), 16) % TEST_SHARE else "test"
