"""What a graph is built over: its labels, those that sources are found for, and the graph that they join."""

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from c2srt_cli.datasets.naming import named_labels
from c2srt_cli.graph.category_graph import CategoryGraph, read_graph
from c2srt_cli.labels import LabelSet, read_labels


class Scope(NamedTuple):
    """Labels, and what is asked about them.

    Attributes:
        labels: All labels; those of ``base`` come first.
        targets: Those to find sources for, in ascending order.
        base: The graph that new edges join, without its notes of labels that are asked about again; or None.
        note: What a user is told of it; the empty string where there is nothing to say.
    """

    labels: LabelSet
    targets: tuple[int, ...]
    base: CategoryGraph | None = None
    note: str = ""


def read_scope(labels: Path | str, *, extend: str | None = None, targets: Path | str | None = None) -> Scope:
    """Read the labels, the graph to extend and the targets.

    Without ``targets`` every label is one, or with ``extend`` those that are new or have no complete answer there.

    Raises:
        InputError: a file is missing or has faults.
    """
    named = read_labels(labels)
    if extend is None:
        return Scope(named, _named(named, targets) if targets else tuple(range(len(named))))
    base = read_graph(extend)
    known = {label.key for label in base.labels}
    new = tuple(label for label in named if label.key not in known)
    everything = LabelSet((*base.labels, *new))
    failed = _failed(base)
    again = [i for i, name in enumerate(base.labels.names) if name in failed]
    note = f"{len(new):,} labels are new to {extend}, {len(again):,} have no complete answer there"
    asked = _named(everything, targets) if targets else (*again, *range(len(known), len(everything)))
    return Scope(everything, asked, _without(base, {everything.names[i] for i in asked}), note)


def _named(labels: LabelSet, spec: Path | str) -> tuple[int, ...]:
    return tuple(named_labels(labels, spec, "targets").nonzero()[0].tolist())


def _failed(graph: CategoryGraph) -> frozenset[str]:
    """Names of the labels that have no complete answer."""
    sources = [source for source in graph.provenance.get("sources") or () if isinstance(source, dict)]
    return frozenset(name for source in sources for name in source.get("failed") or ())


def _without(graph: CategoryGraph, asked: set[str]) -> CategoryGraph:
    """The graph without its notes that these labels have no complete answer."""
    kept = []
    for source in graph.provenance.get("sources") or ():
        failed = (source.get("failed") if isinstance(source, dict) else None) or {}
        left = {name: reason for name, reason in failed.items() if name not in asked}
        if isinstance(source, dict):
            kept.append({k: v for k, v in source.items() if k != "failed"} | ({"failed": left} if left else {}))
    return replace(graph, provenance={**graph.provenance, "sources": kept})
