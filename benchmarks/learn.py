"""What a few verdicts on a label are worth: mean AP and F1 by verdicts a label, on Corel5k's training photographs.

Twelve labels, at even steps from the most to the least frequent of those with 60 training photographs or more: fewer
would leave too few unjudged ones in a half of the photographs. The vocabulary is all labels of that frequency. Verdicts
are true annotations, on what the page of ``c2srt review`` shows first of a label, or on random ones of those that it
shows (what is given, and the 100 best others).

The photographs are halved five times at random. Shrinkage and threshold are chosen on the first halves (``--choose``
prints the figures of others), curves are of the second ones. Judged photographs do not count. A difference is shown
with its interval of 95 % by a paired bootstrap over photographs, the mean of the draws', and of the worst draw.

``c2srt embed --annotations A --out E``, then ``python benchmarks/learn.py E A``; a minute.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from c2srt_cli.datasets.annotations import read_annotations
from c2srt_cli.labels import LabelSet
from c2srt_cli.learning import cache_fit
from c2srt_cli.learning.examples import Scored, score
from c2srt_cli.learning.fit_labels import fit_labels, starts_of
from c2srt_cli.progress import Progress
from c2srt_cli.review.ranking import OTHERS
from c2srt_cli.scoring.average_precision import average_precision
from c2srt_cli.scoring.bootstrap import Interval, draw_weights, mean_over_classes, resampled_average_precision
from c2srt_cli.tagging.options import TagOptions
from c2srt_cli.tagging.tag import prepare_tagging

COUNTS, DRAWS, LABELS, FREQUENT, REPLICATES = (2, 5, 10, 20, 40), 5, 12, 60, 200


class Collection:
    """Corel5k's training photographs: scores, embeddings, truth.

    Args:
        embeddings: Folder of their embeddings.
        annotations: Folder of their annotations.
    """

    def __init__(self, embeddings: Path, annotations: Path) -> None:
        known = read_annotations(annotations)
        rows = known.rows("train")
        truth = known.truth(rows, np.arange(len(known.labels))) > 0
        count = truth.sum(0)
        frequent = np.flatnonzero(count >= FREQUENT)
        frequent = frequent[np.argsort(-count[frequent], kind="stable")]
        labels = LabelSet(tuple(known.labels.labels[i] for i in frequent))
        self.job = prepare_tagging(TagOptions((str(embeddings),), labels), Progress())
        items = {item.name: item for item in self.job.source.items}
        self.found = score(self.job, [items[known.paths[row]] for row in rows], Progress())
        self.truth = truth[:, frequent]
        self.chosen = np.linspace(0, len(labels) - 1, LABELS).round().astype(int)
        print(f"{len(rows):,} photographs, {len(labels)} labels, judged: ", end="")
        print(", ".join(f"{labels.names[i]} ({self.truth[:, i].sum()})" for i in self.chosen))

    def half(self, draw: int, side: int) -> tuple[Scored, np.ndarray]:
        """One half of the photographs, and its truth."""
        order = np.random.default_rng(draw).permutation(len(self.truth))
        middle = len(order) // 2
        rows = np.sort(order[:middle] if side == 0 else order[middle:])
        found = self.found
        names = [found.names[i] for i in rows]
        return Scored(names, found.embeddings[rows], found.logits[rows], found.given[rows], []), self.truth[rows]

    def judged(self, half: Scored, truth: np.ndarray, count: int, order: str, draw: int) -> np.ndarray:
        """Verdicts ``(N, L)`` int8 on so many photographs a label."""
        verdicts = np.zeros(truth.shape, np.int8)
        for label in self.chosen:
            scores, given = half.logits[:, label], half.given[:, label]
            best = np.argsort(-scores, kind="stable")
            page = np.concatenate([best[given[best]], best[~given[best]][:OTHERS]])
            if order == "random":
                page = np.random.default_rng((draw, int(label))).permutation(page)
            verdicts[page[:count], label] = np.where(truth[page[:count], label], 1, -1)
        return verdicts

    def after(self, half: Scored, verdicts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Scores and what is given of the labels that were judged, ``(N, 12)`` both."""
        mine = np.flatnonzero(verdicts.any(1))
        columns = self.chosen
        _, _, model = fit_labels(self.job.labels, starts_of(self.job, half), half, mine, verdicts[mine])
        order = np.argsort(np.argsort(columns))
        scores = half.logits[:, columns] + model(half.embeddings).numpy()[:, order]
        return scores, scores >= model.thresholds.numpy()[order]


def f1(given: np.ndarray, truth: np.ndarray, open_: np.ndarray) -> tuple[float, float, float]:
    """Precision, recall and F1 of what is given, all labels together, of what was not judged."""
    hits, count, there = (given & truth & open_).sum(), (given & open_).sum(), (truth & open_).sum()
    return hits / max(count, 1), hits / there, 2 * hits / max(count + there, 1)


def bootstrap(before: np.ndarray, after: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Differences of mean AP in each replicate, ``(R,)``; entries whose truth is 0 do not count."""
    weights = draw_weights(len(truth), REPLICATES, 0)
    drawn = (
        mean_over_classes(
            np.stack([resampled_average_precision(s, t, weights) for s, t in zip(x.T, truth.T, strict=True)])
        )
        for x in (before, after)
    )
    first, second = drawn
    found: np.ndarray = second - first
    return found


def curve(
    collection: Collection, side: int, order: str, *, intervals: bool
) -> Iterator[tuple[int, np.ndarray, list[np.ndarray]]]:
    """By verdicts a label: mean AP, precision, recall and F1 before and after, and the bootstrap of each draw."""
    for count in COUNTS:
        rows, drawn = [], []
        for draw in range(DRAWS):
            half, truth = collection.half(draw, side)
            verdicts = collection.judged(half, truth, count, order, draw)[:, collection.chosen]
            whole = np.zeros(truth.shape, np.int8)
            whole[:, collection.chosen] = verdicts
            mine, open_ = truth[:, collection.chosen], verdicts == 0
            known = np.where(open_, np.where(mine, 1, -1), 0).astype(np.int8)
            before, given = half.logits[:, collection.chosen], half.given[:, collection.chosen]
            scores, after = collection.after(half, whole)
            aps = [float(np.nanmean(average_precision(x.T, known.T))) for x in (before, scores)]
            rows.append([*aps, *f1(given, mine, open_), *f1(after, mine, open_)])
            if intervals:
                drawn.append(bootstrap(before, scores, known))
        yield count, np.mean(rows, 0) * 100, drawn


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("embeddings", type=Path)
    parser.add_argument("annotations", type=Path)
    parser.add_argument("--choose", action="store_true", help="figures of other choices, on the first halves")
    given = parser.parse_args()
    collection = Collection(given.embeddings, given.annotations)
    if given.choose:
        for name, values in (("SHRINKAGE", (0.0, 5.0, 10.0, 20.0, 40.0)), ("GIVEN", (0.3, 0.35, 0.4, 0.45, 0.5))):
            chosen = getattr(cache_fit, name)
            for value in values:
                setattr(cache_fit, name, value)
                rows = {o: [r for _, r, _ in curve(collection, 0, o, intervals=False)] for o in ("page", "random")}
                maps, f1s = ({o: " ".join(f"{r[i]:5.1f}" for r in rs) for o, rs in rows.items()} for i in (1, 7))
                print(f"{name} {value:5}: mAP {maps['page']} | {maps['random']}   F1 {f1s['page']} | {f1s['random']}")
            setattr(cache_fit, name, chosen)
        return
    print("verdicts      mAP                                worst draw        precision      recall         F1")
    for order in ("page", "random"):
        for count, row, drawn in curve(collection, 1, order, intervals=True):
            pooled = Interval.of(0.0, np.mean(drawn, 0) * 100)
            worst = min((Interval.of(0.0, one * 100) for one in drawn), key=lambda one: one.high)
            print(
                f"{order:7}{count:3}  {row[0]:5.1f} > {row[1]:5.1f}  [{pooled.low:+5.1f}, {pooled.high:+5.1f}]"
                f"      [{worst.low:+5.1f}, {worst.high:+5.1f}]"
                + "".join(f"  {row[2 + i]:5.1f} > {row[5 + i]:5.1f}" for i in range(3)),
                flush=True,
            )


if __name__ == "__main__":
    main()
