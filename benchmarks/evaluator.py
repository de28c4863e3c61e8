"""The evaluator on as many scores as Open Images has, 125,436 by 7,586: seconds and peak memory; and the bootstrap.

The peer is scikit-learn's ``average_precision_score``, label by label, on a sample of the same scores; the difference
is over that sample. Truth is complete here, which ranks every image for every label: the most work there can be.
``python benchmarks/evaluator.py``; ``--images`` and ``--labels`` make it smaller.
"""

import argparse
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from sklearn.metrics import average_precision_score

from c2srt_cli.datasets.annotations import Annotations, Incidence
from c2srt_cli.evaluation.protocol import protocol
from c2srt_cli.evaluation.report import evaluate
from c2srt_cli.evaluation.score_file import ScoreFile, write_scores
from c2srt_cli.labels import Label, LabelSet
from c2srt_cli.scoring.bootstrap import draw_weights, resampled_average_precision

POSITIVES = 9  # an image, as Open Images has in GZSL
BLOCK = 256


def synthetic(images: int, labels: int) -> Annotations:
    """Annotations with labels as unevenly frequent as tags are; the last 400 in 7,586 are unseen."""
    generator = np.random.default_rng(0)
    weight = 1 / np.arange(1, labels + 1)
    drawn = np.searchsorted(np.cumsum(weight / weight.sum()), generator.random(images * POSITIVES))
    positive = Incidence.from_pairs(np.repeat(np.arange(images), POSITIVES), np.minimum(drawn, labels - 1), images)
    return Annotations(
        root=Path(),
        labels=LabelSet(tuple(Label(f"label {i}") for i in range(labels))),
        seen=np.arange(labels) < labels - max(1, labels * 400 // 7586),
        paths=tuple(f"{i}.jpg" for i in range(images)),
        split=np.full(images, "test"),
        positive=positive,
        negative=Incidence.from_lists([[]] * images),
        complete=True,
        dataset="open-images",
    )


def draw_scores(generator: np.random.Generator, present: np.ndarray) -> np.ndarray:
    """Scores from 0 to 1 of 10^9 values, so that hardly any are equal; those of positives are the best of four."""
    bits = generator.integers(0, 0x3F800000, size=present.shape, dtype=np.uint32)
    more = generator.integers(0, 0x3F800000, size=(3, np.count_nonzero(present)), dtype=np.uint32)
    bits[present] = np.maximum(bits[present], more.max(0))
    return bits.view(np.float32)


def peak_gigabytes() -> float:
    """Most memory that the process has held so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1e9 if sys.platform == "darwin" else 1e6)


def evaluator(path: Path, images: int, labels: int) -> None:
    annotations = synthetic(images, labels)
    generator, columns = np.random.default_rng(1), np.arange(labels)
    drawing = busy = 0.0
    started = time.perf_counter()
    began = time.process_time()
    with write_scores(path, np.arange(images), columns, {}) as writer:
        for start in range(0, images, BLOCK):
            before, at = time.perf_counter(), time.process_time()
            rows = np.arange(start, min(start + BLOCK, images))
            scores = draw_scores(generator, annotations.positive.select(rows).dense(columns))
            drawing += time.perf_counter() - before
            busy += time.process_time() - at
            writer.add(scores)
    writing = time.perf_counter() - started - drawing
    started = time.perf_counter()
    file = ScoreFile.open(path)
    report = evaluate(annotations, protocol("open-images"), {"ZSL": file, "GZSL": file})
    evaluating = time.perf_counter() - started
    total, busy = writing + evaluating, time.process_time() - began - busy
    print(f"{images:,} x {labels:,} scores   written {writing:.0f} s   ZSL and GZSL {evaluating:.0f} s", end="   ")
    print(f"together {total:.0f} s (limit 180), {busy:.0f} s of processor   peak {peak_gigabytes():.2f} GB (limit 4)")

    gzsl = report.settings[1]
    kept = annotations.positive.lengths > 0
    sample = np.flatnonzero(gzsl.positives)[:: max(1, np.count_nonzero(gzsl.positives) // 40)]
    largest, peer, compared = 0.0, 0.0, 0
    for place in sample:
        scores = file.read(np.array([place]))[0, kept]
        truth = annotations.truth(np.flatnonzero(kept), np.array([place]))[:, 0] > 0
        before = time.perf_counter()
        wanted = average_precision_score(truth, scores)
        peer += time.perf_counter() - before
        if not np.isin(scores[truth], scores[~truth]).any():  # scikit-learn settles ties in another way
            largest = max(largest, abs(wanted - gzsl.ap[place]))
            compared += 1
    peer *= labels / len(sample)
    print(
        f"scikit-learn, label by label: {peer:.0f} s for GZSL's AP alone, x {peer / evaluating:.1f} of all of ours",
        end="",
    )
    print(f"   largest difference on {compared} labels {largest:.1e} (limit 1e-9)")


def bootstrap() -> None:
    """Seconds of 1,000 replicates, for a label; the plain way to it repeats the images and ranks them again."""
    generator = np.random.default_rng(2)
    for name, images, rate in (("Corel5k", 499, 0.02), ("NUS-WIDE", 107859, 0.02)):
        scores = generator.random(images).astype(np.float32)
        truth = generator.random(images) < rate
        weights = draw_weights(images, 1000, seed=0)
        started = time.perf_counter()
        resampled_average_precision(scores, truth, weights)
        ours = time.perf_counter() - started
        started = time.perf_counter()
        for column in range(10):
            average_precision_score(truth, scores, sample_weight=weights[:, column])
        peer = (time.perf_counter() - started) * 100
        print(
            f"bootstrap, {name}, 1,000 replicates: {ours:.3f} s a label, scikit-learn {peer:.2f} s, x {peer / ours:.0f}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=125_436)
    parser.add_argument("--labels", type=int, default=7_586)
    parser.add_argument("--work", type=Path, default=None, help="folder for the score file, 3.8 GB")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.work) as folder:
        evaluator(Path(folder) / "scores.safetensors", options.images, options.labels)
    bootstrap()


if __name__ == "__main__":
    main()
