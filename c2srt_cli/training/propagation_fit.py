"""Transfer, fitted after training without a second one: how much unseen labels take over from seen ones."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from c2srt_cli.backbone.embedding import ImageEmbedding
from c2srt_cli.methods.method import Method
from c2srt_cli.methods.vocabulary import Labels
from c2srt_cli.progress import Progress
from c2srt_cli.scoring.average_precision import average_precision
from c2srt_cli.training.data import TrainingData, images_at_once

GAINS = (0.0, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6)
#: A gain is fitted on this many labels at least.
LEAST = 3


@torch.inference_mode()
def fit_transfer(method: Method, data: TrainingData, progress: Progress) -> None:
    """Set what a method fits on the validation set, see `fit_propagation`; of IST the gain alone."""
    if method.propagation is not None:
        fit_propagation(method, data, progress)
        return
    method.eval()
    (gain,) = method.fitted
    asked = data.labels_of(method, data.labels)
    own, added, images = list[Tensor](), list[Tensor](), list[np.ndarray]()
    for numbers, image in _embedded(method, data, asked):
        untaught, more = method.as_unseen(image, asked)
        own.append(untaught.cpu())
        added.append(more.cpu())
        images.append(numbers)
    if own and asked.layers:
        truth = data.annotations.truth(np.concatenate(images), data.labels)
        hear = asked.layers[0].mask[: len(data.labels), 1:].any(1).cpu().numpy()
        _fit_gain(gain, torch.cat(own), torch.cat(added), truth, hear, progress)


@torch.inference_mode()
def fit_propagation(method: Method, data: TrainingData, progress: Progress) -> None:
    """Set the center and, where that is asked for, the gain of label propagation, on the validation set.

    The center is the mean of seen labels' scores, where they are softmaxes of their logits. For the gain each seen
    label stands in for an unseen one: its own score is the frozen backbone's, which has not been taught it; those of
    its sources are the trained ones. Of gains the smallest is taken whose mean AP over labels is within a standard
    error of the best one's (Breiman et al. 1984), as labels differ more than gains do. Labels without positives, or
    without a seen source, say nothing; where fewer than `LEAST` say something, the gain stays as it is.

    Args:
        method: Trained.
        data: What it has learned from.
        progress: Told what was found.
    """
    method.eval()
    gain, center = method.fitted
    asked, graph = data.labels_of(method, data.labels), data.vocabulary.graph
    own, before, images = list[Tensor](), list[Tensor](), list[np.ndarray]()
    for numbers, image in _embedded(method, data, asked):
        assert image.frozen is not None
        own.append(method.base_scores(image, asked.asked_text)[0].cpu())
        before.append(method.base_scores(image.frozen, asked.frozen_text[: asked.asked])[0].cpu())
        images.append(numbers)
    if graph is None or not own:
        return
    trained = torch.cat(own)
    center.copy_(method.combined(trained, vocabulary_free=True).mean())
    now, untaught = method.combined(trained), method.combined(torch.cat(before))
    truth = data.annotations.truth(np.concatenate(images), data.labels)
    place = np.full(len(data.vocabulary.text), -1)
    place[data.labels] = np.arange(len(data.labels))
    mixing = torch.zeros(len(data.labels), len(data.labels))
    for edge in graph.edges:
        if place[edge.source] >= 0 <= place[edge.target]:
            mixing[place[edge.target], place[edge.source]] = edge.strength
    if method.options.propagation.gain == "fit":
        _fit_gain(gain, untaught, now @ mixing.T, truth, (mixing > 0).any(1).numpy(), progress)


def _embedded(method: Method, data: TrainingData, asked: Labels) -> Iterator[tuple[np.ndarray, ImageEmbedding]]:
    """Numbers of validation images and their embeddings, trained and frozen, under the run's precision."""
    size = images_at_once(method, len(data.vocabulary.text))
    for numbers, tokens, _ in data.validation.batches(np.arange(len(data.validation)), size):
        if len(numbers):
            with data.precision(method.device):
                moved = tokens.to(method.device, method.dtype)
                patch_attention = method.need.patch_attention
                yield numbers, method.embed(moved, asked, data.split_stage, patch_attention, frozen=True).float()


def _fit_gain(  # noqa: PLR0917
    gain: Tensor, own: Tensor, added: Tensor, truth: np.ndarray, hear: np.ndarray, progress: Progress
) -> None:
    """Set the gain by those labels ``(C,)`` that hear somebody; `fit_propagation` says how."""
    present = (truth > 0).any(0) & hear
    if present.sum() < LEAST:
        return
    chosen, precision = best_gain(own.numpy()[:, present], added.numpy()[:, present], truth[:, present])
    gain.fill_(GAINS[chosen])
    progress.note(
        f"gain {GAINS[chosen]}: mean AP of {present.sum()} seen labels by the frozen backbone's own scores "
        f"{precision[0].mean():.3f}, with transfer {precision[chosen].mean():.3f}"
    )


def best_gain(own: np.ndarray, added: np.ndarray, truth: np.ndarray) -> tuple[int, np.ndarray]:
    """The place in `GAINS` of the smallest one whose mean AP is within a standard error of the best one's.

    Args:
        own: Labels' own scores, ``(N, C)``.
        added: What others add at a gain of 1, ``(N, C)``.
        truth: ``(N, C)``: 1 present, -1 absent, 0 unknown; every label is present somewhere.

    Returns:
        The place, and the AP of each label at each gain, ``(len(GAINS), C)``.
    """
    precision = np.stack([average_precision((own + by * added).T, truth.T) for by in GAINS])
    best = precision.mean(1).argmax()
    lost = precision[best] - precision  # of each label
    error = lost.std(1, ddof=1) / np.sqrt(lost.shape[1])
    return next(i for i in range(len(GAINS)) if lost[i].mean() <= error[i]), precision
