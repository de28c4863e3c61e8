"""What a published protocol ranks, on which test images, and at which K (METHODS 6)."""

from dataclasses import dataclass

import numpy as np

from c2srt_cli.datasets.annotations import Annotations, Incidence
from c2srt_cli.errors import UsageError

#: The two settings: ZSL ranks the unseen labels only, GZSL all of them.
SETTINGS = ("ZSL", "GZSL")


@dataclass(frozen=True)
class Protocol:
    """How a test set is used.

    Attributes:
        name: What the user types.
        ks: The K of F1@K.
        labelled_only: Only images count that have one of the ranked labels, in each setting its own.
        summary: One line for people.
    """

    name: str
    ks: tuple[int, ...]
    labelled_only: bool
    summary: str


DEFAULT = Protocol("all", (3, 5), False, "all test images")
#: By dataset, the first the one that is taken unless another is named. Datasets that are not here have `DEFAULT`.
PROTOCOLS: dict[str, tuple[Protocol, ...]] = {
    "nus-wide": (
        Protocol("F", (3, 5), False, "all test images, as LESA, BiAM and MKT"),
        Protocol("L", (3, 5), True, "test images with a ranked label, as DualCoOp and RAM"),
    ),
    "open-images": (
        Protocol("verified", (10, 20), True, "images with a ranked label; a label is ranked where it was verified"),
    ),
    "coco": (Protocol("labelled", (3,), True, "test images with a ranked label, as DualCoOp and RAM"),),
    "ram-json": (DEFAULT, Protocol("labelled", (3, 5), True, "test images with a ranked label, as RAM's on COCO")),
}


def protocols(dataset: str) -> tuple[Protocol, ...]:
    """Every protocol of a dataset."""
    return PROTOCOLS.get(dataset, (DEFAULT,))


def protocol(dataset: str, name: str | None = None) -> Protocol:
    """The protocol of that name, or the dataset's first.

    Raises:
        UsageError: it has none of that name.
    """
    there = protocols(dataset)
    for one in there:
        if name in (None, one.name):
            return one
    raise UsageError(
        f"{dataset} has no protocol {name!r}",
        where="--protocol",
        hint=f"name one of: {', '.join(one.name for one in there)}",
    )


def settings(annotations: Annotations) -> tuple[str, ...]:
    """The settings that there is something to rank in: without unseen labels GZSL alone."""
    return SETTINGS[1:] if annotations.seen.all() else SETTINGS


def ranked_labels(annotations: Annotations, setting: str) -> np.ndarray:
    """Ids of the labels that a setting ranks, ascending."""
    return np.flatnonzero(~annotations.seen) if setting == "ZSL" else np.arange(len(annotations.labels))


def counted_images(annotations: Annotations, one: Protocol, setting: str) -> np.ndarray:
    """Numbers of the test images that count in a setting, ascending."""
    rows = annotations.rows("test")
    if one.labelled_only:
        rows = rows[label_counts(annotations.positive.select(rows), ranked_labels(annotations, setting)) > 0]
    return rows


def label_counts(incidence: Incidence, columns: np.ndarray) -> np.ndarray:
    """How many of some labels each image has: ``(N,)``."""
    wanted = np.isin(incidence.labels, columns)
    images = np.repeat(np.arange(len(incidence)), incidence.lengths)
    return np.bincount(images[wanted], minlength=len(incidence))
