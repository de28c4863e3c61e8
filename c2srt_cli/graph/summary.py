"""A graph in figures."""

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from statistics import median

from c2srt_cli.graph.category_graph import CategoryGraph


@dataclass(frozen=True)
class Degrees:
    """Edges a label: fewest, median, most."""

    least: int
    median: float
    most: int


@dataclass(frozen=True)
class Unseen:
    """How knowledge reaches the labels without training annotations.

    Attributes:
        labels: Unseen labels.
        reached: Of these, how many have a seen source.
        edges: Edges from seen to unseen labels.
        fewest: Seen sources of the unseen label that has the fewest.
        without: Names of the unseen labels without any.
    """

    labels: int
    reached: int
    edges: int
    fewest: int
    without: tuple[str, ...]


@dataclass(frozen=True)
class Summary:
    """A graph in figures.

    Attributes:
        labels: Number of labels.
        edges: Number of edges.
        relations: Edges by relation, most first.
        origins: Edges by origin, most first.
        sources: Sources a label (in-degree).
        targets: Targets a label (out-degree).
        reciprocity: Share of the edges whose reverse is there too.
        components: Weakly connected components.
        largest: Labels in the largest of them.
        isolated: Names of the labels without any edge.
        evidence: Labels that are sources only.
        coverage: Share of the other labels with at least one source.
        unseen: About unseen labels, where they are known.
    """

    labels: int
    edges: int
    relations: dict[str, int]
    origins: dict[str, int]
    sources: Degrees
    targets: Degrees
    reciprocity: float
    components: int
    largest: int
    isolated: tuple[str, ...]
    evidence: int
    coverage: float
    unseen: Unseen | None


def summarise(graph: CategoryGraph, *, unseen: Collection[int] | None = None) -> Summary:
    """Count what there is to count.

    Args:
        graph: The graph.
        unseen: Indices of the labels without training annotations, where they are known.
    """
    count, edges, names = len(graph.labels), graph.edges, graph.labels.names
    pairs = {(edge.source, edge.target) for edge in edges}
    into, out = Counter(target for _, target in pairs), Counter(source for source, _ in pairs)
    components = _components(count, pairs)
    return Summary(
        labels=count,
        edges=len(edges),
        relations=dict(Counter(edge.relation for edge in edges).most_common()),
        origins=dict(Counter(edge.origin for edge in edges).most_common()),
        sources=_degrees([into[i] for i in range(count)]),
        targets=_degrees([out[i] for i in range(count)]),
        reciprocity=sum((target, source) in pairs for source, target in pairs) / len(pairs) if pairs else 0.0,
        components=len(components),
        largest=max(components, default=0),
        isolated=tuple(names[i] for i in range(count) if not into[i] and not out[i]),
        evidence=len(graph.evidence),
        coverage=len(into) / (count - len(graph.evidence)) if count > len(graph.evidence) else 0.0,
        unseen=None if unseen is None else _unseen(graph, unseen),
    )


def _degrees(values: list[int]) -> Degrees:
    return Degrees(min(values), float(median(values)), max(values)) if values else Degrees(0, 0.0, 0)


def _components(count: int, pairs: Collection[tuple[int, int]]) -> list[int]:
    """Sizes of the weakly connected components."""
    neighbours: list[list[int]] = [[] for _ in range(count)]
    for source, target in pairs:
        neighbours[source].append(target)
        neighbours[target].append(source)
    sizes, known = [], [False] * count
    for start in range(count):
        reached = [] if known[start] else [start]
        known[start] = True
        for label in reached:  # grows while it is read
            for other in neighbours[label]:
                if not known[other]:
                    known[other] = True
                    reached.append(other)
        if reached:
            sizes.append(len(reached))
    return sizes


def _unseen(graph: CategoryGraph, unseen: Collection[int]) -> Unseen:
    wanted = set(unseen)
    seen_sources = Counter(e.target for e in graph.edges if e.target in wanted and e.source not in wanted)
    return Unseen(
        labels=len(wanted),
        reached=len(seen_sources),
        edges=seen_sources.total(),
        fewest=min((seen_sources[i] for i in wanted), default=0),
        without=tuple(graph.labels.names[i] for i in sorted(wanted) if not seen_sources[i]),
    )
