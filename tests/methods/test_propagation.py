import pytest
import torch
from tiny import neighbours
from torch import Tensor

from c2srt_cli.graph.category_graph import RELATIONS
from c2srt_cli.methods.neighbours import Neighbours
from c2srt_cli.methods.propagation import ScorePropagation, strengths

EDGE = len(RELATIONS) + 1
#: Sources above targets: 0 hears 1 and 2, 1 hears 2, 3 hears nobody.
INDEX = torch.tensor([[1, 2, 2], [0, 0, 1]])
STRENGTH = torch.tensor([0.6, 0.2, 0.9])


def propagated(scores: Tensor, rows: Neighbours, gain: float, center: float = 0.0) -> Tensor:
    found, added = ScorePropagation(gain)(scores, rows, center)
    torch.testing.assert_close(found - added.sum(2), scores[:, : len(rows.index)])
    detached: Tensor = found.detach()
    return detached


def graph() -> Neighbours:
    attr = torch.zeros(3, EDGE)
    attr[torch.arange(3), torch.tensor([0, 4, 2])] = 1.0
    attr[:, -1] = STRENGTH
    return neighbours(INDEX, attr, 4)


def test_by_hand() -> None:
    scores = torch.tensor([[0.1, 0.4, 0.8, -0.3]])
    got = propagated(scores, graph(), 0.5)
    wanted = [0.1 + 0.5 * (0.6 * 0.4 + 0.2 * 0.8), 0.4 + 0.5 * 0.9 * 0.8, 0.8, -0.3]
    torch.testing.assert_close(got, torch.tensor([wanted]))
    assert strengths(graph()).sum(1).tolist() == pytest.approx([0.8, 0.9, 0.0, 0.0])


def test_a_center_shifts_a_label_alike_everywhere() -> None:
    torch.manual_seed(0)
    scores = torch.randn(3, 4)
    shift = propagated(scores, graph(), 0.5) - propagated(scores, graph(), 0.5, 0.2)
    torch.testing.assert_close(shift, (0.5 * 0.2 * torch.tensor([0.8, 0.9, 0.0, 0.0])).expand(3, 4))


def test_seen_labels_hear_by_a_gain_of_their_own() -> None:
    scores = torch.tensor([[0.1, 0.4, 0.8, -0.3]])
    unseen = torch.tensor([True, False, False, True])
    found, added = ScorePropagation(0.5, 0.2)(scores, graph(), 0.1, unseen)
    wanted = [0.1 + 0.5 * (0.6 * 0.3 + 0.2 * 0.7), 0.4 + 0.2 * 0.9 * 0.7, 0.8, -0.3]
    torch.testing.assert_close(found, torch.tensor([wanted]))
    torch.testing.assert_close(added.sum(2), found - scores)


@pytest.mark.parametrize("targets", [[0], [1, 3], [3, 0]])
def test_a_closure_equals_the_whole_graph(targets: list[int]) -> None:
    torch.manual_seed(0)
    scores = torch.randn(2, 4)
    nodes, (rows,) = graph().closure(torch.tensor(targets), 1)
    torch.testing.assert_close(propagated(scores[:, nodes], rows, 1.0), propagated(scores, graph(), 1.0)[:, targets])


def test_no_labels_have_no_scores() -> None:
    _, (rows,) = graph().closure(torch.empty(0, dtype=torch.int64), 1)
    assert propagated(torch.empty(3, 0), rows, 1.0).shape == (3, 0)
