"""Scores on the validation set, of which each process takes a share."""

import math

import numpy as np
import torch

from c2srt_cli.methods.method import Method
from c2srt_cli.scoring.average_precision import average_precision
from c2srt_cli.training.data import TrainingData, images_at_once
from c2srt_cli.training.processes import objects_of_all, rank, world


@torch.inference_mode()
def predict(
    method: Method, data: TrainingData, labels: np.ndarray, *, logit: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Scores of some labels on the validation set, and the truth: ``(N, C)`` both.

    Args:
        method: Trained.
        data: With the validation set.
        labels: Ids ``(C,)``.
        logit: `Scores.logit` instead of `Scores.ranking`.
    """
    method.eval()
    asked, scores, images = data.labels_of(method, labels), [], []
    size = images_at_once(method, len(data.vocabulary.text))
    own = np.arange(rank(), len(data.validation), world())
    for numbers, tokens, _ in data.validation.batches(own, size):
        if len(numbers):  # some of them can be read
            with data.precision(method.device):
                embedding = method.embed(
                    tokens.to(method.device, method.dtype), asked, data.split_stage, method.need.patch_attention
                ).float()
                found = method.scores(embedding, asked)
            scores.append((found.logit if logit else found.ranking).float().cpu().numpy())
            images.append(numbers)
    failed = data.validation.failed
    parts = objects_of_all((scores, images, failed))
    scores, images = ([some for part in parts for some in part[side]] for side in (0, 1))
    for _, _, theirs in parts:
        failed |= theirs
    if not scores:
        return np.empty((0, len(labels)), np.float32), np.empty((0, len(labels)), np.int8)
    return np.concatenate(scores), data.annotations.truth(np.concatenate(images), labels)


def val_map(method: Method, data: TrainingData) -> float | None:
    """Mean AP of the labels that occur in the validation set; None without any, NaN where scores are no numbers."""
    if not len(data.validation):
        return None
    labels = data.labels
    if len(held_out := method.held_out(labels)):
        data, labels = data.without(held_out), held_out
    scores, truth = predict(method, data, labels)
    if not np.isfinite(scores).all():
        return math.nan
    present = (truth > 0).any(0)
    if not present.any():
        return None
    return float(average_precision(scores[:, present].T, truth[:, present].T).mean())
