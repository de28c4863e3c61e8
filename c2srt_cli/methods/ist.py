"""Inter-category semantic transfer (IST, C2SRT): knowledge flows along the category graph, image by image."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import elu, gelu, leaky_relu_, linear

from c2srt_cli.graph.category_graph import RELATIONS
from c2srt_cli.methods.neighbours import Neighbours

#: Entries of one block of messages: a few such blocks stay in a processor's cache, or fill a GPU.
BLOCK = {"cpu": 1 << 20, "cuda": 1 << 26}

leaky_relu_backward = torch.ops.aten.leaky_relu_backward

#: Slope of GATv2's leaky ReLU (arXiv 2105.14491).
SLOPE = 0.2


class GATv2(nn.Module):
    """Graph attention that depends on both ends of an edge (GATv2, arXiv 2105.14491), for many images over one graph.

    ``e_ij = a . leaky_relu(W_r x_i + W_l x_j + W_e edge_ij)``, ``alpha_i = softmax_j e_ij`` and
    ``x_i' = sum_j alpha_ij W_l x_j + b``, for each head. Equal to PyTorch Geometric's ``GATv2Conv(in_channels,
    out_channels, heads, edge_dim=..., add_self_loops=False)`` with the same parameters under the same names. It is
    faster, 2.1 to 2.8 times for batches of 65 to 7,586 labels and 1.0 to 1.9 times for one image (benchmarks/ist.py):
    as all images share the edges, messages are gathered in whole blocks of images. And it takes less memory: no message
    is kept for the backward pass.

    Args:
        in_channels: ``D``.
        out_channels: Of one head, ``d``.
        heads: ``H``, concatenated.
        edge_dim: ``A``.
    """

    def __init__(self, in_channels: int, out_channels: int, heads: int, edge_dim: int) -> None:
        super().__init__()
        self.lin_l = nn.Linear(in_channels, heads * out_channels)
        self.lin_r = nn.Linear(in_channels, heads * out_channels)
        self.lin_edge = nn.Linear(edge_dim, heads * out_channels, bias=False)
        self.att = nn.Parameter(torch.empty(1, heads, out_channels))
        self.bias = nn.Parameter(torch.zeros(heads * out_channels))
        for weight in (self.lin_l.weight, self.lin_r.weight, self.lin_edge.weight, self.att.data[0]):
            nn.init.xavier_uniform_(weight)

    def forward(self, x: Tensor, neighbours: Neighbours) -> tuple[Tensor, Tensor]:
        """Update the first nodes of ``x``, those that have a row in ``neighbours``.

        Args:
            x: ``(B, N, D)``.
            neighbours: Of ``C <= N`` nodes.

        Returns:
            ``(B, C, H * d)``, and how much attention each node pays to each source, ``(B, C, K, H)`` float32, without
            gradient.
        """
        nodes = x.transpose(0, 1)  # (N, B, D)
        out, attention = self.attend(self.lin_l(nodes), self.lin_r(nodes[: len(neighbours.index)]), neighbours)
        return out.transpose(0, 1), attention.permute(2, 0, 1, 3)

    def attend(self, source: Tensor, target: Tensor, neighbours: Neighbours) -> tuple[Tensor, Tensor]:
        """The same after `lin_l` and `lin_r`: ``(N, B, H * d)``, ``(C, B, H * d)`` to that and ``(C, K, B, H)``."""
        heads = self.att.shape[1:]
        edge = self.lin_edge(neighbours.attr)  # (C, K, H * d)
        out, attention = _Attend.apply(
            *(part.view(*part.shape[:-1], *heads) for part in (source, target, edge)),
            self.att[0].to(source.dtype),
            neighbours.index,
            neighbours.mask,
        )
        return out.flatten(-2) + self.bias.to(out.dtype), attention


class IST(nn.Module):
    """Features of labels in images, refined by those of related labels (C2SRT, eq. 6-9).

    ``h_0 = f_img + FFN([f_img; f_txt])`` and ``h_l = h_(l-1) + Linear(ELU(GATv2(LayerNorm(h_(l-1)))))``. Residuals,
    norm, widths and heads are our choice, the paper's being unknown, and so is the start: the last linear maps of the
    FFN and of each layer are zero, so that training sets out from ``h = f_img`` to the last bit.

    Args:
        dim: ``D``.
        layers: Layers, each a hop along the graph.
        heads: Heads of each.
        hidden: Width of the FFN and of all heads together; ``dim`` unless given.
        dropout: Of what a layer adds.
        edge_dim: ``A``.
        random_init: Start the last linear maps like any other instead of at zero.

    Raises:
        ValueError: ``hidden`` cannot be divided by ``heads``.
    """

    def __init__(
        self,
        dim: int,
        *,
        layers: int = 2,
        heads: int = 4,
        hidden: int | None = None,
        dropout: float = 0.1,
        edge_dim: int = len(RELATIONS) + 1,
        random_init: bool = False,
    ) -> None:
        super().__init__()
        hidden = hidden or dim
        if hidden % heads:
            raise ValueError(f"a hidden width of {hidden} cannot be divided by {heads} heads")
        self.mix = nn.Linear(2 * dim, hidden)
        self.out = nn.Linear(hidden, dim)
        stack = [_Layer(dim, hidden, heads, dropout, edge_dim) for _ in range(layers)]
        self.layers = nn.ModuleList(stack)
        if not random_init:
            for last in (self.out, *(layer.out for layer in stack)):
                nn.init.zeros_(last.weight)
                nn.init.zeros_(last.bias)

    def forward(
        self, image: Tensor, text: Tensor, neighbours: Neighbours | Sequence[Neighbours], chunk: int | None = None
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Refine the features of each label in each image.

        Args:
            image: ``f_img``, ``(B, C, D)``.
            text: ``f_txt``, ``(C, D)``.
            neighbours: Of all ``C`` labels, or of each layer, as `Neighbours.closure` gives them.
            chunk: Labels at a time, where memory is short: intermediate results are of this many.

        Returns:
            ``h`` of the labels that the last layer updates, ``(B, n, D)``, and each layer's attention to sources,
            ``(B, n, K, H)``, without gradient.
        """
        count = len(text)
        layers = [neighbours] * len(self.layers) if isinstance(neighbours, Neighbours) else neighbours
        by_image, by_text = self.mix.weight.chunk(2, 1)
        text = linear(text, by_text, self.mix.bias)  # once for all images, (C, F)

        # labels come first within: messages are then whole blocks of images
        h = _by_rows(
            lambda image, text: image + self.out(gelu(linear(image, by_image) + text[:, None])),
            chunk or count,
            *(image.transpose(0, 1), text),
        )  # (C, B, D)
        attention = []
        for layer, rows in zip(self.layers, layers, strict=True):
            h, weights = layer(h, rows, chunk or count)
            attention.append(weights.permute(2, 0, 1, 3))
        return h.transpose(0, 1), tuple(attention)


class _Layer(nn.Module):
    def __init__(self, dim: int, hidden: int, heads: int, dropout: float, edge_dim: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.conv = GATv2(dim, hidden // heads, heads, edge_dim)
        self.out = nn.Linear(hidden, dim)
        self.dropout = nn.Dropout(dropout)

    def forward(self, h: Tensor, neighbours: Neighbours, chunk: int) -> tuple[Tensor, Tensor]:
        source = _by_rows(lambda rows: self.conv.lin_l(self.norm(rows)), chunk, h)  # (N, B, F)
        count, updated, attention = len(neighbours.index), [], []
        for rows, near in zip(torch.split(h[:count], chunk), neighbours.split(chunk), strict=True):
            mixed, weights = self.conv.attend(source, self.conv.lin_r(self.norm(rows)), near)
            updated.append(rows + self.dropout(self.out(elu(mixed))))
            attention.append(weights)
        return torch.cat(updated), torch.cat(attention)


def _by_rows(function: Callable[..., Tensor], chunk: int, *inputs: Tensor) -> Tensor:
    return torch.cat([function(*rows) for rows in zip(*(torch.split(part, chunk) for part in inputs), strict=True)])


class _Attend(torch.autograd.Function):
    """Messages in blocks of targets, made again in the backward pass: kept, they would be the bulk of the memory."""

    @staticmethod
    def forward(  # noqa: PLR0917
        ctx: Any, source: Tensor, target: Tensor, edge: Tensor, att: Tensor, index: Tensor, mask: Tensor
    ) -> tuple[Tensor, Tensor]:
        """``(N, B, H, d)``, ``(C, B, H, d)``, ``(C, K, H, d)``, ``(H, d)`` to ``(C, B, H, d)`` and ``(C, K, B, H)``."""
        out = torch.empty_like(target)
        attention = torch.empty(*index.shape, *target.shape[1:3], device=target.device)
        for rows in _blocks(index, target):
            near = _gather(source, index[rows])  # (c, K, B, H, d)
            hidden = leaky_relu_((near + target[rows, None]).add_(edge[rows, :, None]), SLOPE)
            logits = hidden.mul_(att).sum(-1, dtype=torch.float32)  # (c, K, B, H)
            attention[rows] = logits.masked_fill_(~mask[rows, :, None, None], -torch.inf).softmax(1)
            out[rows] = torch.einsum("ckbh,ckbhd->cbhd", attention[rows].to(near.dtype), near)
        ctx.save_for_backward(source, target, edge, att, index, attention)
        ctx.mark_non_differentiable(attention)
        return out, attention

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        source, target, edge, att, index, attention = ctx.saved_tensors
        by_target, by_edge = torch.empty_like(target), torch.empty_like(edge)
        # sums over many messages, in float32 also where these are bfloat16
        by_source, by_att = torch.zeros_like(source).float(), torch.zeros_like(att).float()
        for rows in _blocks(index, target):
            near, weight = _gather(source, index[rows]), attention[rows]
            moved = (near * grad[rows, None]).sum(-1, dtype=torch.float32)  # (c, K, B, H)
            moved = weight * (moved - (weight * moved).sum(1, keepdim=True))  # by the softmax: of the logits
            logits, weight = (part.to(near.dtype)[..., None] for part in (moved, weight))
            hidden = near.add_(target[rows, None]).add_(edge[rows, :, None])
            message = leaky_relu_backward(logits * att, hidden, SLOPE, False)
            by_target[rows] = message.sum(1)
            by_edge[rows] = message.sum(2)
            by_att += leaky_relu_(hidden, SLOPE).mul_(logits).sum((0, 1, 2), dtype=torch.float32)
            message.addcmul_(grad[rows, None], weight)
            by_source.index_add_(0, index[rows].flatten(), message.flatten(0, 1).float())
        return by_source.to(source.dtype), by_target, by_edge, by_att.to(att.dtype), None, None


def _gather(source: Tensor, index: Tensor) -> Tensor:
    return source.index_select(0, index.flatten()).view(*index.shape, *source.shape[1:])


def _blocks(index: Tensor, target: Tensor) -> list[slice]:
    count, width = index.shape
    step = max(1, BLOCK.get(target.device.type, 1 << 24) // max(1, width * target[:1].numel()))
    return [slice(start, start + step) for start in range(0, count, step)]
