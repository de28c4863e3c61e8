"""IST that transfers: attention over features decides how much of whose evidence a label takes over (after GPN)."""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, leaky_relu, linear

from c2srt_cli.graph.category_graph import RELATIONS
from c2srt_cli.methods.ist import SLOPE
from c2srt_cli.methods.options import EvidenceIST
from c2srt_cli.methods.vocabulary import Labels

#: The gain where there is too little to fit it on.
UNFITTED = 0.6


class Transferred(NamedTuple):
    """What came of scores.

    Attributes:
        scores: ``(B, n)``.
        attention: Mean over heads, 1 where a source has its equal share, ``(B, n, K)``.
        contribution: What each source adds in the last layer, ``(B, n, K)``.
    """

    scores: Tensor
    attention: Tensor
    contribution: Tensor


class EvidenceTransfer(nn.Module):
    """Labels' features, moved along their own texts by the evidence of the labels that the graph joins to them.

    ``h_i' = h_i + t_i sum_j gate_r strength_ij a_ij (e_ij - center)`` and the score ``h_i' . t_i``. The evidence is the
    score of the source, ``h_j . t_j``, or its feature as the target reads it, ``h_j . t_i``. Attention is GATv2's
    (arXiv 2105.14491) over nodes ``h_0 = f_img + FFN([f_img; f_txt])``, mean of its heads, times the number of sources;
    the node's own state is kept as it is. There is no value matrix: what learns says who is heard and how much, never
    what.
    All starts at equal attention: step 0 is propagation of scores at the gains that are given.

    Args:
        dim: ``D``.
        options: Widths, layers and gains.
    """

    def __init__(self, dim: int, options: EvidenceIST) -> None:
        super().__init__()
        self.options, width = options, options.heads * options.width
        if options.hidden:
            self.mix, self.out = nn.Linear(2 * dim, options.hidden), nn.Linear(options.hidden, dim)
            nn.init.zeros_(self.out.weight)
            nn.init.zeros_(self.out.bias)
        self.source, self.target = (
            nn.ModuleList(nn.Linear(dim, width) for _ in range(options.layers)) for _ in range(2)
        )
        self.edge = nn.ModuleList(nn.Linear(len(RELATIONS) + 1, width, bias=False) for _ in range(options.layers))
        self.att = nn.Parameter(torch.zeros(options.layers, options.heads, options.width))
        self.gate = nn.Parameter(torch.ones(len(RELATIONS)), requires_grad=options.gate)
        self.center = nn.Parameter(torch.zeros(()))
        #: Of what unseen labels hear; fitted after training, not learned.
        self.gain: Tensor | float
        if options.gain == "fit":
            self.gain = nn.Parameter(torch.tensor(UNFITTED), requires_grad=False)
        else:
            self.gain = options.gain

    def forward(self, features: Tensor, labels: Labels) -> Transferred:
        """Scores of the labels that are asked for.

        Args:
            features: ``f_img``, ``(B, C, D)``, such that the product with its text is a label's own score.
            labels: C of them, a layer's rows for each layer.
        """
        text, h = labels.text, features
        scores = (features * text).sum(-1)
        if self.options.hidden:
            by_image, by_text = self.mix.weight.chunk(2, 1)
            h = h + self.out(gelu(linear(h, by_image) + linear(text, by_text, self.mix.bias)))
        attention = added = scores.new_zeros(0)
        for layer, rows in enumerate(labels.layers):
            n, sources, mask = len(rows.index), rows.index[:, 1:], self._heard(rows.mask[:, 1:])
            attention = self._attention(layer, h, sources, mask, rows.attr[:, 1:])  # (B, n, K)
            relation, strength = rows.attr[:, 1:, :-1], rows.attr[:, 1:, -1]
            gain = torch.where(labels.unseen[:n, None], self.gain, self.options.seen_gain)  # (n, 1)
            gate = gain * (relation @ self.gate)  # (n, K)
            if self.options.message == "scores":
                evidence = _of(scores, sources)
            else:  # read by each target's own text
                evidence = torch.einsum("bcd,nd->bcn", features, text[:n])[:, sources, torch.arange(n)[:, None]]
            added = attention * (gate * strength) * (evidence - self.center)
            moved = added.sum(2)
            scores = scores[:, :n] + moved
            h, features = (part[:, :n] + moved[..., None] * text[:n] for part in (h, features))
        none = scores.new_zeros(*scores.shape, 1)  # in the place of the label itself
        return Transferred(scores, torch.cat([none, attention], 2).detach(), torch.cat([none, added], 2))

    def _heard(self, mask: Tensor) -> Tensor:
        """Edges, of which some drop out in training."""
        if not self.training or not self.options.edge_dropout:
            return mask
        return mask & (torch.rand(mask.shape, device=mask.device) >= self.options.edge_dropout)

    def _attention(self, layer: int, h: Tensor, sources: Tensor, mask: Tensor, edges: Tensor) -> Tensor:
        if not self.options.attention:
            return mask.float().expand(len(h), -1, -1)
        source, target = self.source[layer](h), self.target[layer](h[:, : len(sources)])
        heads = self.att.shape[1:]
        hidden = _of(source, sources) + target[:, :, None] + self.edge[layer](edges)  # (B, n, K, H * d)
        found = leaky_relu(hidden, SLOPE).view(*hidden.shape[:-1], *heads)
        logits = (found * self.att[layer]).sum(-1).float()  # (B, n, K, H)
        share: Tensor = logits.masked_fill(~mask[..., None], -1e9).softmax(2).mean(-1)
        return share * mask.sum(1, keepdim=True) * mask


def _of(nodes: Tensor, sources: Tensor) -> Tensor:
    """``(B, N, ...)`` at ``(n, K)``: ``(B, n, K, ...)``, with a backward pass that adds rows."""
    return nodes.index_select(1, sources.flatten()).view(len(nodes), *sources.shape, *nodes.shape[2:])
