"""Another graph's shape with sources drawn by lot: what an ablation compares with."""

from itertools import groupby

import numpy as np

from c2srt_cli.graph.category_graph import CategoryGraph, Edge


def random_graph(like: CategoryGraph, seed: int) -> CategoryGraph:
    """Each target keeps its number of sources, their relations and strengths; the sources are drawn uniformly.

    Args:
        like: The graph whose shape to take.
        seed: Of the draw.
    """
    rng = np.random.default_rng(seed)
    edges: list[Edge] = []
    for target, group in groupby(like.edges, lambda edge: edge.target):
        own = list(group)
        drawn = rng.choice(len(like.labels) - 1, len(own), replace=False)  # of all labels but the target
        edges += (
            edge._replace(source=int(source + (source >= target)), origin="random")
            for edge, source in zip(own, drawn, strict=True)
        )
    return CategoryGraph(
        like.labels, tuple(edges), {"sources": [{"source": "random", "seed": seed, "like": like.fingerprint}]}
    )
