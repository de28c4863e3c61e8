"""Which labels are unseen: by name, from a file, or drawn."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from c2srt_cli.datasets.annotations import Annotations
from c2srt_cli.datasets.naming import named_labels
from c2srt_cli.errors import InputError, UsageError
from c2srt_cli.labels import LabelSet


def unseen_by_name(labels: LabelSet, names: Iterable[str]) -> np.ndarray:
    """Seen, as ``(L,)`` bool: False for the labels of these names; names that no label has are passed over."""
    wanted = {name.casefold() for name in names}
    return np.array([label.name.casefold() not in wanted for label in labels], dtype=bool)


def unseen_from_file(labels: LabelSet, spec: Path | str) -> np.ndarray:
    """Seen, as ``(L,)`` bool: False for labels in a file or among words, each named by its id or its name.

    Raises:
        InputError: the file is missing, or names what is no label, or what several labels are called, or all labels.
    """
    seen = ~named_labels(labels, spec, "unseen")
    if not seen.any():
        problem = "all labels are unseen: none is left to learn from"
        raise InputError("these labels cannot be unseen", where=str(spec), problems=[problem])
    return seen


def unseen_by_draw(annotations: Annotations, share: float, seed: int) -> np.ndarray:
    """Seen, as ``(L,)`` bool: a seeded draw of a share of the labels, stratified by how frequent they are.

    The labels are ordered by their number of training images and cut into as many strata as labels are wanted;
    one of each is drawn. So frequent and rare labels are unseen alike.

    Raises:
        UsageError: the share leaves no unseen label, or none that is seen.
    """
    count = round(share * len(annotations.labels))
    if not 0 < count < len(annotations.labels):
        raise UsageError(
            f"{share} of {len(annotations.labels)} labels is {count}: some must be unseen, and some seen",
            where="--unseen-share",
        )
    train = annotations.positive.select(annotations.rows("train")).labels
    order = np.argsort(np.bincount(train, minlength=len(annotations.labels)), kind="stable")
    rng = np.random.default_rng(seed)
    seen = np.ones(len(annotations.labels), dtype=bool)
    seen[[rng.choice(stratum) for stratum in np.array_split(order, count)]] = False
    return seen
