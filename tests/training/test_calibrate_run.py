"""The calibration of a run against plain loops: over images, labels and edges, with a fit by scikit-learn."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from tiny_runs import needs_graph, write_with_graph

from c2srt_cli.progress import Progress
from c2srt_cli.scoring.calibration import Calibration
from c2srt_cli.training import calibrate
from c2srt_cli.training.calibrate import best_threshold, logistic
from c2srt_cli.training.config import resolve
from c2srt_cli.training.fit import FitResult, fit
from c2srt_cli.training.job import TrainJob
from c2srt_cli.training.prepare import TrainOptions, prepare_training
from c2srt_cli.training.run import Run
from c2srt_cli.training.train import train

SEEN = 5


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images, annotations, tokens and a graph."""
    return write_with_graph(tmp_path_factory.mktemp("inputs"), photos=40, train=36, labels=8, seen=SEEN)


def by_hand(job: TrainJob, method: Any, run: Any, hidden: set[int], labels: list[int]) -> np.ndarray:
    """Logits ``(N, n)`` of the validation set: ``hidden`` labels are as unseen, and take what ``run`` has fitted."""
    data, weight = job.data, job.options.zero_shot_weight
    text, places = data.vocabulary.text, np.arange(len(data.validation))
    rows = []
    for place in places:
        _, tokens, _ = next(data.validation.batches(places[place : place + 1], 1))
        asked = data.labels_of(method, np.array(labels))
        image = method.embed(tokens.to("cpu", torch.float32), asked, data.split_stage, None, frozen=True)
        own, frozen = (
            {label: method.base_scores(some, text[labels])[0][0, i] for i, label in enumerate(labels)}
            if method.name == "ram"
            else {label: method.base_scores(some, text[[label]])[0][0, 0] for label in range(SEEN)}
            for some in (image, image.frozen)
        )
        mixed = {n: (1 - weight) * s + weight * frozen[n] if n in hidden else s for n, s in own.items()}
        if method.name == "ram":
            scales = method.log_scales.exp()
            mixed = {n: (s * scales).mean() / method.backbone.logit_scale for n, s in mixed.items()}
        found = []
        for label in labels:
            score = float(mixed[label])
            if job.graph is not None and label in hidden:
                for edge in job.graph.edges:
                    if edge.target == label and edge.source < SEEN and edge.source not in hidden:
                        center = float(run.propagation.center)
                        score += float(run.propagation.gain) * edge.strength * (float(mixed[edge.source]) - center)
            found.append(score)
        rows.append(found)
    return np.array(rows)


def fitted(logits: np.ndarray, present: np.ndarray) -> tuple[float, float]:
    """Platt's map by scikit-learn."""
    target = np.where(present, (present.sum() + 1) / (present.sum() + 2), 1 / ((~present).sum() + 2)).ravel()
    mean, spread = logits.mean(), logits.std()
    rows = ((logits.ravel() - mean) / spread)[:, None]
    model = LogisticRegression(C=np.inf, tol=1e-12, max_iter=10_000, solver="newton-cholesky").fit(
        np.concatenate([rows, rows]), np.repeat([1, 0], len(rows)), np.concatenate([target, 1 - target])
    )
    slope = max(float(model.coef_[0, 0]) / spread, 1e-6)
    return slope, float(model.intercept_[0]) - slope * mean


@pytest.mark.parametrize(
    ("method", "given"),
    [
        ("label-propagation", {"zero_shot_weight": 0.0, "propagation.gain": 0.3}),
        ("label-propagation", {"zero_shot_weight": 0.75, "propagation.gain": 0.0}),
        ("label-propagation", {"zero_shot_weight": 0.6, "propagation.gain": "fit"}),
        ("ram", {"zero_shot_weight": 0.5, "patch_attention": "none", "trained_stages": 1, "adapters.stages": 0}),
    ],
    ids=str,
)
def test_both_maps_are_those_of_plain_loops(
    method: str, given: dict[str, Any], inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calibrate, "PSEUDO_UNSEEN", 0.6)  # three of five
    seconds = list[FitResult]()

    def second(*args: Any) -> FitResult:
        seconds.append(fit(*args))
        return seconds[-1]

    mapped = list[np.ndarray]()

    def recorded(scores: np.ndarray, truth: np.ndarray) -> Calibration:
        mapped.append(scores)
        return logistic(scores, truth)

    monkeypatch.setattr(calibrate, "fit", second)
    monkeypatch.setattr(calibrate, "logistic", recorded)
    own: dict[str, Any] = {"epochs": 2, "batch_size": 8, "validation": 0.4, "lr": 1e-3, "lr_new": 1e-2, **given}
    own |= {"text_tokens.count": 0} if method == "ram" else {"neighbours": 3}
    config = resolve(method, own)
    graph = str(inputs / "graph.json") if needs_graph(config) else None
    job = prepare_training(TrainOptions(inputs / "e", inputs / "a", tmp_path / "run", config, graph), Progress())
    train(job, Progress())
    opened = Run.open(tmp_path / "run")
    model, (again,) = opened.method(), seconds
    hidden = calibrate.pseudo_unseen(job.data, 0).tolist()
    assert len(hidden) == 3
    truth = job.data.annotations.truth(job.data.validation.rows, np.arange(SEEN)) > 0
    assert opened.calibration is not None
    kept = opened.calibration
    with torch.inference_mode():
        seen = by_hand(job, model, model, set(), list(range(SEEN)))
        unseen = by_hand(job, again.method, model, set(hidden), hidden)
    np.testing.assert_allclose(mapped[0], seen, atol=2e-6)
    np.testing.assert_allclose(mapped[1], unseen, atol=2e-6)
    for found, logits, present in ((kept.seen, seen, truth), (kept.unseen, unseen, truth[:, hidden])):
        assert (found.slope, found.intercept) == pytest.approx(fitted(logits, present), rel=2e-3, abs=2e-3)
    for threshold, found, logits, present in (
        (kept.threshold, kept.seen, seen, truth),
        (kept.unseen_threshold, kept.unseen, unseen, truth[:, hidden]),
    ):
        assert threshold == pytest.approx(threshold_by_hand(found, logits, present), abs=1e-3)
    for label in range(SEEN):
        best, positives = threshold_by_hand(kept.seen, seen[:, label], truth[:, label]), int(truth[:, label].sum())
        mean = (positives * best + 10 * kept.threshold) / (positives + 10)
        assert kept.thresholds.get(f"thing {label}") == (pytest.approx(mean, abs=1e-3) if positives else None)


def threshold_by_hand(found: Calibration, logits: np.ndarray, present: np.ndarray) -> float:
    """Of the probabilities that a plain loop gives."""
    probabilities = 1 / (1 + np.exp(-(found.slope * logits + found.intercept)))
    return best_threshold(probabilities.ravel(), np.where(present, 1, -1).ravel())
