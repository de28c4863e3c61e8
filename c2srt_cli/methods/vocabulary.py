"""Labels as methods take them, and who of them is a source of whom."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from c2srt_cli.graph.category_graph import CategoryGraph
from c2srt_cli.methods.neighbours import Neighbours
from c2srt_cli.methods.prompt import Prompts


class Labels(NamedTuple):
    """Labels as a method takes them.

    Attributes:
        text: Embeddings of T labels that are asked for, then of those they aggregate from, ``(C, D)``, of norm 1.
        frozen_text: The same without what learns in a prompt; of a run that is read, ``text``.
        layers: Who is a source of whom, a layer each; none without a graph.
        nodes: Ids of the labels, ``(C,)``.
        unseen: ``(C,)`` bool.
        asked: T.
        background: Embeddings of labels that an image's scores are measured against, ``(M, D)``; None where they
            are not.
    """

    text: Tensor
    frozen_text: Tensor
    layers: tuple[Neighbours, ...]
    nodes: Tensor
    unseen: Tensor
    asked: int
    background: Tensor | None = None

    def to(self, device: torch.device | str) -> "Labels":
        """The same on another device."""
        text, frozen, nodes, unseen = (
            part.to(device) for part in (self.text, self.frozen_text, self.nodes, self.unseen)
        )
        layers = tuple(rows.to(device) for rows in self.layers)
        background = None if self.background is None else self.background.to(device)
        return Labels(text, frozen, layers, nodes, unseen, self.asked, background)

    def playing(self, unseen: Tensor) -> "Labels":
        """Some of them play unseen, ``(C,)`` bool: sources for nobody, and the only ones that aggregate.

        What these do not need is left out.
        """
        layers, kept = list[Neighbours](), torch.arange(len(self.nodes), device=self.nodes.device) < self.asked
        for layer, rows in reversed(list(enumerate(self.layers))):
            heard = ~unseen[rows.index[:, 1:]] & kept[: len(rows.index), None]
            if layer == len(self.layers) - 1:
                heard &= unseen[: len(rows.index), None]
            mask = rows.mask & torch.cat([torch.ones_like(rows.mask[:, :1]), heard], 1)
            kept[rows.index[:, 1:][mask[:, 1:]]] = True
            layers.insert(0, replace(rows, mask=mask))
        return self._replace(layers=tuple(layers), unseen=self.unseen | unseen)._take(kept)

    def _take(self, kept: Tensor) -> "Labels":
        place = kept.cumsum(0) - 1
        layers = []
        for rows in self.layers:
            mine = kept[: len(rows.index)]
            index, mask, attr = rows.index[mine], rows.mask[mine], rows.attr[mine]
            layers.append(Neighbours(place[index.where(mask, index[:, :1])], mask, attr * mask[..., None]))
        text, frozen, nodes, unseen = (part[kept] for part in (self.text, self.frozen_text, self.nodes, self.unseen))
        return Labels(text, frozen, tuple(layers), nodes, unseen, self.asked, self.background)

    @property
    def asked_text(self) -> Tensor:
        """Embeddings of the labels that are asked for, ``(T, D)``."""
        return self.text[: self.asked]


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """All labels of a run: the one place that says that knowledge flows from seen labels only.

    Attributes:
        text: Their embeddings, ``(L, D)``, of norm 1.
        graph: Theirs, or None.
        seen: ``(L,)`` bool; only these are sources of others. Where nothing was trained, all are.
        hops: Edges that knowledge crosses.
        seen_targets: Whether seen labels aggregate from others too, as with IST; else only unseen ones do.
        prompts: Their prompts, where a prompt or tokens in it learn, so that ``text`` is only what training sets out
            from.
        background: See `Labels`.
    """

    text: Tensor
    graph: CategoryGraph | None
    seen: np.ndarray
    hops: int = 0
    seen_targets: bool = False
    prompts: Prompts | None = None
    background: Tensor | None = None

    @cached_property
    def neighbours(self) -> Neighbours | None:
        """Who is a source of whom."""
        if self.graph is None or not self.hops:
            return None
        graph, seen = self.graph.data(), torch.from_numpy(self.seen)
        source, target = graph.edge_index
        kept = seen[source] if self.seen_targets else seen[source] & ~seen[target]
        return Neighbours.of(graph.edge_subgraph(kept)).to(self.text.device)

    @cached_property
    def unseen(self) -> Tensor:
        """``(L,)`` bool."""
        return torch.from_numpy(~self.seen).to(self.text.device)

    def of(self, columns: np.ndarray) -> Labels:
        """Some labels ``(T,)``, with all that their scores depend on."""
        targets = torch.from_numpy(columns).to(self.text.device)
        nodes, layers = targets, tuple[Neighbours, ...]()
        if self.neighbours is not None:
            nodes, layers = self.neighbours.closure(targets, self.hops)
        text = self.text[nodes]
        return Labels(text, text, layers, nodes, self.unseen[nodes], len(columns), self.background)

    def without(self, hidden: np.ndarray) -> "Vocabulary":
        """As if some seen labels ``(n,)`` were unseen."""
        seen = self.seen.copy()
        seen[hidden] = False
        return replace(self, seen=seen)
