"""Transfer of scores between labels over the category graph: a lighter way than IST for knowledge to flow."""

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu, linear

from c2srt_cli.methods.ist import SLOPE, Neighbours


class ScoreTransfer(nn.Module):
    """Each label's score, raised by the mean of those of its sources, which GATv2's attention weighs.

    ``s_i' = s_i + gain * sum_j alpha_ij s_j`` with ``alpha_i = softmax_j(log strength_ij + e_ij)`` and GATv2's
    ``e_ij = a . leaky_relu(W_r t_i + W_l t_j + W_e edge_ij)`` on the labels' texts. ``a`` is zero at the start: the
    graph's strengths alone decide. A label without sources keeps its score.

    IST (C2SRT, eq. 7-9) moves features instead, through matrices that have only the seen labels to learn from; here
    what is learned is how much to listen to whom, and it is the same for every photograph.

    Args:
        dim: ``D``, of the texts.
        hidden: Width of the attention.
        edge_dim: Attributes of an edge, the strength last.
        gain: Of what is added. It does not learn: seen labels, which have photographs of their own, would teach a
            smaller one than unseen labels need.
    """

    def __init__(self, dim: int, hidden: int, edge_dim: int, gain: float) -> None:
        super().__init__()
        self.gain = gain
        self.lin_l = nn.Linear(dim, hidden)
        self.lin_r = nn.Linear(dim, hidden)
        self.lin_edge = nn.Linear(edge_dim, hidden, bias=False)
        self.att = nn.Parameter(torch.zeros(hidden))

    def forward(self, scores: Tensor, text: Tensor, neighbours: Neighbours) -> Tensor:
        """Scores ``(B, N)`` to those ``(B, C)`` of the first labels, which have a row in ``neighbours``.

        Args:
            scores: Of all labels that take part.
            text: Their embeddings ``(N, D)``.
            neighbours: Of ``C <= N`` labels.
        """
        return self.transfer(scores, self.attention(text, neighbours), neighbours)

    def transfer(self, scores: Tensor, weights: Tensor, neighbours: Neighbours) -> Tensor:
        """The same by the weights ``(C, K)`` that `attention` gives."""
        mixing = scores.new_zeros(len(weights), scores.shape[1])
        mixing.scatter_add_(1, neighbours.index, weights)  # an empty place holds the label itself, with weight 0
        return scores[:, : len(weights)] + self.gain * linear(scores, mixing)

    def attention(self, text: Tensor, neighbours: Neighbours) -> Tensor:
        """How much each label listens to each of its sources, ``(C, K)``: rows of sum 1, or of 0 without sources."""
        source, target = self.lin_l(text), self.lin_r(text[: len(neighbours.index)])
        hidden = source[neighbours.index] + target[:, None] + self.lin_edge(neighbours.attr)  # (C, K, F)
        logits = (leaky_relu(hidden, SLOPE) * self.att).sum(-1).float() + neighbours.attr[..., -1].log()
        others = neighbours.mask.clone()
        others[:, 0] = False  # the label itself
        # not minus infinity: a label without sources would have no softmax, nor a gradient
        return logits.masked_fill(~others, torch.finfo(logits.dtype).min).softmax(1) * others
