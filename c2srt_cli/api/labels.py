"""Labels as programs give them."""

from collections.abc import Iterable
from pathlib import Path
from typing import TypeAlias

from c2srt_cli.labels import Label, LabelSet, LabelSpec

#: A file, words, a `LabelSet`, or its labels one by one.
Labels: TypeAlias = LabelSpec | Iterable[str | Label]


def label_spec(labels: Labels) -> LabelSpec:
    """What `read_labels` takes."""
    return labels if isinstance(labels, str | Path | LabelSet) else LabelSet.of(labels)
