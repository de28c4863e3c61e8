"""Label propagation: scores flow from seen to unseen labels over the category graph, a lighter way than IST."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from c2srt_cli.methods.neighbours import Neighbours
from c2srt_cli.methods.options import Propagation, TrainedPropagation

#: The gain where there is too little to fit it on.
UNFITTED = 0.4


def strengths(neighbours: Neighbours) -> Tensor:
    """How much each label aggregates from each of its sources, ``(C, K)``: the graph's strengths, 0 for itself."""
    found = neighbours.attr[..., -1].clone()
    found[:, 0] = 0.0  # the label itself
    return found


class Evidence(NamedTuple):
    """What labels have to say of images: how far their scores lie above what a label has there by itself.

    Attributes:
        found: ``max(s - mean, 0)``, ``(B, C)``: a label that is not seen says nothing.
        mean: Score of a background label, ``(B, 1)``.
        sd: Standard deviation of a sample of these, ``(B, 1)``.
        usual: What a background label would have to say, ``(B, 1)``.
    """

    found: Tensor
    mean: Tensor
    sd: Tensor
    usual: Tensor

    @classmethod
    def of(cls, scores: Tensor, background: Tensor) -> "Evidence":
        """Of scores ``(B, C)``, by those of background labels on the same images ``(B, M)``.

        These are a fixed list, so that what a label gets does not depend on which others are asked for (SPARC, CVPR
        2025, takes the statistics of a row over the vocabulary).
        """
        mean, sd = background.mean(1, keepdim=True), background.std(1, keepdim=True)
        usual = (background - mean).clamp_min(0).mean(1, keepdim=True)
        return cls((scores - mean).clamp_min(0), mean, sd, usual)


class ScorePropagation(nn.Module):
    """Each label's score, raised by those of its sources: ``s_i' = s_i + gain * sum_j strength_ij (s_j - center)``.

    The center shifts a label's scores alike on all images. Where it is the mean of sources' scores, labels that
    have many do not outrank those that have few, or none. A label without sources keeps its score, and one with few or
    weak ones nearly so. Gain and center are fitted after training, not learned.

    IST (C2SRT, eq. 7-9) moves features instead, through matrices that have only the seen labels to learn from.

    Args:
        gain: To start from.
        seen_gain: Of what seen labels hear.
    """

    def __init__(self, gain: float, seen_gain: float = 0.0) -> None:
        super().__init__()
        self.seen_gain = seen_gain
        self.gain = nn.Parameter(torch.tensor(gain), requires_grad=False)
        self.center = nn.Parameter(torch.zeros(()), requires_grad=False)

    @classmethod
    def of(cls, options: Propagation) -> "ScorePropagation":
        """With the gain that is given, or one to start from."""
        gain = UNFITTED if options.gain == "fit" else options.gain
        return cls(gain, options.seen_gain if isinstance(options, TrainedPropagation) else 0.0)

    def forward(
        self,
        scores: Tensor,
        neighbours: Neighbours,
        center: Tensor | float | None = None,
        unseen: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Propagate scores.

        Args:
            scores: Of all N labels that take part, ``(B, N)``.
            neighbours: Of the first ``C <= N`` of them.
            center: The mean of sources' scores; the fitted one where None.
            unseen: Which of the N the gain is for, ``(N,)`` bool, others hearing by the seen labels' one; None for
                all.

        Returns:
            Scores of the first C, ``(B, C)``, and what each source adds to them, ``(B, C, K)``.
        """
        center = self.center if center is None else center
        # (B, C, K); an empty place holds the label itself, with strength 0
        added, count = (scores[:, neighbours.index] - center) * strengths(neighbours), len(neighbours.index)
        gain: Tensor = self.gain
        if unseen is not None:
            gain = torch.where(unseen[:count], self.gain, self.seen_gain)
        return scores[:, :count] + gain * added.sum(2), gain[..., None] * added
