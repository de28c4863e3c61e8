"""A graph for labels that nobody trained: those that are asked for, and behind them all that are evidence for them."""

from typing import NamedTuple

from c2srt_cli.errors import UsageError
from c2srt_cli.graph.category_graph import CategoryGraph
from c2srt_cli.labels import LabelSet

#: Labels that an error names of either side.
SHOWN = 5


class Sources(NamedTuple):
    """The sources of the labels that are asked for.

    Attributes:
        graph: Over the T labels, and behind them those that are scored as their sources and never given.
        listeners: How many of the T labels have a source.
    """

    graph: CategoryGraph
    listeners: int

    def note(self, asked: int) -> str:
        """What a user is told."""
        if not self.listeners:
            return "the graph has no edge to any of these labels: their scores stay as they are"
        more = len(self.graph.labels) - asked
        others = f", {more:,} of them are labels of the graph alone, never given" if more else ""
        sources = len({edge.source for edge in self.graph.edges})
        return f"{self.listeners:,} of {asked:,} labels aggregate from {sources:,} others over the graph{others}"


def sources_of(labels: LabelSet, graph: CategoryGraph, where: str = "--graph") -> Sources:
    """The part of a graph that some labels aggregate from, matched by `LabelSet.match`.

    Args:
        labels: Those that are asked for.
        graph: Any; evidence and labels that are not asked for are sources too.
        where: What the user gave it as, for errors.

    Raises:
        UsageError: the two have no label in common.
    """
    place = labels.match(graph.labels)
    if not any(found >= 0 for found in place):
        raise UsageError(
            "the graph and the labels have none in common",
            where=where,
            problems=[f"in the graph: {_some(graph.labels)}", f"asked for: {_some(labels)}"],
            hint="build one for these labels: c2srt build-graph",
        )
    heard = [edge for edge in graph.edges if place[edge.target] >= 0]
    more = sorted({edge.source for edge in heard if place[edge.source] < 0})
    for number, source in enumerate(more):
        place[source] = len(labels) + number
    whole = LabelSet((*labels, *(graph.labels.labels[source] for source in more)))
    edges = tuple(edge._replace(source=place[edge.source], target=place[edge.target]) for edge in heard)
    evidence = frozenset(range(len(labels), len(whole)))
    return Sources(CategoryGraph(whole, edges, graph.provenance, evidence), len({edge.target for edge in edges}))


def _some(labels: LabelSet) -> str:
    names = ", ".join(labels.names[:SHOWN])
    return names if len(labels) <= SHOWN else f"{names} and {len(labels) - SHOWN:,} more"
