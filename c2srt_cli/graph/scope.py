"""What a graph is built over: its labels, those that sources are found for, and the graph that they join."""

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from c2srt_cli.datasets.naming import named_labels
from c2srt_cli.errors import InputError
from c2srt_cli.graph.category_graph import CategoryGraph, read_graph
from c2srt_cli.graph.shipped import shipped
from c2srt_cli.labels import LabelSet, read_labels


class Scope(NamedTuple):
    """Labels, and what is asked about them.

    Attributes:
        labels: All labels; those of ``base`` come first, evidence that is new comes last.
        targets: Those to find sources for, in ascending order.
        evidence: Those that are sources only.
        base: The graph that new edges join, without its notes of labels that are asked about again; or None.
        note: What a user is told of it; the empty string where there is nothing to say.
    """

    labels: LabelSet
    targets: tuple[int, ...]
    evidence: frozenset[int] = frozenset()
    base: CategoryGraph | None = None
    note: str = ""


def read_scope(
    labels: Path | str,
    *,
    extend: str | None = None,
    targets: Path | str | None = None,
    evidence: Path | str | None = None,
) -> Scope:
    """Read the labels, those that are evidence, the graph to extend and the targets.

    Without ``targets`` every label is one that is no evidence, or with ``extend`` those that are new or have no
    complete answer there. ``evidence`` is a file, words, or the name of a shipped graph, whose labels are meant; a
    label that is wanted is none, wherever else it stands.

    Raises:
        InputError: a file is missing or has faults, or a target is evidence.
        UsageError: something is neither a file nor words.
    """
    base = read_graph(extend) if extend else None
    old = base.labels.labels if base else ()
    given = tuple(base.labels.labels[i].key for i in range(len(old)) if i not in base.evidence) if base else ()
    named = read_labels(labels)
    wanted = {*given, *(label.key for label in named)}
    names = {label.name.casefold() for label in named} | {label.name.casefold() for label in old}
    more = [label for label in _evidence(evidence) if label.name.casefold() not in names] if evidence else []
    unique = {label.key: label for label in (*more, *named, *old)}  # the last one of a key counts
    order = dict.fromkeys(label.key for label in (*old, *named, *more))
    everything = LabelSet(tuple(unique[key] for key in order))
    sources = frozenset(i for i, label in enumerate(everything) if label.key not in wanted)
    again = _failed(base) if base else frozenset()
    fresh = {label.key for label in everything} - set(given)
    asked = tuple(i for i, label in enumerate(everything) if label.key in fresh or everything.names[i] in again)
    asked = _named(everything, targets) if targets else tuple(i for i in asked if i not in sources)
    if both := [everything.names[i] for i in asked if i in sources]:
        problems = [f"{name!r} is evidence, and in no list of labels" for name in both]
        raise InputError("these labels cannot be targets", where=str(targets), problems=problems)
    if base is None:
        return Scope(everything, asked, sources)
    new = sum(label.key not in given for label in named)
    note = f"{new:,} labels are new to {extend}, {len(again):,} have no complete answer there"
    return Scope(everything, asked, sources, _without(base, {everything.names[i] for i in asked}), note)


def _evidence(spec: Path | str) -> LabelSet:
    names = shipped()
    return read_graph(spec).labels if str(spec) in names and not Path(spec).is_file() else read_labels(spec)


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
