"""The stage behind ``c2srt build-graph``: labels → ``graph.json``, from one source or several."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from c2srt_cli.artifacts import is_stream, lock, remove_leftovers
from c2srt_cli.errors import InputError, UsageError
from c2srt_cli.graph.annotations import read_annotations
from c2srt_cli.graph.category_graph import CategoryGraph, read_graph, write_graph
from c2srt_cli.graph.llm.conversation import Conversation, ask_all, llm_graph
from c2srt_cli.graph.llm.estimate import Estimate, estimate
from c2srt_cli.graph.llm.prompt import Block
from c2srt_cli.graph.llm.recorded import Recorded
from c2srt_cli.graph.llm.shortlist import is_shortlisted, plan_blocks
from c2srt_cli.graph.options import BuildOptions, check, replies_path, seen_labels
from c2srt_cli.graph.scope import read_scope
from c2srt_cli.labels import LabelSet
from c2srt_cli.progress import Progress

if TYPE_CHECKING:  # a replay needs neither
    from torch import Tensor

    from c2srt_cli.graph.llm.service import Service

#: The model of the paper (C2SRT, section 3.3).
MODEL = "gpt-4o"

#: Embeds labels: ``(L, D)`` with unit rows, and the backbone's name. Embeddings lie above graphs in the house.
Embed = Callable[[LabelSet], "tuple[Tensor, str]"]


@dataclass(frozen=True)
class BuildResult:
    """What `build_graph` wrote.

    Attributes:
        graph: The graph.
        failed: Labels without a complete answer of the language model, and why.
    """

    graph: CategoryGraph
    failed: Mapping[str, str]


class Builder:
    """One graph to be built: labels read, targets found, recorded replies at hand.

    Args:
        options: What the user asks for.
        embed: Embeds labels; called where needed, once.
        progress: Callbacks.

    Raises:
        InputError: labels, annotations, graphs or replies are missing or unusable.
        UsageError: the options contradict each other.
    """

    def __init__(self, options: BuildOptions, embed: Embed, progress: Progress) -> None:
        check(options)
        self.options, self.progress = options, progress
        scope = read_scope(options.labels, extend=options.extend, targets=options.targets, evidence=options.evidence)
        self.labels, self.targets, self.evidence, self.base = scope.labels, scope.targets, scope.evidence, scope.base
        if scope.note:
            progress.note(scope.note)
        self.seen = seen_labels(options.unseen, self.labels)
        if self.seen is not None:
            self.seen -= self.evidence
        self.images = read_annotations(options.annotations, self.labels) if options.annotations else None
        if self.images is not None and self.seen is not None:
            self.images = [image & self.seen for image in self.images]  # nothing is learnt of unseen labels
        self.like = self._like(options.like) if "random" in options.sources and options.like else None
        self._embed = embed
        self._embedded: tuple[Tensor, str] | None = None
        self.model = options.model or MODEL
        self.blocks: list[Block] = []
        self.conversation = self._conversation() if "llm" in options.sources else None

    def embedded(self) -> "tuple[Tensor, str]":
        """Text embeddings of the labels, and whose they are."""
        if self._embedded is None:
            self._embedded = self._embed(self.labels)
        return self._embedded

    def _like(self, name: str) -> CategoryGraph:
        """The graph whose shape `random` takes, over our labels."""
        graph = read_graph(name)
        like = graph.over(self.labels)
        if not like.edges:
            raise InputError(
                f"none of its {len(graph.edges):,} edges is between two of the labels",
                where=name,
                hint="give --like a graph over the same labels",
            )
        if lost := len(graph.edges) - len(like.edges):
            self.progress.note(f"{lost:,} of the {len(graph.edges):,} edges of {name} are of other labels: left out")
        return like

    def _conversation(self) -> Conversation:
        options = self.options
        if options.replay is not None and not options.replay.is_file():
            raise InputError("no such file", where=str(options.replay))
        recorded = Recorded(options.replay, options.model) if options.replay else self._recorded()
        conversation = Conversation(self.labels, recorded, not options.all_candidates and is_shortlisted(self.labels))
        self.blocks = plan_blocks(
            self.labels,
            self.targets,
            embed=None if options.replay else lambda: self.embedded()[0],
            counts=None if self.images is None else _counts(self.images, len(self.labels)),
            recorded=recorded,
            everything=options.all_candidates,
        )
        if options.replay and self.targets and not any(conversation.resolve(block).replies for block in self.blocks):
            raise InputError(
                "none of these replies is to what is asked here",
                where=str(options.replay),
                problems=[f"replies of {model}: {count:,}" for model, count in recorded.models.items()]
                or ["there is no reply in it"],
                hint="replay with the labels, in the order, and the version of the prompt that they were asked with"
                + (", and leave --model out" if options.model else ""),
            )
        return conversation

    def _recorded(self) -> Recorded:
        return Recorded(replies_path(self.options.out), self.model, fresh=self.options.overwrite)

    def unfinished(self) -> list[Block]:
        """Blocks that a request is still needed for."""
        if self.conversation is None or self.options.replay:
            return []
        return [block for block in self.blocks if self.conversation.resolve(block).faults or not block.targets]

    def estimate(self) -> Estimate:
        """What asking would take; nothing is asked."""
        return estimate(self.labels, self.unfinished(), self.model, self.options.base_url)

    def build(self, service: "Callable[[], Service] | None" = None) -> BuildResult:
        """Ask what is missing, put the sources together, write the graph.

        Args:
            service: Makes the language model's address and key; called where something has to be asked.

        Raises:
            InputError: the graph cannot be written.
            Interrupted: the user stopped it; what is answered is kept.
            ServiceError: the language model cannot be asked.
        """
        if service is not None and (blocks := self.unfinished()):
            self._ask(blocks, service())
        graphs = [self._source(name) for name in self.options.sources] if self.targets else []
        wanted = frozenset(self.targets)
        graphs = [replace(g, edges=tuple(e for e in g.edges if e.target in wanted)) for g in graphs]
        failed = {k: v for g in graphs for s in g.provenance["sources"] for k, v in s.get("failed", {}).items()}
        graph = CategoryGraph.merge(*graphs) if graphs else CategoryGraph(self.labels, ())
        if not self._as_like:
            graph = graph.prune(self.options.neighbours, seen=self.seen, least_seen=self.options.least_seen)
        if self.base is not None:
            graph = CategoryGraph.merge(self.base.over(self.labels), graph)
        graph = replace(graph, provenance={**graph.provenance, **self._kept(graph)}, evidence=self.evidence)
        write_graph(self.options.out, graph)
        return BuildResult(graph, failed)

    @property
    def _as_like(self) -> bool:
        """Whether labels have as many sources as in another graph, and not as many as the options say."""
        return self.options.sources == ("random",)

    def _kept(self, graph: CategoryGraph) -> dict[str, Any]:
        """What the pruning did, for the provenance."""
        covered = len({edge.target for edge in graph.edges})
        kept: dict[str, Any] = {"coverage": round(covered / (len(self.labels) - len(self.evidence)), 4)}
        if self._as_like:
            return kept
        kept["neighbours"] = self.options.neighbours
        if self.seen is not None:
            kept |= {
                "unseen": len(self.labels) - len(self.seen) - len(self.evidence),
                "least_seen": self.options.least_seen,
            }
        return kept

    def _ask(self, blocks: Sequence[Block], service: "Service") -> None:
        from c2srt_cli.graph.llm.client import Client

        conversation = self.conversation
        assert conversation is not None

        async def ask() -> None:
            client = Client(service, self.progress.note)
            if service.max_cost is not None and client.price is None:
                raise UsageError(
                    f"no price is known for {service.model!r}", where="--max-cost", hint="leave --max-cost out"
                )
            try:
                await ask_all(conversation, blocks, client, self.options.concurrency, self.progress)
            finally:
                await client.close()

        asyncio.run(ask())

    def _source(self, name: str) -> CategoryGraph:
        options = self.options
        if name == "llm":
            assert self.conversation is not None
            return llm_graph(self.conversation, self.blocks, self.targets)
        if name == "embedding":
            from c2srt_cli.graph.embedding import embedding_graph

            text, backbone = self.embedded()
            graph = embedding_graph(
                self.labels, text, k=options.neighbours, seen=self.seen, least_seen=options.least_seen
            )
            sources = [{**source, "backbone": backbone} for source in graph.provenance["sources"]]
            return replace(graph, provenance={"sources": sources})
        if name == "cooccurrence":
            from c2srt_cli.graph.cooccurrence import cooccurrence_graph

            assert self.images is not None
            return cooccurrence_graph(self.labels, self.images)
        from c2srt_cli.graph.random_graph import random_graph

        assert self.like is not None
        return random_graph(self.like, options.seed)


def build_graph(
    options: BuildOptions, embed: Embed, progress: Progress, service: "Callable[[], Service] | None" = None
) -> BuildResult:
    """Build the graph and write it, alone at it.

    Raises:
        InputError: labels, annotations, graphs or replies are missing or unusable, or the graph cannot be written.
        Interrupted: the user stopped it; what is answered is kept.
        ServiceError: the language model cannot be asked.
        UsageError: the options contradict each other, or another process writes there.
    """
    check(options)
    if is_stream(options.out):
        if "llm" in options.sources and options.replay is None:
            raise UsageError(
                "the replies are kept beside the graph, and there is no beside", where=f"--out {options.out}"
            )
        return Builder(options, embed, progress).build(service)
    with lock(options.out.with_name(f".{options.out.name}.lock")):
        remove_leftovers(options.out)
        return Builder(options, embed, progress).build(service)


def _counts(images: Sequence[frozenset[int]], count: int) -> list[int]:
    counts = [0] * count
    for image in images:
        for i in image:
            counts[i] += 1
    return counts
