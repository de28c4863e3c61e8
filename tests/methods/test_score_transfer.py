import warnings

import pytest
import torch

from c2srt_cli.graph.category_graph import RELATIONS
from c2srt_cli.methods.ist import Neighbours
from c2srt_cli.methods.score_transfer import ScoreTransfer

with warnings.catch_warnings():  # it deprecates its own parts
    warnings.simplefilter("ignore")
    from torch_geometric.nn import GATv2Conv

EDGE = len(RELATIONS) + 1
#: Sources above targets: 0 hears 1 and 2, 1 hears 2, 3 hears nobody.
INDEX = torch.tensor([[1, 2, 2], [0, 0, 1]])
STRENGTH = torch.tensor([0.6, 0.2, 0.9])


def graph() -> Neighbours:
    attr = torch.zeros(3, EDGE)
    attr[torch.arange(3), torch.tensor([0, 4, 2])] = 1.0
    attr[:, -1] = STRENGTH
    return Neighbours.from_graph(INDEX, attr, 4)


def test_by_hand() -> None:
    scores = torch.tensor([[0.1, 0.4, 0.8, -0.3]])
    got = ScoreTransfer(6, 5, EDGE, gain=0.5)(scores, torch.randn(4, 6), graph())
    wanted = [0.1 + 0.5 * (0.75 * 0.4 + 0.25 * 0.8), 0.4 + 0.5 * 0.8, 0.8, -0.3]
    torch.testing.assert_close(got, torch.tensor([wanted]))


def test_attention_is_that_of_gatv2() -> None:
    """With strengths that are all the same, the softmax is PyTorch Geometric's."""
    torch.manual_seed(0)
    one, text = ScoreTransfer(6, 5, EDGE, gain=1.0), torch.randn(4, 6)
    torch.nn.init.normal_(one.att)
    neighbours = graph()
    neighbours.attr[..., -1] = neighbours.mask.float()
    peer = GATv2Conv(6, 5, heads=1, edge_dim=EDGE, add_self_loops=False)
    with torch.no_grad():
        for name in ("lin_l", "lin_r", "lin_edge"):
            getattr(peer, name).load_state_dict(getattr(one, name).state_dict())
        peer.att.copy_(one.att.view(1, 1, -1))
    attr = torch.zeros(3, EDGE)
    attr[torch.arange(3), torch.tensor([0, 4, 2])] = 1.0
    attr[:, -1] = 1.0
    _, (index, alpha) = peer(text, INDEX, attr, return_attention_weights=True)
    dense = torch.zeros(4, 4)
    dense[index[1], index[0]] = alpha.detach()[:, 0]
    got = torch.zeros(4, 4).scatter_add_(1, neighbours.index, one.attention(text, neighbours).detach())
    torch.testing.assert_close(got, dense)


def test_gradients_are_finite_where_a_label_has_no_source() -> None:
    one = ScoreTransfer(6, 5, EDGE, gain=1.0).double()
    torch.nn.init.normal_(one.att)
    near = graph()
    near = Neighbours(near.index, near.mask, near.attr.double())
    text, scores = torch.randn(4, 6).double(), torch.randn(2, 4).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda s: one(s, text, near), (scores,))
    one(scores, text, near).square().sum().backward()
    for name, parameter in one.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


@pytest.mark.parametrize("targets", [[0], [1, 3], [3, 0]])
def test_a_closure_equals_the_whole_graph(targets: list[int]) -> None:
    torch.manual_seed(0)
    one, text, scores = ScoreTransfer(6, 5, EDGE, gain=1.0), torch.randn(4, 6), torch.randn(2, 4)
    nodes, layers = graph().closure(torch.tensor(targets), 1)
    got = one(scores[:, nodes], text[nodes], *layers)
    torch.testing.assert_close(got, one(scores, text, graph())[:, targets])


def test_no_labels_have_no_scores() -> None:
    nodes, (rows,) = graph().closure(torch.empty(0, dtype=torch.int64), 1)
    got = ScoreTransfer(6, 5, EDGE, gain=1.0)(torch.empty(3, 0), torch.randn(4, 6)[nodes], rows)
    assert got.shape == (3, 0)
