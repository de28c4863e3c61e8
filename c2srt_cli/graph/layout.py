"""Where the labels of a graph stand on a page: groups of related labels, none over another."""

import unicodedata
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from c2srt_cli.graph.category_graph import CategoryGraph

if TYPE_CHECKING:
    import networkx as nx

    Array = np.ndarray[Any, np.dtype[np.float64]]

#: Pages are wider than high.
ASPECT = 1.3
MARGIN = 8.0
SMALLEST, LARGEST = 11.0, 26.0


@dataclass(frozen=True)
class Layout:
    """One row a label, in the graph's order.

    Attributes:
        centre: ``(L, 2)``.
        size: ``(L, 2)`` width and height of the label's box; no two boxes overlap.
        font: ``(L,)`` height of the letters, larger where a label is evidence for more.
        group: ``(L,)`` number of the group of related labels it stands in.
    """

    centre: "Array"
    size: "Array"
    font: "Array"
    group: list[int]


def lay_out(graph: CategoryGraph) -> Layout:
    """Place every label; the same graph always gives the same layout.

    Groups are Louvain's communities (Blondel et al. 2008). Labels are placed within their group, then groups on the
    page, each by ForceAtlas2 (Jacomy et al. 2014): work is quadratic in the sizes of groups only.
    """
    import networkx as nx

    count = len(graph.labels)
    related = nx.Graph()
    related.add_nodes_from(range(count))
    for edge in graph.edges:
        related.add_edge(edge.source, edge.target, weight=edge.strength)
    font = _fonts(graph)
    size = np.array(
        [
            [_columns(name) * 0.6 * height + 10, height + 8]
            for name, height in zip(graph.labels.names, font, strict=True)
        ]
    ).reshape(-1, 2)
    groups = _groups(related)
    centre = np.zeros((count, 2))
    extent = np.zeros((len(groups), 2))
    for number, members in enumerate(groups):
        places = _pack(_forces(related.subgraph(members), size[members]), size[members])
        low, high = (places - size[members] / 2).min(0), (places + size[members] / 2).max(0)
        centre[members] = places - (low + high) / 2
        extent[number] = high - low + 3 * MARGIN
    group = [0] * count
    for number, members in enumerate(groups):
        for member in members:
            group[member] = number
    between = nx.Graph()
    between.add_nodes_from(range(len(groups)))
    weights = Counter(tuple(sorted((group[a], group[b]))) for a, b in related.edges if group[a] != group[b])
    between.add_weighted_edges_from((a, b, weight) for (a, b), weight in sorted(weights.items()))
    centre += _pack(_forces(between, extent), extent)[group]
    return Layout(centre, size, font, group)


def _fonts(graph: CategoryGraph) -> "Array":
    spoken = np.zeros(len(graph.labels))
    for edge in graph.edges:
        spoken[edge.source] += edge.strength
    fonts: Array = SMALLEST + (LARGEST - SMALLEST) * np.sqrt(spoken / max(spoken.max(initial=0.0), 1e-9))
    return fonts


def _columns(name: str) -> int:
    """Width of a text in letters; those of East Asia are two wide."""
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in name)


def _groups(related: "nx.Graph") -> list[list[int]]:
    """Communities, the largest first, and at last one of all labels that have none."""
    import networkx as nx

    found = sorted(map(sorted, nx.community.louvain_communities(related, seed=0)), key=lambda c: (-len(c), c))
    alone = [members[0] for members in found if len(members) == 1]
    return [members for members in found if len(members) > 1] + ([alone] if alone else [])


def _forces(related: "nx.Graph", size: "Array") -> "Array":
    """Force-directed places, scaled so that boxes of these sizes fill about a third of them: ``(N, 2)``."""
    import networkx as nx

    count = len(related)
    places: Array
    if related.number_of_edges() == 0:  # rows, as on a page
        columns = max(1, round(count**0.5))
        places = np.array([divmod(i, columns)[::-1] for i in range(count)]) * (size.max(0) + MARGIN)
        return places
    order = sorted(related)
    ordered = nx.Graph()  # a subgraph's order follows a set's
    ordered.add_nodes_from(order)
    ordered.add_weighted_edges_from(sorted(related.edges(data="weight")))
    found = nx.forceatlas2_layout(ordered, max_iter=100, weight="weight", seed=0)
    places = np.array([found[node] for node in order])
    places -= places.mean(0)
    spread = places.std(0).mean() or 1.0
    reach = np.sqrt((size + MARGIN).prod(-1).sum())
    places *= reach / spread * 0.45 * np.array([ASPECT**0.5, ASPECT**-0.5])
    return places


def _pack(places: "Array", size: "Array") -> "Array":
    """Draw boxes together for as long as they can be kept apart, towards the shape of a page: ``(N, 2)``."""
    while (packed := _separate(places, size)) is None:
        places = places * 1.2
    for _ in range(30):
        width, height = np.ptp(packed, axis=0) + size.mean(0)
        closer = _separate(packed * ((0.85, 0.97) if width > ASPECT * height else (0.97, 0.85)), size)
        if closer is None:
            break
        packed = closer
    return packed


def _separate(places: "Array", size: "Array", rounds: int = 60) -> "Array | None":
    """Push boxes apart, each pair along the axis where least is needed; None where that takes too long: ``(N, 2)``."""
    wide, high = (np.triu(np.add.outer(half, half) + MARGIN, 1) for half in (size / 2).T)  # (N, N), each pair once
    places = places + np.arange(len(places))[:, None] * 1e-6  # none exactly on another
    for _ in range(rounds):
        x, y = places.T
        a, b = np.nonzero(
            (np.abs(np.subtract.outer(x, x)) < wide - 0.5) & (np.abs(np.subtract.outer(y, y)) < high - 0.5)
        )
        if not len(a):
            return places
        offset = places[a] - places[b]  # (pairs, 2)
        overlap = np.stack([wide[a, b], high[a, b]], -1) - np.abs(offset)
        push = np.where(overlap == overlap.min(-1, keepdims=True), np.sign(offset) * overlap, 0.0) * 0.4
        np.add.at(places, a, push)
        np.add.at(places, b, -push)
    return None
