"""Inter-category transfer, forward and backward: images a second, 312 labels with 8 sources each, ViT-B/16's width.

The peer is the same module around PyTorch Geometric's ``GATv2Conv`` on the disjoint batch of one graph an image, with
the same weights. Both are warmed up, then timed in turns; medians count, of wall time and of the processor's.
Run on an idle machine: ``python benchmarks/ist.py``.
"""

import argparse
import statistics
import time
import warnings
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import elu, gelu

from c2srt_cli.graph.category_graph import RELATIONS
from c2srt_cli.methods.ist import IST, Neighbours

with warnings.catch_warnings():  # it deprecates its own parts
    warnings.simplefilter("ignore")
    from torch_geometric.nn import GATv2Conv


class Disjoint(nn.Module):
    """IST as it is usually written: each image a copy of the graph, image and text features concatenated."""

    def __init__(self, like: IST, dim: int, heads: int) -> None:
        super().__init__()
        self.like = like
        edge_dim = len(RELATIONS) + 1
        self.convs = nn.ModuleList(
            GATv2Conv(dim, dim // heads, heads, edge_dim=edge_dim, add_self_loops=False) for _ in like.layers
        )
        for conv, layer in zip(self.convs, like.layers, strict=True):
            conv.load_state_dict(layer.conv.state_dict())  # type: ignore[union-attr]

    def forward(self, image: Tensor, text: Tensor, edge_index: Tensor, edge_attr: Tensor) -> Tensor:
        """``(B, C, D)`` to the same."""
        joined = torch.cat([image, text.expand_as(image)], -1)
        h: Tensor = (image + self.like.out(gelu(self.like.mix(joined)))).flatten(0, 1)  # (B * C, D)
        for conv, layer in zip(self.convs, self.like.layers, strict=True):
            h = h + layer.dropout(layer.out(elu(conv(layer.norm(h), edge_index, edge_attr))))  # type: ignore[operator]
        return h.view_as(image)


def seconds(step: Callable[[], Tensor]) -> tuple[float, float]:
    """Of the wall clock and of all processors."""
    started = time.perf_counter(), time.process_time()
    torch.autograd.backward(step().float().square().mean())
    return time.perf_counter() - started[0], time.process_time() - started[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name, value in (("labels", 312), ("sources", 8), ("dim", 512), ("heads", 4), ("images", 32), ("repeats", 5)):
        parser.add_argument(f"--{name}", type=int, default=value)
    options = parser.parse_args()
    images, labels, dim = options.images, options.labels, options.dim
    torch.manual_seed(0)
    source = (
        torch.arange(labels)[:, None] + torch.rand(labels, labels - 1).argsort()[:, : options.sources] + 1
    ) % labels
    target = torch.arange(labels)[:, None].expand_as(source)
    edge_index = torch.stack([source.flatten(), target.flatten()])  # (2, E)
    edge_attr = torch.rand(edge_index.shape[1], len(RELATIONS) + 1)
    rows = Neighbours.from_graph(edge_index, edge_attr, labels)

    own_index = torch.stack([rows.index[rows.mask], torch.arange(labels)[:, None].expand_as(rows.index)[rows.mask]])
    copies = (own_index[:, None] + torch.arange(images)[:, None] * labels).flatten(1)  # (2, B * (E + C))
    copied_attr = rows.attr[rows.mask].repeat(images, 1)

    image, text = torch.randn(images, labels, dim, requires_grad=True), torch.randn(labels, dim)
    model = IST(dim, heads=options.heads, dropout=0.0, random_init=True)
    peer = Disjoint(model, dim, options.heads)
    print(
        f"{labels} labels, {options.sources} sources, width {dim}, {images} images, {torch.get_num_threads()} threads"
    )
    print(f"{'':10}{'img/s':>8}{'peer':>8}{'ratio':>8}{'img/CPU s':>12}{'peer':>8}{'ratio':>8}")
    for name, half in (("bfloat16", True), ("float32", False)):

        def ours(half: bool = half) -> Tensor:
            with torch.autocast("cpu", torch.bfloat16, enabled=half):
                return model(image, text, rows)[0]  # type: ignore[no-any-return]

        def theirs(half: bool = half) -> Tensor:
            with torch.autocast("cpu", torch.bfloat16, enabled=half):
                return peer(image, text, copies, copied_attr)  # type: ignore[no-any-return]

        torch.testing.assert_close(ours(), theirs(), atol=0.2 if half else 1e-4, rtol=0.05 if half else 1e-4)
        seconds(ours), seconds(theirs)
        times = [seconds(ours) + seconds(theirs) for _ in range(options.repeats)]
        wall, cpu, peer_wall, peer_cpu = (images / statistics.median(column) for column in zip(*times, strict=True))
        print(f"{name:10}{wall:8.1f}{peer_wall:8.1f}{wall / peer_wall:8.1f}", end="")
        print(f"{cpu:12.1f}{peer_cpu:8.1f}{cpu / peer_cpu:8.1f}")


if __name__ == "__main__":
    main()
