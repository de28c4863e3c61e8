"""The gain of a graph without training, fitted where annotations are: on training images."""

import numpy as np
import torch

from c2srt_cli.datasets.annotations import Annotations
from c2srt_cli.embeddings.store import Store
from c2srt_cli.errors import InputError
from c2srt_cli.predict.predictor import Predictor
from c2srt_cli.progress import Progress
from c2srt_cli.training.data import BATCH
from c2srt_cli.training.propagation_fit import GAINS, LEAST, best_gain
from c2srt_cli.training.tokens import TokenSet

#: Training images that are looked at, at most.
IMAGES = 2000


@torch.inference_mode()
def fit_gain(one: Predictor, store: Store, annotations: Annotations, progress: Progress) -> None:
    """Set the gain of a method that is not trained, by seen labels on training images; see `best_gain`.

    Args:
        one: For all labels, with a graph.
        store: Tokens of training images among others.
        annotations: What is known of them.
        progress: Told what was found.

    Raises:
        InputError: there are too few images or labels to fit it on.
    """
    assert one.model.propagation is not None
    tokens = TokenSet.of(store, annotations, "train")
    places = np.arange(len(tokens))
    if len(places) > IMAGES:
        places = np.sort(np.random.default_rng(0).permutation(places)[:IMAGES])
    seen = one.of_columns(np.flatnonzero(annotations.seen))
    rows, base, added = list[np.ndarray](), list[np.ndarray](), list[np.ndarray]()
    gain = one.model.propagation.gain
    for numbers, batch, stored in tokens.batches(places, BATCH):
        found = seen(batch, stored)
        assert found.base is not None
        assert found.contribution is not None
        own, more = found.base[:, : len(seen.columns)], found.contribution.sum(2) / gain
        rows.append(numbers)
        base.append(own[: len(numbers)].cpu().numpy())
        added.append(more[: len(numbers)].cpu().numpy())
    heard = np.zeros(len(seen.columns), bool)
    truth = annotations.truth(np.concatenate(rows), seen.columns) if rows else np.zeros((0, len(seen.columns)))
    if rows:
        heard = (truth > 0).any(0) & seen.labels.layers[0].mask[:, 1:].any(1).cpu().numpy()
    if heard.sum() < LEAST:
        raise InputError(
            f"training images show {heard.sum()} seen labels that have a source, and the gain takes {LEAST}",
            where=str(store.folder),
            hint="give the gain as a number: --set propagation.gain=0.2",
        )
    chosen, precision = best_gain(np.concatenate(base)[:, heard], np.concatenate(added)[:, heard], truth[:, heard])
    gain.fill_(GAINS[chosen])
    progress.note(
        f"gain {GAINS[chosen]}: mean AP of {heard.sum()} seen labels on {len(truth):,} training images "
        f"{precision[0].mean():.3f}, with the graph {precision[chosen].mean():.3f}"
    )
