"""Why an image was given its labels: the patches that were chosen for each, and the labels that spoke for it."""

import json
from collections.abc import Iterable, Iterator
from typing import Any, TextIO

import numpy as np
import torch
from torch import Tensor

from c2srt_cli.methods.recogniser import Explained
from c2srt_cli.tagging.record import KeptImage, TaggedImage
from c2srt_cli.tagging.scoring import Scoring
from c2srt_cli.tagging.writers import KeptRows


def explain(
    scoring: Scoring, found: Explained, image: int, patches: Tensor, *, kept: np.ndarray, grid: tuple[int, int]
) -> list[dict[str, Any]]:
    """An entry for each of the labels that an image is given, in their order.

    Args:
        scoring: What scored it.
        found: The scores of its batch.
        image: Its place there.
        patches: Its own, ``(P, D)``, row by row.
        kept: Ids of the labels, ``(n,)``.
        grid: Height and width of the map of patches.

    Returns:
        ``patches``: row and column, from 0 at the top left, and similarity of each that was chosen, best first; none
        where the whole image speaks; with KCOT, which weighs every patch, their effective number, one over
        the sum of the squared weights. ``sources``: see `Trained.sources`. ``own_score``: before others' scores were
        added, where that was done.
    """
    similarity = scoring.similarity(patches, torch.from_numpy(kept).to(patches.device)).cpu().numpy()  # (n, P)
    entries = []
    for row, label in zip(similarity, kept.tolist(), strict=True):
        # patches are always chosen best first, so their number says which they are
        count = 0 if found.share is None else round(float(found.share[image, label]) * len(row))
        chosen = np.argsort(-row, kind="stable")[:count]
        entry: dict[str, Any] = {
            "patches": [
                {"row": place // grid[1], "col": place % grid[1], "similarity": round(float(row[place]), 6)}
                for place in chosen.tolist()
            ],
            "sources": scoring.sources(found, image, label),
        }
        if found.own is not None:
            entry["own_score"] = round(float(found.own[image, label]), 6)
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
            stream.write(json.dumps({"path": row.path, "grid": grid, "labels": labels}, allow_nan=False) + "\n")
        else:
            assert kept is not None
            line = kept(row.path)
            assert isinstance(line, KeptImage)
            stream.write(line.text)
        yield row
