"""Why an image was given its labels: the patches that were chosen for each, and the labels that spoke for it."""

from collections.abc import Iterable, Iterator
from typing import Any, TextIO

import numpy as np

from c2srt_cli.backbone.embedding import ImageEmbedding
from c2srt_cli.methods.scores import Scores
from c2srt_cli.predict.predictor import Predictor
from c2srt_cli.tagging.record import KeptImage, TaggedImage
from c2srt_cli.tagging.writers import KeptRows
from c2srt_cli.text import json_text


def explain(
    predictor: Predictor,
    found: Scores,
    embedding: ImageEmbedding,
    image: int,
    *,
    kept: np.ndarray,
    grid: tuple[int, int],
) -> list[dict[str, Any]]:
    """An entry for each of the labels that an image is given, in their order.

    Args:
        predictor: What scored it.
        found: The scores of its batch.
        embedding: The embeddings of the batch.
        image: Its place there.
        kept: Ids of the labels, ``(n,)``.
        grid: Height and width of the map of patches.

    Returns:
        ``patches``: row and column, from 0 at the top left, and similarity of each that spoke for the label, the
        weightiest first; none where the whole image speaks; with KCOT, which weighs every patch, their effective
        number, one over the sum of the squared weights. ``sources``: see `Predictor.sources`. ``base_score``: before
        others' scores were added, where that was done.
    """
    weights, likeness = predictor.patches(embedding, image, kept)
    entries = []
    for place, label in enumerate(kept.tolist()):
        chosen: list[int] = []
        if found.share is not None:
            count = round(float(found.share[image, label]) * weights.shape[1])
            chosen = np.lexsort((-likeness[place], -weights[place]))[:count].tolist()
        entry: dict[str, Any] = {
            "patches": [
                {"row": patch // grid[1], "col": patch % grid[1], "similarity": round(float(likeness[place][patch]), 6)}
                for patch in chosen
            ],
            "sources": predictor.sources(found, image, label),
        }
        if found.base is not None:
            entry["base_score"] = round(float(found.base[image, label]), 6)
        entries.append(entry)
    return entries


def explained(
    rows: Iterable[TaggedImage | KeptImage], stream: TextIO, grid: tuple[int, int], kept: KeptRows | None = None
) -> Iterator[TaggedImage | KeptImage]:
    """Pass images on, and write why each has its labels.

    A line is ``{"path": …, "grid": [height, width], "labels": [{"label", "score", "patches", "sources"}, …]}``.

    Args:
        rows: Images; those that were tagged now have explanations.
        stream: Where the lines go.
        grid: Height and width of the map of patches.
        kept: Gives the line of an image that was not tagged now.
    """
    for row in rows:
        if isinstance(row, TaggedImage) and row.explanation is not None:
            labels = [
                {"label": tag.label, "score": round(tag.score, 6), **entry}
                for tag, entry in zip(row.tags, row.explanation, strict=True)
            ]
            stream.write(json_text({"path": row.path, "grid": grid, "labels": labels}) + "\n")
        else:
            assert kept is not None
            line = kept(row.path)
            assert isinstance(line, KeptImage)
            stream.write(line.text)
        yield row
