"""The stage behind ``c2srt prepare``: a dataset's own files → annotations."""

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from c2srt_cli.artifacts.records import relative_path
from c2srt_cli.datasets import coco, corel5k, nus_wide, open_images, ram_json, table, voc
from c2srt_cli.datasets.annotations import SPLITS, Annotations, write_annotations
from c2srt_cli.datasets.source import Source, damaged
from c2srt_cli.datasets.unseen import unseen_by_draw, unseen_from_file
from c2srt_cli.errors import InputError, UsageError


@dataclass(frozen=True)
class Dataset:
    """A dataset that can be read.

    Attributes:
        read: From its files and the name of a protocol, or an empty string, to annotations.
        protocols: Named divisions into seen and unseen labels; the first is the default.
        images: Where its images officially come from.
    """

    read: Callable[[Source, str], Annotations]
    protocols: tuple[str, ...]
    images: str


DATASETS = {
    "corel5k": Dataset(corel5k.read, corel5k.PROTOCOLS, corel5k.ORIGIN),
    "nus-wide": Dataset(nus_wide.read, nus_wide.PROTOCOLS, nus_wide.IMAGES),
    "open-images": Dataset(open_images.read, open_images.PROTOCOLS, open_images.IMAGES),
    "coco": Dataset(coco.read, coco.PROTOCOLS, coco.IMAGES),
    "voc": Dataset(voc.read, voc.PROTOCOLS, voc.ORIGIN),
    "ram-json": Dataset(ram_json.read, ram_json.PROTOCOLS, ram_json.IMAGES),
    "table": Dataset(table.read, (), "your own disk"),
}


@dataclass(frozen=True)
class PrepareOptions:
    """What the user asks for.

    Attributes:
        dataset: One of `DATASETS`.
        source: Its folder or file.
        out: The folder to write.
        unseen: The unseen labels, a file or words, or None.
        protocol: A named division into seen and unseen labels, or None.
        unseen_share: Share of the labels to draw as unseen, or None.
        seed: Of the draw.
        root: The folder that the images' paths are relative to; the dataset's own where None.
        prefix: What to strip from the beginning of the images' paths.
        exclude: Patterns in gitignore form of what the search of a folder leaves out.
        overwrite: Replace annotations that were made with other options.
    """

    dataset: str
    source: Path
    out: Path
    unseen: Path | str | None = None
    protocol: str | None = None
    unseen_share: float | None = None
    seed: int = 0
    root: Path | None = None
    prefix: str = ""
    exclude: tuple[str, ...] = ()
    overwrite: bool = False


@dataclass(frozen=True)
class PrepareResult:
    """What `prepare` wrote.

    Attributes:
        annotations: The same, with what was counted in their notes.
        missing: Paths of the images that are not below the root.
        images: Where those officially come from.
    """

    annotations: Annotations
    missing: tuple[str, ...]
    images: str


def prepare(options: PrepareOptions) -> PrepareResult:
    """Read a dataset, divide its labels into seen and unseen, and write its annotations.

    Images that are missing are reported and keep their rows: what reads them says what it lacks.

    Raises:
        InputError: files of the dataset are missing or damaged, or the folder to write holds something else.
        UsageError: the options contradict each other, or the dataset has no such protocol.
    """
    dataset = DATASETS[options.dataset]
    protocol = _protocol(options, dataset)
    if not options.source.exists():
        raise InputError(
            "no such file or folder", where=str(options.source), hint=f"its images come from {dataset.images}"
        )
    if options.exclude and not (options.dataset == "table" and options.source.is_dir()):
        raise UsageError("is about a folder that is searched for images", where="--exclude")
    source = Source(options.source, options.root, options.prefix, options.exclude)
    annotations = dataset.read(source, protocol)
    _check_names(source, annotations)
    if options.unseen is not None:
        annotations = annotations.with_seen(unseen_from_file(annotations.labels, options.unseen))
    elif options.unseen_share is not None:
        annotations = annotations.with_seen(unseen_by_draw(annotations, options.unseen_share, options.seed))
    elif annotations.seen.all():
        source.remark("all labels are seen; to leave some unseen give --unseen, --protocol or --unseen-share")
    root = str(annotations.root)
    missing = tuple(path for path in annotations.paths if not os.path.exists(f"{root}/{path}"))  # noqa: PTH110 - fast
    notes = {
        "counts": source.counts,
        "remarks": source.remarks,
        "splits": _splits(annotations),
        "missing_images": len(missing),
    }
    annotations = replace(annotations, notes=notes)
    resolved = {
        "dataset": options.dataset,
        "source": str(options.source.absolute()),
        "root": root,
        "prefix": options.prefix,
        "protocol": protocol,
        "unseen": [name for name, seen in zip(annotations.labels.names, annotations.seen, strict=True) if not seen],
        "unseen_share": options.unseen_share,
        "seed": options.seed if options.unseen_share is not None else None,
    }
    if options.exclude:
        resolved["exclude"] = list(options.exclude)
    inputs = {"source": source.fingerprint}
    write_annotations(options.out, annotations, resolved, inputs=inputs, overwrite=options.overwrite)
    return PrepareResult(annotations, missing, dataset.images)


def _protocol(options: PrepareOptions, dataset: Dataset) -> str:
    """Name of the protocol; an empty string where something else divides the labels, or nothing."""
    ways = {"--unseen": options.unseen, "--protocol": options.protocol, "--unseen-share": options.unseen_share}
    given = [name for name, value in ways.items() if value is not None]
    if len(given) > 1:
        raise UsageError(f"{' and '.join(given)} both say which labels are unseen", hint="give one of them")
    if options.protocol is not None and options.protocol not in dataset.protocols:
        there = f"it has {', '.join(dataset.protocols)}" if dataset.protocols else "it has none"
        raise UsageError(f"{options.dataset} has no protocol {options.protocol!r}: {there}", where="--protocol")
    if options.protocol is not None:
        return options.protocol
    return "" if given or not dataset.protocols else dataset.protocols[0]


def _check_names(source: Source, annotations: Annotations) -> None:
    """Refuse paths that lead out of the root or stand twice, and names that cannot be written down."""
    problems = []
    if len(set(annotations.paths)) < len(annotations.paths):
        problems.append(f"{len(annotations.paths) - len(set(annotations.paths)):,} images stand twice")
    for path in annotations.paths:
        try:
            relative_path(path)
        except ValueError as error:
            problems.append(f"{path!r} {error}")
    for name in (*annotations.paths, *annotations.labels.names):
        try:
            name.encode()
        except UnicodeEncodeError:
            problems.append(f"{name!r} is not valid Unicode")
    if problems:
        raise damaged(source.path, problems)


def _splits(annotations: Annotations) -> dict[str, dict[str, Any]]:
    """Of each split: images, those without a seen label, and seen and unseen labels an image."""
    found = {}
    for split in SPLITS:
        rows = annotations.rows(split)
        if not len(rows):
            continue
        positive = annotations.positive.select(rows)
        owner = np.repeat(np.arange(len(rows)), positive.lengths)
        seen = np.bincount(owner[annotations.seen[positive.labels]], minlength=len(rows))
        found[split] = {
            "images": len(rows),
            "without_a_seen_label": int((seen == 0).sum()),
            "without_a_label": int((positive.lengths == 0).sum()),
            "seen_labels_each": round(float(seen.mean()), 3),
            "unseen_labels_each": round(float((positive.lengths - seen).mean()), 3),
        }
    return found
