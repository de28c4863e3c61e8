"""Every figure of a report against plain readings of the published protocols, on random annotations."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from c2srt_cli.datasets.annotations import Annotations, Incidence
from c2srt_cli.errors import InputError, UsageError
from c2srt_cli.evaluation.comparison import compare
from c2srt_cli.evaluation.protocol import DEFAULT, Protocol, protocol
from c2srt_cli.evaluation.report import SettingReport, evaluate
from c2srt_cli.evaluation.score_file import ScoreFile, write_scores
from c2srt_cli.labels import Label, LabelSet
from c2srt_cli.scoring.average_precision import MeanAP

LABELS, UNSEEN = 23, 8


def annotate(truth: np.ndarray, *, complete: bool, dataset: str = "table", unseen: int = UNSEEN) -> Annotations:
    """Annotations of a ``(N, L)`` truth; every third image is for training, the last labels are unseen."""
    count, labels = truth.shape
    nothing: Sequence[list[int]] = [[]] * count
    return Annotations(
        root=Path("photos"),
        labels=LabelSet(tuple(Label(f"label {i}") for i in range(labels))),
        seen=np.arange(labels) < labels - unseen,
        paths=tuple(f"{i}.jpg" for i in range(count)),
        split=np.where(np.arange(count) % 3 == 0, "train", "test"),
        positive=Incidence.from_lists([np.flatnonzero(row == 1).tolist() for row in truth]),
        negative=Incidence.from_lists(nothing if complete else [np.flatnonzero(row == -1).tolist() for row in truth]),
        complete=complete,
        dataset=dataset,
    )


def score(path: Path, annotations: Annotations, scores: np.ndarray, rows: np.ndarray | None = None) -> ScoreFile:
    """A score file of the test images, or of some rows in their order; ``scores`` is ``(N, L)`` of all of them."""
    rows = annotations.rows("test") if rows is None else rows
    facts = {"method": "ours", "annotations": annotations.fingerprint}
    with write_scores(path, rows, np.arange(scores.shape[1]), facts) as writer:
        for block in np.array_split(scores[rows], 4):
            writer.add(block)
    return ScoreFile.open(path)


@pytest.fixture(autouse=True)
def _small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("c2srt_cli.evaluation.selection.PIECE", 5000)  # several pieces of labels and of images


def random_set(complete: bool, count: int = 300) -> tuple[np.ndarray, np.ndarray]:
    """Truth with a label that is never present, one of which nothing is known, and scores without ties."""
    generator = np.random.default_rng(7)
    p = [0.92, 0.0, 0.08] if complete else [0.3, 0.65, 0.05]
    truth = generator.choice(np.array([-1, 0, 1]), (count, LABELS), p=p)
    truth[:, 2] = np.minimum(truth[:, 2], 0) if not complete else -1
    truth[:, 20] = -1
    if not complete:
        truth[:, 4] = 0
    scores = generator.random((count, LABELS)).astype(np.float32) + 0.3 * (truth == 1)
    return truth, scores.astype(np.float32)


def plain_f1(scores: np.ndarray, truth: np.ndarray, k: int) -> tuple[float, float, float]:
    """METHODS 6.2 to the letter."""
    prediction = np.zeros_like(truth)
    for row, values in zip(prediction, scores, strict=True):
        row[np.argsort(-values, kind="stable")[:k]] = 1
    right = ((prediction == 1) & (truth == 1)).sum()
    p, r = right / (len(truth) * k), right / (truth == 1).sum()
    return p, r, 2 * p * r / (p + r)


def check_at(setting: SettingReport, scores: np.ndarray, truth: np.ndarray, ks: Sequence[int]) -> None:
    assert [at.k for at in setting.at] == list(ks)
    for at in setting.at:
        np.testing.assert_allclose([at.precision, at.recall, at.f1], plain_f1(scores, truth, at.k), rtol=1e-12)
        assert at.positives_per_image == pytest.approx(setting.positives_per_image)
    assert setting.positives_per_image == pytest.approx((truth == 1).sum(1).mean())


@pytest.mark.parametrize("labelled", [False, True], ids=["all images", "labelled only"])
def test_a_complete_set_is_scored_as_published_code_does(tmp_path: Path, labelled: bool) -> None:
    truth, scores = random_set(complete=True)
    annotations = annotate(truth, complete=True)
    file = score(tmp_path / "s", annotations, scores)
    how = Protocol("x", (3, 5, 10), labelled, "")
    report = evaluate(annotations, how, {"ZSL": file, "GZSL": file})
    assert report.method == "ours"
    test = annotations.rows("test")
    for setting, columns in zip(report.settings, (np.arange(LABELS - UNSEEN, LABELS), np.arange(LABELS)), strict=True):
        there, ranked = truth[np.ix_(test, columns)], scores[np.ix_(test, columns)]
        keep = (there == 1).any(1) if labelled else np.ones(len(test), bool)
        there, ranked = there[keep], ranked[keep]
        assert (setting.images, setting.wanted) == (keep.sum(), keep.sum())
        present = (there == 1).any(0)
        assert present.sum() == len(columns) - (1 if setting.setting == "ZSL" else 2)
        ap = [
            average_precision_score(t == 1, s) if (t == 1).any() else 0 for t, s in zip(there.T, ranked.T, strict=True)
        ]
        assert setting.mean.with_zeros == pytest.approx(np.mean(ap), abs=1e-9)
        assert setting.mean.left_out == pytest.approx(np.array(ap)[present].mean(), abs=1e-9)
        np.testing.assert_allclose(np.nan_to_num(setting.ap), ap, atol=1e-9)
        np.testing.assert_array_equal(setting.positives, (there == 1).sum(0))
        check_at(setting, ranked, there, [k for k in (3, 5, 10) if k <= len(columns)])
    both = report.settings[1]
    unseen = both.columns >= LABELS - UNSEEN
    assert both.unseen.with_zeros == pytest.approx(np.nan_to_num(both.ap[unseen]).mean())
    assert both.seen.left_out == pytest.approx(np.nanmean(both.ap[~unseen]))
    s, u = both.seen.left_out, both.unseen.left_out
    assert both.harmonic == pytest.approx(2 / (1 / s + 1 / u))
    assert report.settings[0].seen.classes == 0


def test_open_images_are_scored_over_verified_labels_by_the_published_rules(tmp_path: Path) -> None:
    truth, scores = random_set(complete=False)
    annotations = annotate(truth, complete=False, dataset="open-images")
    file = score(tmp_path / "s", annotations, scores)
    how = Protocol("verified", (4, 8), labelled_only=True, summary="")
    assert protocol("open-images").labelled_only
    report = evaluate(annotations, how, {"ZSL": file, "GZSL": file})
    test = annotations.rows("test")
    for setting, columns in zip(report.settings, (np.arange(LABELS - UNSEEN, LABELS), np.arange(LABELS)), strict=True):
        there, ranked = truth[np.ix_(test, columns)], scores[np.ix_(test, columns)]
        images = np.clip(there, 0, 1).sum(1).nonzero()[0]  # rule 1: images with a positive
        there, ranked = there[images], ranked[images]
        annotated = (there != 0).sum(0).nonzero()[0]  # rule 3: labels with any annotation
        assert len(columns) - len(annotated) == (setting.setting == "GZSL")
        ap = np.zeros(len(annotated))
        for place, column in enumerate(annotated):
            verified = there[:, column] != 0  # rule 2
            if (there[:, column] == 1).any():
                ap[place] = average_precision_score(there[verified, column] == 1, ranked[verified, column])
        assert setting.images == len(images)
        assert setting.mean.with_zeros == pytest.approx(ap.mean(), abs=1e-9)
        assert setting.mean.classes == len(annotated)
        assert setting.mean.without_positives == (ap == 0).sum()
        check_at(setting, ranked, there, how.ks)  # over all labels: unverified ones count as wrong


def test_the_order_of_the_file_does_not_matter(tmp_path: Path) -> None:
    truth, scores = random_set(complete=True)
    annotations = annotate(truth, complete=True)
    mixed = np.random.default_rng(1).permutation(annotations.rows("test"))
    reports = [
        evaluate(annotations, DEFAULT, {"GZSL": file}, replicates=20).settings[0]
        for file in (score(tmp_path / "a", annotations, scores), score(tmp_path / "b", annotations, scores, mixed))
    ]
    np.testing.assert_array_equal(reports[0].ap, reports[1].ap)
    assert reports[0].at == reports[1].at
    assert reports[0].interval == reports[1].interval
    assert reports[0].interval is not None
    assert reports[0].interval.low < reports[0].mean.left_out < reports[0].interval.high


def test_missing_images_stop_it_unless_allowed_and_are_counted(tmp_path: Path) -> None:
    truth, scores = random_set(complete=True)
    annotations = annotate(truth, complete=True)
    test = annotations.rows("test")
    file = score(tmp_path / "s", annotations, scores, test[15:])
    with pytest.raises(InputError, match=r"15 of the 200 images[^$]*1\.jpg[^$]*and 5 more[^$]*--allow-missing"):
        evaluate(annotations, DEFAULT, {"ZSL": file})
    report = evaluate(annotations, DEFAULT, {"ZSL": file}, allow_missing=True).settings[0]
    assert (report.images, report.wanted) == (185, 200)
    none = score(tmp_path / "train", annotations, scores, annotations.rows("train"))
    with pytest.raises(InputError, match="no image"):
        evaluate(annotations, DEFAULT, {"ZSL": none}, allow_missing=True)


def test_scores_of_something_else_are_refused(tmp_path: Path) -> None:
    truth, scores = random_set(complete=True)
    annotations, other = annotate(truth, complete=True), annotate(truth[::-1], complete=True)
    with pytest.raises(InputError, match="other annotations"):
        evaluate(annotations, DEFAULT, {"ZSL": score(tmp_path / "s", other, scores)})
    fewer = score(tmp_path / "t", annotations, scores[:, :-2])
    with pytest.raises(InputError, match=r"no scores of 2 labels\n  label 21\n  label 22"):
        evaluate(annotations, DEFAULT, {"ZSL": fewer})
    everything_seen = annotate(truth, complete=True, unseen=0)
    with pytest.raises(InputError, match="no label is unseen"):
        evaluate(everything_seen, DEFAULT, {"ZSL": score(tmp_path / "u", everything_seen, scores)})
    with pytest.raises(UsageError, match="F, L"):
        protocol("nus-wide", "X")
    assert [protocol("nus-wide", name).labelled_only for name in (None, "F", "L")] == [False, False, True]
    assert [protocol("ram-json", name).labelled_only for name in (None, "labelled")] == [False, True]


def test_a_comparison_is_paired_and_pooled_over_seeds(tmp_path: Path) -> None:
    truth, scores = random_set(complete=True)
    annotations = annotate(truth, complete=True)
    generator = np.random.default_rng(3)
    better = [scores + 0.1 * (truth == 1) + 0.02 * generator.random(scores.shape) for _ in range(3)]
    files = [score(tmp_path / f"b{i}", annotations, one) for i, one in enumerate(better)]
    base = score(tmp_path / "a", annotations, scores)
    got = compare(annotations, DEFAULT, "ZSL", files, [base], replicates=200)
    means = [evaluate(annotations, DEFAULT, {"ZSL": file}).settings[0].mean.left_out for file in (*files, base)]
    assert (*got.first, *got.second) == tuple(means)
    assert got.difference.estimate == pytest.approx(np.mean(means[:3]) - means[3])
    assert got.difference.low < got.difference.estimate < got.difference.high
    assert got.difference.excludes_zero
    assert (got.images, got.wanted) == (200, 200)
    same = compare(annotations, DEFAULT, "ZSL", [base], [base], replicates=50)
    assert (same.difference.low, same.difference.high) == (0.0, 0.0)  # paired: the same images in every replicate
    assert not same.difference.excludes_zero
    # paired intervals are narrower than those of either side
    alone = evaluate(annotations, DEFAULT, {"ZSL": base}, replicates=200).settings[0].interval
    assert alone is not None
    assert got.difference.high - got.difference.low < 0.7 * (alone.high - alone.low)
    partial = score(tmp_path / "c", annotations, scores, annotations.rows("test")[1:])
    with pytest.raises(InputError, match="other images than the rest"):
        compare(annotations, DEFAULT, "ZSL", files, [partial], replicates=10, allow_missing=True)


def test_the_mean_of_nothing_known_is_unknown() -> None:
    assert np.isnan(MeanAP.of(np.empty(0)).with_zeros)
