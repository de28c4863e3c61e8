"""The category graph as methods read it: the sources of each label, in rows of equal length."""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from c2srt_cli.graph.category_graph import RELATIONS

if TYPE_CHECKING:
    from torch_geometric.data import Data


@dataclass(frozen=True, eq=False)
class Neighbours:
    """The sources that each of ``C`` nodes aggregates from, in rows of equal length; the node itself is the first.

    Attributes:
        index: ``(C, K)`` int64; empty places hold the node itself.
        mask: ``(C, K)`` bool, False in empty places.
        attr: ``(C, K, A)`` float32, 0 in empty places.
    """

    index: Tensor
    mask: Tensor
    attr: Tensor

    @classmethod
    def of(cls, graph: "Data") -> "Neighbours":
        """Rows of a graph's edges, with an edge of relation ``self`` and strength 1 added to each node.

        Args:
            graph: As `CategoryGraph.data` gives it, without edges from a node to itself. A node's sources stay in
                the order of its edges.
        """
        from c2srt_cli.graph.geometric import to_dense_batch

        count = int(graph.num_nodes)
        nodes = torch.arange(count, device=graph.edge_index.device)
        own = graph.edge_attr.new_zeros(count, graph.edge_attr.shape[1])
        own[:, [RELATIONS.index("self"), -1]] = 1.0
        source, target = torch.cat([nodes.expand(2, -1), graph.edge_index], 1)  # (C + E,) each
        target, order = target.sort(stable=True)
        index, mask = to_dense_batch(source[order], target, batch_size=count)
        attr, _ = to_dense_batch(torch.cat([own, graph.edge_attr])[order], target, batch_size=count)
        return cls(index.where(mask, nodes[:, None]), mask, attr)

    @cached_property
    def edge_index(self) -> Tensor:
        """The edges again, sources above targets, ``(2, E)``: each node's own among them."""
        target, place = self.mask.nonzero().T
        return torch.stack([self.index[target, place], target])

    def closure(self, targets: Tensor, hops: int = 2) -> tuple[Tensor, tuple["Neighbours", ...]]:
        """All that ``hops`` layers need for the same result on ``targets`` as the full graph gives.

        Args:
            targets: ``(n,)`` node ids; of none, the rows are empty.
            hops: Number of layers.

        Returns:
            Ids ``(M,)`` of the nodes to start from: the targets in their order, then nodes further and further away.
            And for each layer, first to last, the rows of the nodes that it has to update, which come first among those
            of the layer before: in the last layer the targets alone.
        """
        from c2srt_cli.graph.geometric import k_hop_subgraph

        nodes, sizes = targets, [len(targets)]
        for _ in range(hops):
            within, _, _, _ = k_hop_subgraph(nodes, 1, self.edge_index, num_nodes=len(self.index))
            nodes = torch.cat([nodes, within[~torch.isin(within, nodes)]])
            sizes.append(len(nodes))
        place = nodes.new_full((len(self.index),), -1)
        place[nodes] = torch.arange(len(nodes), device=nodes.device)
        layers = []
        for size in reversed(sizes[:-1]):
            mask = self.mask[nodes[:size]]
            rows = nodes[:size], slice(0, int(mask.sum(1).max()) if size else 1)
            layers.append(Neighbours(place[self.index[rows]], self.mask[rows], self.attr[rows]))
        return nodes, tuple(layers)

    def split(self, size: int) -> list["Neighbours"]:
        """Blocks of rows."""
        parts = (torch.split(part, size) for part in (self.index, self.mask, self.attr))
        return [Neighbours(*part) for part in zip(*parts, strict=True)]

    def to(self, device: torch.device | str) -> "Neighbours":
        """The same on another device."""
        return Neighbours(self.index.to(device), self.mask.to(device), self.attr.to(device))
