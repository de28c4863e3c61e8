"""How well a category graph's edges foretell what real images show together.

A pair of labels is a positive where images show both more often than by chance: a pointwise mutual information
above zero, and at least ``--together`` images. A graph scores every ordered pair by its strength, 0 without an
edge. AP is scikit-learn's over all ordered pairs; P@E is the share of positives among a graph's E strongest edges, E
the edges of the shipped graph, which all graphs are given. The annotations counted here are in none of the graphs.

The peers of the shipped graph are neighbours by text embedding, as many a target as come nearest to E edges, then every
pair; and the shipped graph's own shape with random sources. What images show together has no direction, edges
have: ``both ways`` gives each edge its reverse too.
``python benchmarks/graph_quality.py --data ../shared/data``; what is missing is skipped and said.
"""

import argparse
import csv
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from sklearn.metrics import average_precision_score

from c2srt_cli.backbone.registry import load_backbone
from c2srt_cli.embeddings.text import embed_labels
from c2srt_cli.graph.category_graph import CategoryGraph, read_graph
from c2srt_cli.graph.embedding import embedding_graph
from c2srt_cli.graph.random_graph import random_graph
from c2srt_cli.graph.summary import summarise
from c2srt_cli.labels import DEFAULT_TEMPLATE, LabelSet
from c2srt_cli.progress import Progress

#: Draws that the row of random graphs is the mean of.
DRAWS = 5


def coco(folder: Path) -> Iterable[list[int]]:
    """Labels of each image of train2014 and val2014, in the order of ``names80.txt``."""
    for name in ("train2014-labels.txt", "val2014-labels.txt"):
        for line in (folder / name).read_text(encoding="utf-8").splitlines():
            yield [int(number) for number in line.split()[1:]]


def corel5k(folder: Path, labels: LabelSet) -> Iterable[list[int]]:
    """Labels of each image of the train split."""
    index = {name: i for i, name in enumerate(labels.names)}
    with (folder / "annotations.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            if row["split"] == "train":
                yield [index[word] for word in row["labels"].split(";") if word in index]


def positive_pairs(images: Iterable[list[int]], count: int, together: int) -> np.ndarray:
    """``(L, L)``: which pairs images show together more often than by chance."""
    rows = list(images)
    shown = np.zeros((len(rows), count), dtype=np.float32)
    for row, own in zip(shown, rows, strict=True):
        row[own] = 1
    both = shown.T @ shown
    single = both.diagonal().copy()
    np.fill_diagonal(both, 0)
    result: np.ndarray = (both * len(rows) > np.outer(single, single)) & (both >= together)
    return result


def matrix(graph: CategoryGraph) -> np.ndarray:
    """``(L, L)``: the strength of each target (row) and source (column), 0 without an edge."""
    strengths = np.zeros((len(graph.labels), len(graph.labels)))
    for edge in graph.edges:
        strengths[edge.target, edge.source] = edge.strength
    return strengths


def both_ways(graph: CategoryGraph) -> CategoryGraph:
    """The graph with the reverse of each edge, the stronger one where both are there."""
    turned = (edge._replace(source=edge.target, target=edge.source) for edge in graph.edges)
    return CategoryGraph.merge(graph, CategoryGraph(graph.labels, tuple(turned)))


def quality(strengths: np.ndarray, positive: np.ndarray, budget: int) -> tuple[float, float]:
    """Average precision over all ordered pairs, and precision of the ``budget`` strongest edges, ties by index."""
    apart = ~np.eye(len(positive), dtype=bool)
    scores, truth = strengths[apart], positive[apart]
    strongest = np.argsort(-scores, kind="stable")[:budget]
    return float(average_precision_score(truth, scores)), float(truth[strongest][scores[strongest] > 0].mean())


def report(name: str, images: Iterable[list[int]], backbone: str, together: int) -> None:
    graph = read_graph(name)
    count, budget = len(graph.labels), len(graph.edges)
    positive = positive_pairs(images, count, together)
    known = positive.any(1).sum()
    found = positive.sum()
    print(f"\n{name}: {count} labels ({known} in a positive pair), {found:,} of {count * (count - 1):,} pairs positive")
    print(f"the most that P@E can be: {min(1.0, found / budget):.3f}")
    print(f"{'':22}{'edges':>7}{'AP':>7}{'P@E':>7}{'reciprocal':>12}{'in':>5}{'out':>9}{'covered':>9}")
    model = load_backbone(backbone)
    text = embed_labels(model, graph.labels, (DEFAULT_TEMPLATE,), Progress())
    k = round(budget / count)
    rows = {
        "llm": [graph],
        "llm, both ways": [both_ways(graph)],
        f"embedding {backbone}": [embedding_graph(graph.labels, text, k=k)],
        "embedding, all pairs": [embedding_graph(graph.labels, text, k=count)],
        "random": [random_graph(graph, seed) for seed in range(DRAWS)],
    }
    for row, graphs in rows.items():
        results = [quality(matrix(one), positive, budget) for one in graphs]
        precision, at_budget = np.mean(results, axis=0)
        figures = summarise(graphs[0])
        print(
            f"{row:22}{figures.edges:7,}{precision:7.3f}{at_budget:7.3f}{figures.reciprocity:12.2f}"
            f"{figures.sources.median:5.0f}{f'{figures.targets.least} to {figures.targets.most}':>9}"
            f"{figures.coverage:9.2f}",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backbone", default="mini", help="whose text embeddings")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder with coco/ and corel5k/")
    parser.add_argument("--together", type=int, default=5, help="images that show a positive pair, at least")
    options = parser.parse_args()
    for name, folder in (("coco-80", options.data / "coco"), ("corel5k-374", options.data / "corel5k")):
        if not folder.is_dir():
            print(f"{name} is skipped: there is no {folder}")
            continue
        images = coco(folder) if name == "coco-80" else corel5k(folder, read_graph(name).labels)
        report(name, images, options.backbone, options.together)


if __name__ == "__main__":
    main()
