"""The category graph: directed, typed, weighted edges along which knowledge flows from source to target."""

import difflib
import json
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

from pydantic import AfterValidator, ConfigDict, Field

from c2srt_cli.artifacts import canonical_json, fingerprint, output_file
from c2srt_cli.artifacts.records import Record, Text, parse, read_bytes
from c2srt_cli.errors import InputError, nearby
from c2srt_cli.labels import Label, LabelSet, normalise

if TYPE_CHECKING:  # `show-graph` starts without torch
    from torch_geometric.data import Data

RELATIONS = ("synonym", "is_a", "part_whole", "functional", "co_occurrence", "similar", "self")
ORIGINS = ("llm", "embedding", "cooccurrence", "random", "attached")
KIND, SCHEMA = "graph", 1
UNUSABLE, AGAIN = "this graph cannot be used", "build it again"


class Edge(NamedTuple):
    """Source, seen in an image, is evidence for target.

    Attributes:
        source: Index of the label that knowledge flows from.
        target: Index of the label that it flows to.
        relation: One of `RELATIONS`.
        strength: How strongly, in (0, 1], to four digits.
        origin: Who says so, one of `ORIGINS`.
    """

    source: int
    target: int
    relation: str
    strength: float
    origin: str


@dataclass(frozen=True)
class CategoryGraph:
    """Labels and the edges between them, at most one an ordered pair, none from a label to itself.

    Attributes:
        labels: The labels that edges refer to by index.
        edges: Sorted by target, then strongest first, then source.
        provenance: What the edges come from, as JSON: under ``sources`` one entry a source.
        evidence: Indices of the labels that are sources only: they are scored, and never given.

    Raises:
        ValueError: the edges are not such.
    """

    labels: LabelSet
    edges: tuple[Edge, ...]
    provenance: Mapping[str, Any] = field(default_factory=dict)
    evidence: frozenset[int] = frozenset()

    def __post_init__(self) -> None:
        rounded = (edge._replace(strength=_rounded(edge.strength)) for edge in self.edges)
        object.__setattr__(self, "edges", tuple(sorted(rounded, key=_order)))
        if faults := _faults(self.edges, len(self.labels), self.evidence):
            raise ValueError("; ".join(faults[:3]))

    @cached_property
    def fingerprint(self) -> str:
        """sha256 over labels and edges, and which labels are evidence."""
        parts = [self.labels.fingerprint, self.edges]
        return fingerprint([*parts, sorted(self.evidence)] if self.evidence else parts)

    def data(self) -> "Data":
        """As PyTorch Geometric holds it, in the order of the edges.

        ``edge_index`` is ``(2, E)`` int64, sources above targets; ``edge_attr`` is ``(E, len(RELATIONS) + 1)``
        float32, the relation one-hot, then the strength.
        """
        import torch

        from c2srt_cli.graph.geometric import Data

        pairs = [(edge.source, edge.target) for edge in self.edges]
        index = torch.tensor(pairs, dtype=torch.int64).reshape(-1, 2).T.contiguous()  # (2, E)
        attr = torch.zeros(len(self.edges), len(RELATIONS) + 1)
        attr[range(len(self.edges)), [RELATIONS.index(edge.relation) for edge in self.edges]] = 1.0
        attr[:, -1] = torch.tensor([edge.strength for edge in self.edges])
        return Data(edge_index=index, edge_attr=attr, num_nodes=len(self.labels))

    def prune(self, k: int, *, seen: Collection[int] | None = None, least_seen: int = 3) -> "CategoryGraph":
        """Keep the ``k`` strongest sources of each target.

        Args:
            k: Sources a target.
            seen: Indices of the labels with training annotations; None where all have them.
            least_seen: Seen sources that an unseen target keeps, where it has so many, at the cost of stronger unseen
                ones; more than ``k`` where this is more.
        """
        known = frozenset(range(len(self.labels)) if seen is None else seen)
        kept: list[Edge] = []
        for target, group in groupby(self.edges, lambda edge: edge.target):
            edges = list(group)
            first = [] if target in known else [edge for edge in edges if edge.source in known][:least_seen]
            rest = [edge for edge in edges if edge not in first]
            kept += first + rest[: max(k - len(first), 0)]
        return replace(self, edges=tuple(kept))

    @staticmethod
    def merge(*graphs: "CategoryGraph") -> "CategoryGraph":
        """One graph of several over the same labels: the strongest edge of a pair wins, the first where they tie.

        Raises:
            ValueError: the labels differ.
        """
        first = graphs[0]
        best: dict[tuple[int, int], Edge] = {}
        for graph in graphs:
            if [label.key for label in graph.labels] != [label.key for label in first.labels]:
                raise ValueError("the graphs have different labels")
            for edge in graph.edges:
                pair = edge.source, edge.target
                if pair not in best or edge.strength > best[pair].strength:
                    best[pair] = edge
        sources = [source for graph in graphs for source in (graph.provenance.get("sources") or ())]
        return CategoryGraph(first.labels, tuple(best.values()), {"sources": sources}, first.evidence)

    def over(self, labels: LabelSet) -> "CategoryGraph":
        """The same graph over other labels (`LabelSet.match`); edges of labels that are not there are left out.

        Who asks for a label wants it given: none of these is evidence.
        """
        there = labels.match(self.labels)
        moved = ((there[edge.source], there[edge.target], edge) for edge in self.edges)
        edges = (edge._replace(source=s, target=t) for s, t, edge in moved if s >= 0 and t >= 0)
        return CategoryGraph(labels, tuple(edges), self.provenance)


def _order(edge: Edge) -> tuple[int, float, int]:
    return edge.target, -edge.strength, edge.source


def _rounded(strength: float) -> float:
    """Four digits, but never down to no strength at all."""
    return max(round(strength, 4), 1e-4) if strength > 0 else strength


def _faults(edges: Collection[Edge], count: int, evidence: Collection[int] = ()) -> list[str]:
    faults = []
    pairs: set[tuple[int, int]] = set()
    for edge in edges:
        source, target, relation, strength, origin = edge
        if not (0 <= source < count and 0 <= target < count):
            faults.append(f"edge {source} → {target}: there are {count} labels")
        elif source == target:
            faults.append(f"edge {source} → {target}: a label cannot be its own source")
        elif target in evidence:
            faults.append(f"edge {source} → {target}: a label that is evidence has no sources")
        elif (source, target) in pairs:
            faults.append(f"edge {source} → {target}: stands twice")
        elif relation not in RELATIONS:
            faults.append(f"edge {source} → {target}: relation {relation!r} is none of {', '.join(RELATIONS)}")
        elif origin not in ORIGINS:
            faults.append(f"edge {source} → {target}: origin {origin!r} is none of {', '.join(ORIGINS)}")
        elif not 0.0 < strength <= 1.0:
            faults.append(f"edge {source} → {target}: strength {strength} is not above 0 and at most 1")
        pairs.add((source, target))
    return faults


def write_graph(path: Path, graph: CategoryGraph) -> None:
    """Write ``graph.json``: the same graph always gives the same bytes, one label and one edge a line.

    Raises:
        InputError: it cannot be written there.
    """
    labels = [
        canonical_json(_label_record(label, i in graph.evidence)).decode() for i, label in enumerate(graph.labels)
    ]
    edges = [json.dumps(edge, separators=(",", ":")) for edge in graph.edges]
    # no version of this tool in it: a rebuild by a later one gives the same bytes
    text = (
        f'{{"kind":"{KIND}","schema":{SCHEMA},\n'
        f'"provenance":{json.dumps(graph.provenance, indent=1, sort_keys=True, allow_nan=False)},\n'
        f'"labels":[\n{_lines(labels)}],\n'
        f'"edges":[\n{_lines(edges)}]}}\n'
    )
    with output_file(path) as temporary:
        temporary.write_bytes(text.encode())


def _lines(items: Collection[str]) -> str:
    return ",\n".join(items) + ("\n" if items else "")


def _label_record(label: Label, evidence: bool) -> dict[str, Any]:
    record = {"label": label.name, "synonyms": label.synonyms, "threshold": label.threshold, "id": label.id}
    stated = {key: value for key, value in record.items() if value not in ((), None, "")}
    return {**stated, "evidence": True} if evidence else stated


def read_graph(path_or_name: str | Path) -> CategoryGraph:
    """Read a ``graph.json``, or one of the shipped graphs by its name.

    Raises:
        InputError: there is no such graph, or it has faults: all of them are listed.
    """
    path = Path(path_or_name)
    if not path.is_file():
        from c2srt_cli.graph.shipped import shipped  # name → file

        names = shipped()
        if str(path_or_name) not in names:
            guess = next(iter(difflib.get_close_matches(str(path_or_name), names, 1)), nearby(path))
            raise InputError(
                "is neither a graph file nor the name of a shipped graph",
                where=str(path_or_name),
                hint=(f"did you mean {guess}? " if guess else "") + f"Shipped are {', '.join(names) or 'none'}",
            )
        path = names[str(path_or_name)]
    data = read_bytes(path)
    head = parse(_Head, data, path, "c2srt build-graph makes one", what="is not a graph")
    if head.layout != SCHEMA:
        raise InputError(
            f"has layout {head.layout}, this version of c2srt reads layout {SCHEMA}",
            where=str(path),
            hint="make it again with this version, or use the version that wrote it",
        )
    found = parse(_Content, data, path, AGAIN, what=UNUSABLE)
    labels = LabelSet(tuple(Label(one.label, one.synonyms, one.threshold, one.id) for one in found.labels))
    evidence = frozenset(number for number, one in enumerate(found.labels) if one.evidence)
    edges = tuple(Edge(*edge) for edge in found.edges)
    counts = Counter(label.key for label in labels)
    problems = [f"label {key!r} stands twice" for key, count in counts.items() if count > 1]
    problems += [] if counts else ["there is no label in it"]
    problems += _faults(edges, len(labels), evidence)
    provenance = found.provenance.model_dump(exclude_unset=True)
    try:
        canonical_json(provenance)
    except ValueError as error:
        problems.append(f"provenance: {error}")
    if problems:
        raise InputError(UNUSABLE, where=str(path), problems=problems, hint=AGAIN)
    return CategoryGraph(labels, edges, provenance, evidence)


def _named(name: str) -> str:
    if not normalise(name):
        raise ValueError("names nothing")
    return name


class _Head(Record):
    kind: Literal["graph"]
    layout: int = Field(alias="schema")


class _Label(Record):
    label: Annotated[Text, AfterValidator(_named)]
    synonyms: tuple[Text, ...] = ()
    threshold: Annotated[float, Field(ge=0, le=1)] | None = None
    id: Text = ""
    evidence: bool = False


class _Source(Record):
    model_config = ConfigDict(extra="allow")

    failed: dict[str, str] = Field(default_factory=dict)


class _Provenance(Record):
    model_config = ConfigDict(extra="allow")

    sources: list[_Source] = Field(default_factory=list)


class _Content(Record):
    provenance: _Provenance
    labels: tuple[_Label, ...]
    edges: tuple[tuple[int, int, str, float, str], ...]
