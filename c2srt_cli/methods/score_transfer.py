"""Transfer of scores between labels over the category graph: a lighter way than IST for knowledge to flow."""

from torch import Tensor

from c2srt_cli.methods.ist import Neighbours


def strengths(neighbours: Neighbours) -> Tensor:
    """How much each label listens to each of its sources, ``(C, K)``: the graph's strengths, 0 for itself."""
    found = neighbours.attr[..., -1].clone()
    found[:, 0] = 0.0  # the label itself
    return found


def transfer_scores(
    scores: Tensor, neighbours: Neighbours, gain: Tensor | float, center: Tensor | float = 0.0
) -> Tensor:
    """Each label's score, raised by those of its sources: ``s_i' = s_i + gain * sum_j strength_ij (s_j - center)``.

    The center shifts a label's scores alike on all photographs. Where it is the mean of sources' scores, labels that
    listen to many do not outrank those that listen to few, or to none. A label without sources keeps its score, and one
    with few or weak ones nearly so.

    IST (C2SRT, eq. 7-9) moves features instead, through matrices that have only the seen labels to learn from; here
    nothing is learned but gain and center.

    Args:
        scores: Of all N labels that take part, ``(B, N)``.
        neighbours: Of the first ``C <= N`` of them.
        gain: Of what is added.
        center: The mean of sources' scores.

    Returns:
        Scores of the first C, ``(B, C)``.
    """
    heard = scores[:, neighbours.index] - center  # (B, C, K); an empty place holds the label itself, with strength 0
    return scores[:, : len(neighbours.index)] + gain * (heard * strengths(neighbours)).sum(2)
