"""Scores and annotations → every figure of a protocol: ZSL and GZSL, per class and over classes."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from c2srt_cli.datasets.annotations import Annotations
from c2srt_cli.evaluation.comparison import resampled_maps
from c2srt_cli.evaluation.protocol import SETTINGS, Protocol, label_counts
from c2srt_cli.evaluation.score_file import ScoreFile
from c2srt_cli.evaluation.selection import Selection, select
from c2srt_cli.scoring.average_precision import MeanAP, average_precision
from c2srt_cli.scoring.bootstrap import Interval
from c2srt_cli.scoring.top_k import AtK, harmonic_mean, hits_at


@dataclass(frozen=True, eq=False)
class SettingReport:
    """Figures of one setting.

    Attributes:
        setting: ``ZSL`` or ``GZSL``.
        images: Images that were ranked.
        wanted: Images that the protocol names.
        positives_per_image: Ranked labels that an image has in the mean (METHODS 6.4).
        columns: ``(C,)`` ids of the ranked labels.
        ap: ``(C,)`` their average precision, NaN without positives.
        positives: ``(C,)`` images that have them.
        annotated: ``(C,)`` bool: anything is known of them.
        mean: Mean AP over all of them.
        seen: Over the seen ones.
        unseen: Over the unseen ones, ranked among the same images.
        at: Precision, recall and F1 at each K that does not exceed the number of labels.
        interval: Of the mean without empty classes; None where no bootstrap was asked for.
    """

    setting: str
    images: int
    wanted: int
    positives_per_image: float
    columns: np.ndarray
    ap: np.ndarray
    positives: np.ndarray
    annotated: np.ndarray
    mean: MeanAP
    seen: MeanAP
    unseen: MeanAP
    at: tuple[AtK, ...]
    interval: Interval | None

    @property
    def harmonic(self) -> float:
        """Harmonic mean of the mean AP (empty classes left out) of seen and unseen labels."""
        return harmonic_mean(self.seen.left_out, self.unseen.left_out)


@dataclass(frozen=True, eq=False)
class Report:
    """Figures of one method under one protocol.

    Attributes:
        method: What the scores are of, as their writer said it.
        annotations: The test set.
        protocol: How it was used.
        settings: By setting.
    """

    method: str
    annotations: Annotations
    protocol: Protocol
    settings: tuple[SettingReport, ...]


def evaluate(
    annotations: Annotations,
    protocol: Protocol,
    scores: Mapping[str, ScoreFile],
    *,
    allow_missing: bool = False,
    replicates: int = 0,
    seed: int = 0,
) -> Report:
    """Every figure of a protocol.

    Args:
        annotations: What is true.
        protocol: What counts.
        scores: The scores for each setting, or for one; one file may serve both, where scores do not depend on what is
            ranked.
        allow_missing: Go on where the scores lack images of the protocol.
        replicates: Of the bootstrap over images; none unless given, they take a while on large sets.
        seed: Of the bootstrap.

    Raises:
        InputError: the scores do not belong to the annotations, or lack labels or images.
    """
    reports = []
    for setting in SETTINGS:
        if setting in scores:
            selection = select(annotations, protocol, setting, scores[setting], allow_missing=allow_missing)
            reports.append(_setting(setting, selection, protocol.ks, replicates, seed))
    method = next(iter(scores.values())).facts.get("method", "")
    return Report(method, annotations, protocol, tuple(reports))


def _setting(setting: str, selection: Selection, ks: tuple[int, ...], replicates: int, seed: int) -> SettingReport:
    columns, images = selection.columns, len(selection.kept)
    parts = list(selection.by_labels(_classes))
    ap, positives, annotated = (np.concatenate(column) for column in zip(*parts, strict=True))
    per_image = label_counts(selection.annotations.positive.select(selection.rows), columns).sum() / images
    at = _at(selection, tuple(k for k in ks if k <= len(columns)))
    for one in at:
        if one.recall and not np.isclose(one.positives_per_image, per_image, rtol=1e-9):
            raise ValueError(f"P@{one.k} and R@{one.k} speak of {one.positives_per_image} positives, not {per_image}")
    seen = selection.annotations.seen[columns]
    mean = MeanAP.of(ap, annotated)
    return SettingReport(
        setting=setting,
        images=images,
        wanted=selection.wanted,
        positives_per_image=float(per_image),
        columns=columns,
        ap=ap,
        positives=positives,
        annotated=annotated,
        mean=mean,
        seen=MeanAP.of(ap[seen], annotated[seen]),
        unseen=MeanAP.of(ap[~seen], annotated[~seen]),
        at=at,
        interval=Interval.of(mean.left_out, resampled_maps(selection, replicates, seed)) if replicates else None,
    )


def _classes(scores: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Average precision, positives, and whether anything is known, of each of some labels."""
    present: np.ndarray = (truth > 0).sum(1)
    known: np.ndarray = (truth != 0).any(1)
    return average_precision(scores, truth), present, known


def _at(selection: Selection, ks: tuple[int, ...]) -> tuple[AtK, ...]:
    if not ks:
        return ()
    pieces = selection.by_images(lambda scores, present: (hits_at(scores, present, ks), int(present.sum())))
    hits, positives = zip(*pieces, strict=True)
    totals = np.sum(hits, axis=0).tolist()
    return tuple(AtK.of(k, total, len(selection.kept), sum(positives)) for k, total in zip(ks, totals, strict=True))
