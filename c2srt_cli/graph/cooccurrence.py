"""Which labels annotated images show together."""

from collections import Counter
from collections.abc import Collection, Iterable
from itertools import chain, permutations

from c2srt_cli.graph.category_graph import CategoryGraph, Edge
from c2srt_cli.labels import LabelSet


def cooccurrence_graph(
    labels: LabelSet,
    images: Iterable[Collection[int]],
    *,
    smoothing: float = 1.0,
    threshold: float = 0.05,
    together: int = 3,
) -> CategoryGraph:
    """Edges ``co_occurrence`` whose strength is the Laplace-smoothed ``P(target | source)``.

    ``P(t | s) = (n_st + a) / (n_s + 2a)`` and ``P(t) = (n_t + a) / (N + 2a)``, with a the smoothing and n numbers of
    images. A pair is kept where ``P(t | s) > P(t)``, that is with a lift above one.

    Args:
        labels: The labels.
        images: The indices of each image's labels; once is enough of each.
        smoothing: a, the images added to each outcome.
        threshold: The least strength.
        together: The least images that show both.
    """
    pictures = [frozenset(image) for image in images]
    single = Counter(chain.from_iterable(pictures))
    pairs = Counter(chain.from_iterable(permutations(image, 2) for image in pictures))
    edges = []
    for (source, target), count in pairs.items():
        conditional = (count + smoothing) / (single[source] + 2 * smoothing)
        prior = (single[target] + smoothing) / (len(pictures) + 2 * smoothing)
        if count >= together and conditional >= threshold and conditional > prior:
            edges.append(Edge(source, target, "co_occurrence", conditional, "cooccurrence"))
    provenance = {
        "source": "cooccurrence",
        "images": len(pictures),
        "smoothing": smoothing,
        "threshold": threshold,
        "together": together,
    }
    return CategoryGraph(labels, tuple(edges), {"sources": [provenance]})
