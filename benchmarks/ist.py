"""Inter-category transfer, forward and backward: images a second by number of labels and of images in a batch.

The peer is the same module around PyTorch Geometric's ``GATv2Conv`` on the disjoint batch of one graph an image, with
the same weights, of ViT-B/16's width. Both are warmed up, then timed in turns; medians count, of wall time and of the
processor's. Run on an idle machine: ``OMP_NUM_THREADS=1 python benchmarks/ist.py``.

On one core, 10 sources a label, ours against the peer by the processor's time, bfloat16 / float32:

| labels | images | ratio     | one image | ratio     |
| -----: | -----: | :-------- | --------: | :-------- |
|     65 |     32 | 2.1 / 2.1 |         1 | 1.0 / 1.0 |
|    325 |     32 | 2.5 / 2.2 |         1 | 1.4 / 1.2 |
|  1,006 |     16 | 2.8 / 2.5 |         1 | 1.5 / 1.2 |
|  7,586 |      2 | 2.1 /     |         1 | 1.9 / 1.9 |

So it is nowhere faster, and ours stays.
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
from c2srt_cli.methods.ist import IST
from c2srt_cli.methods.neighbours import Neighbours

with warnings.catch_warnings():  # it deprecates its own parts
    warnings.simplefilter("ignore")
    from torch_geometric.data import Data
    from torch_geometric.nn import GATv2Conv

#: Labels, and images of a batch.
SIZES = ((65, 32), (325, 32), (1006, 16), (7586, 2))


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
    for name, value in (("sources", 10), ("dim", 512), ("heads", 4), ("repeats", 3)):
        parser.add_argument(f"--{name}", type=int, default=value)
    options = parser.parse_args()
    print(f"{options.sources} sources, width {options.dim}, {torch.get_num_threads()} threads")
    print(
        f"{'labels':>8}{'images':>8}{'':10}{'img/s':>8}{'peer':>8}{'ratio':>8}{'img/CPU s':>12}{'peer':>8}{'ratio':>8}"
    )
    for labels, several in SIZES:
        for images in (1, several):
            measure(labels, images, options)


def measure(labels: int, images: int, options: argparse.Namespace) -> None:
    dim = options.dim
    torch.manual_seed(0)
    source = (
        torch.arange(labels)[:, None] + torch.rand(labels, labels - 1).argsort()[:, : options.sources] + 1
    ) % labels
    target = torch.arange(labels)[:, None].expand_as(source)
    edge_index = torch.stack([source.flatten(), target.flatten()])  # (2, E)
    edge_attr = torch.rand(edge_index.shape[1], len(RELATIONS) + 1)
    rows = Neighbours.of(Data(edge_index=edge_index, edge_attr=edge_attr, num_nodes=labels))

    own_index = torch.stack([rows.index[rows.mask], torch.arange(labels)[:, None].expand_as(rows.index)[rows.mask]])
    copies = (own_index[:, None] + torch.arange(images)[:, None] * labels).flatten(1)  # (2, B * (E + C))
    copied_attr = rows.attr[rows.mask].repeat(images, 1)

    image, text = torch.randn(images, labels, dim, requires_grad=True), torch.randn(labels, dim)
    model = IST(dim, heads=options.heads, dropout=0.0, random_init=True)
    peer = Disjoint(model, dim, options.heads)
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
        print(f"{labels:8,}{images:8}  {name:8}{wall:8.1f}{peer_wall:8.1f}{wall / peer_wall:8.1f}", end="")
        print(f"{cpu:12.1f}{peer_cpu:8.1f}{cpu / peer_cpu:8.1f}")


if __name__ == "__main__":
    main()
