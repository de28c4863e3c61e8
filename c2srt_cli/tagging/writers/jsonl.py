"""JSON Lines: one object an image, UTF-8."""

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, TextIO

from c2srt_cli.tagging.record import FailedImage, KeptImage, Tag, TaggedImage
from c2srt_cli.tagging.writers.context import KeptRows, WriteContext
from c2srt_cli.tagging.writers.lines import text_rows
from c2srt_cli.text import json_text


def write_jsonl(rows: Iterable[TaggedImage | KeptImage], stream: TextIO, context: WriteContext) -> list[FailedImage]:
    """Write ``{"path": …, "tags": [{"label", "score", "probability", "share"}, …]}`` for each image.

    Numbers have 6 decimals. With `WriteContext.all_scores` the object ends in ``"scores"``: label to score, in the
    order of the label set.
    """
    for row in rows:
        if isinstance(row, KeptImage):
            stream.write(row.text)
            continue
        value: dict[str, Any] = {"path": row.path, "tags": [_tag(tag) for tag in row.tags]}
        if context.all_scores and row.scores is not None:
            value["scores"] = {label: round(score, 6) for label, score in zip(context.labels, row.scores, strict=True)}
        stream.write(f"{json_text(value)}\n")
    return []


def jsonl_rows(path: Path, names: Sequence[str], context: WriteContext) -> AbstractContextManager[KeptRows]:  # noqa: ARG001
    """The lines of a file that `write_jsonl` wrote."""
    return text_rows(path, names, lambda name: f'{{"path": {json_text(name)}, ')


def _tag(tag: Tag) -> dict[str, str | float | None]:
    return {
        "label": tag.label,
        "score": round(tag.score, 6),
        "probability": None if tag.probability is None else round(tag.probability, 6),
        "share": None if tag.share is None else round(tag.share, 6),
    }
