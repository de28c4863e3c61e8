"""IST against PyTorch Geometric on the disjoint batch, against a plain reading, and closures against the full graph."""

import warnings

import pytest
import torch
from tiny import neighbours
from torch import Tensor, nn
from torch.nn.functional import elu, gelu

from c2srt_cli.graph.category_graph import RELATIONS
from c2srt_cli.methods import ist
from c2srt_cli.methods.ist import IST, GATv2

with warnings.catch_warnings():  # it deprecates its own parts
    warnings.simplefilter("ignore")
    from torch_geometric.data import Batch, Data
    from torch_geometric.nn import GATv2Conv

EDGE_DIM = len(RELATIONS) + 1
SELF = torch.eye(EDGE_DIM)[RELATIONS.index("self")] + torch.eye(EDGE_DIM)[-1]


def random_graph(seed: int, nodes: int, edges: int) -> tuple[Tensor, Tensor]:
    """A sparse graph with hubs, some nodes without an edge, in no order."""
    generator = torch.Generator().manual_seed(seed)
    pairs = torch.unique((torch.rand(edges * 2, 2, generator=generator) ** 2 * (nodes - 3)).long(), dim=0)
    pairs = pairs[pairs[:, 0] != pairs[:, 1]]
    pairs = pairs[torch.randperm(len(pairs), generator=generator)[:edges]]
    return pairs.T.contiguous(), torch.rand(pairs.shape[0], EDGE_DIM, generator=generator)


def with_self_edges(edge_index: Tensor, edge_attr: Tensor, nodes: int) -> tuple[Tensor, Tensor]:
    loops = torch.arange(nodes).repeat(2, 1)
    return torch.cat([edge_index, loops], 1), torch.cat([edge_attr, SELF.repeat(nodes, 1)])


def disjoint(conv: nn.Module, x: Tensor, edge_index: Tensor, edge_attr: Tensor) -> Tensor:
    """PyTorch Geometric's way: one big graph of as many copies as there are images."""
    batch = Batch.from_data_list([Data(x=image, edge_index=edge_index, edge_attr=edge_attr) for image in x])
    out: Tensor = conv(batch.x, batch.edge_index, batch.edge_attr)
    return out.view(len(x), -1, out.shape[-1])


@pytest.mark.parametrize("block", [1, 3000, 1 << 20], ids=["a node", "some nodes", "all"])
def test_gatv2_equals_pytorch_geometric(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ist.BLOCK, "cpu", block)
    torch.manual_seed(0)
    edge_index, edge_attr = random_graph(0, 30, 120)
    peer = GATv2Conv(24, 8, heads=4, edge_dim=EDGE_DIM, add_self_loops=False, share_weights=False)
    ours = GATv2(24, 8, 4, EDGE_DIM)
    nn.init.normal_(peer.bias)
    ours.load_state_dict(peer.state_dict())
    peer.load_state_dict(ours.state_dict())
    x, weight = torch.randn(5, 30, 24), torch.randn(5, 30, 32)
    mine, theirs = x.clone().requires_grad_(), x.clone().requires_grad_()
    got, attention = ours(mine, neighbours(edge_index, edge_attr, 30))
    wanted = disjoint(peer, theirs, *with_self_edges(edge_index, edge_attr, 30))
    torch.testing.assert_close(got, wanted, atol=1e-5, rtol=1e-5)
    torch.autograd.backward((got * weight).sum())
    torch.autograd.backward((wanted * weight).sum())
    torch.testing.assert_close(mine.grad, theirs.grad, atol=1e-5, rtol=1e-5)
    gradients = dict(peer.named_parameters())
    for name, parameter in ours.named_parameters():
        torch.testing.assert_close(parameter.grad, gradients[name].grad, atol=1e-4, rtol=1e-4, msg=name)
    assert not attention.requires_grad
    torch.testing.assert_close(attention.sum(2), torch.ones(5, 30, 4))


def test_attention_equals_pytorch_geometric_edge_by_edge() -> None:
    torch.manual_seed(1)
    edge_index, edge_attr = random_graph(1, 20, 60)
    peer = GATv2Conv(16, 4, heads=2, edge_dim=EDGE_DIM, add_self_loops=False)
    ours = GATv2(16, 4, 2, EDGE_DIM)
    ours.load_state_dict(peer.state_dict())
    x = torch.randn(20, 16)
    rows = neighbours(edge_index, edge_attr, 20)
    _, attention = ours(x[None], rows)
    _, (edges, wanted) = peer(x, *with_self_edges(edge_index, edge_attr, 20), return_attention_weights=True)
    for (source, target), weights in zip(edges.T.tolist(), wanted, strict=True):
        place = [i for i, node in enumerate(rows.index[target].tolist()) if rows.mask[target, i] and node == source]
        torch.testing.assert_close(attention[0, target, place], weights[None])
    assert not attention[0][~rows.mask].any()


def test_a_fresh_layer_is_scaled_like_pytorch_geometric() -> None:
    torch.manual_seed(2)
    peer = GATv2Conv(256, 64, heads=4, edge_dim=EDGE_DIM, add_self_loops=False).state_dict()
    for name, value in GATv2(256, 64, 4, EDGE_DIM).state_dict().items():
        assert value.shape == peer[name].shape
        torch.testing.assert_close(value.std(), peer[name].std(), rtol=0.15, atol=1e-6)


def test_equal_sources_share_the_attention_equally() -> None:
    edge_index = torch.tensor([[1, 2, 3], [0, 0, 0]])
    rows = neighbours(edge_index, SELF.repeat(3, 1), 4)
    _, attention = GATv2(8, 4, 2, EDGE_DIM)(torch.ones(1, 4, 8), rows)
    torch.testing.assert_close(attention[0, 0], torch.full((4, 2), 0.25))


def trained(seed: int, dim: int, **options: int) -> IST:
    """Not at its start, where it passes features through."""
    torch.manual_seed(seed)
    model = IST(dim, random_init=True, **options)
    for parameter in model.parameters():
        if parameter.dim() == 1:
            nn.init.normal_(parameter, std=0.2)
    return model.eval()


def test_ist_equals_a_plain_reading_with_pytorch_geometric() -> None:
    model = trained(4, 16, heads=2, hidden=12)
    edge_index, edge_attr = random_graph(4, 25, 80)
    edges = with_self_edges(edge_index, edge_attr, 25)
    image, text = torch.randn(3, 25, 16), torch.randn(25, 16)
    h = image + model.out(gelu(model.mix(torch.cat([image, text.expand(3, -1, -1)], -1))))
    for layer in model.layers:
        conv = GATv2Conv(16, 6, heads=2, edge_dim=EDGE_DIM, add_self_loops=False)
        conv.load_state_dict(layer.conv.state_dict())  # type: ignore[union-attr]
        h = h + layer.out(elu(disjoint(conv, layer.norm(h), *edges)))  # type: ignore[operator]
    got, attention = model(image, text, neighbours(edge_index, edge_attr, 25))
    torch.testing.assert_close(got, h, atol=1e-5, rtol=1e-5)
    assert (got - image).abs().mean() > 0.05
    assert [weights.shape[:2] for weights in attention] == [(3, 25), (3, 25)]


def test_a_closure_gives_what_the_full_graph_gives_gradients_too() -> None:
    model = trained(5, 16)
    full = neighbours(*random_graph(5, 80, 200), 80)
    text, targets = torch.randn(80, 16), torch.tensor([70, 3, 12, 78, 79])
    image = torch.randn(2, 80, 16)
    nodes, layers = full.closure(targets)
    assert len(nodes) < 80
    whole, part = image.clone().requires_grad_(), image.clone().requires_grad_()
    wanted = model(whole, text, full)[0][:, targets]
    got = model(part[:, nodes], text[nodes], layers)[0]
    assert got.shape == (2, 5, 16)
    torch.testing.assert_close(got, wanted, atol=1e-5, rtol=1e-5)
    torch.autograd.backward(wanted.square().sum())
    torch.autograd.backward(got.square().sum())
    torch.testing.assert_close(part.grad, whole.grad, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("chunk", [1, 7, 25, 100])
def test_chunks_of_labels_give_the_same(chunk: int) -> None:
    model = trained(6, 16)
    rows = neighbours(*random_graph(6, 25, 80), 25)
    image, text = torch.randn(3, 25, 16), torch.randn(25, 16)
    wanted, attention = model(image, text, rows)
    got, chunked = model(image, text, rows, chunk=chunk)
    torch.testing.assert_close(got, wanted, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(chunked, attention)
    nodes, layers = rows.closure(torch.tensor([3, 20, 24]))
    got, _ = model(image[:, nodes], text[nodes], layers, chunk=chunk)
    torch.testing.assert_close(got, wanted[:, [3, 20, 24]], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("autocast", [False, True])
@pytest.mark.parametrize("training", [False, True])
def test_at_the_start_features_pass_through_to_the_last_bit(autocast: bool, training: bool) -> None:
    torch.manual_seed(7)
    model = IST(16).train(training)
    image = torch.randn(3, 25, 16, requires_grad=True)
    rows = neighbours(*random_graph(7, 25, 80), 25)
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        got, _ = model(image, torch.randn(25, 16), rows)
    assert torch.equal(got, image)
    torch.autograd.backward(got.square().sum())
    moved = {name for name, value in model.named_parameters() if value.grad is not None and value.grad.any()}
    assert moved == {
        f"{part}.{kind}" for part in ("out", "layers.0.out", "layers.1.out") for kind in ("weight", "bias")
    }
    assert not torch.equal(IST(16, random_init=True).eval()(image, torch.randn(25, 16), rows)[0], image)


def test_bfloat16_costs_the_precision_that_it_costs_pytorch_geometric() -> None:
    torch.manual_seed(8)
    edge_index, edge_attr = random_graph(8, 40, 160)
    rows, edges = neighbours(edge_index, edge_attr, 40), with_self_edges(edge_index, edge_attr, 40)
    ours = GATv2(64, 16, 4, EDGE_DIM)
    peer = GATv2Conv(64, 16, heads=4, edge_dim=EDGE_DIM, add_self_loops=False)
    peer.load_state_dict(ours.state_dict())
    x, weight = torch.randn(4, 40, 64), torch.randn(4, 40, 64)

    def results(model: nn.Module, autocast: bool) -> list[Tensor]:
        model.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            out = disjoint(model, x, *edges) if model is peer else model(x, rows)[0]
        torch.autograd.backward((out.float() * weight).sum())
        return [out, *(value.grad.clone() for _, value in sorted(model.named_parameters()) if value.grad is not None)]

    for exact, mine, theirs in zip(results(ours, False), results(ours, True), results(peer, True), strict=True):
        # the peer's messages and bias are float32: a rounding of the result apart
        assert (mine - exact).norm() < 1.1 * (theirs - exact).norm() + 0.003 * exact.norm()


def test_a_width_that_heads_cannot_share_is_refused() -> None:
    with pytest.raises(ValueError, match="hidden width of 10 cannot be divided by 4 heads"):
        IST(10)


@pytest.mark.parametrize("hops", [1, 2])
def test_no_targets_need_nothing(hops: int) -> None:
    index = torch.tensor([[1, 2, 2], [0, 0, 1]])
    attr = torch.rand(3, len(RELATIONS) + 1)
    nodes, layers = neighbours(index, attr, 4).closure(torch.empty(0, dtype=torch.int64), hops)
    assert nodes.shape == (0,)
    assert [len(rows.index) for rows in layers] == [0] * hops
    ist = IST(8, layers=hops, heads=2)
    image = torch.randn(3, 0, 8, requires_grad=True)
    out, _ = ist(image, torch.randn(0, 8), layers)
    assert out.shape == (3, 0, 8)
    out.sum().backward()
    assert all(p.grad is None or not p.grad.any() for p in ist.parameters())
