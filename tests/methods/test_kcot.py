"""Optimal transport against POT and against the published iterations; KCOT's parts against plain loops."""

import math
import warnings
from typing import Any

import numpy as np
import pytest
import torch
from tiny import bare
from torch import Tensor
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode
from torch.nn.functional import normalize
from torch.utils._python_dispatch import TorchDispatchMode

from c2srt_cli.backbone.embedding import ImageEmbedding
from c2srt_cli.methods import kcot
from c2srt_cli.methods.kcot import Stop, matching_cost, sinkhorn, teacher_plan, transport, visual_marginal

with warnings.catch_warnings():  # of back ends that are not installed
    warnings.simplefilter("ignore")
    import ot

EXACT = Stop(30_000, 1e-9, "marginal")


def problem(regions: int, labels: int, kind: str, images: int = 2, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Masses ``a`` and ``b``, and a cost, in double precision."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.rand(images, regions, labels, generator=generator, dtype=torch.float64)
    costs = {
        "uniform": noise,
        "cosines": matching_cost(0.2 + 0.2 * noise, 100.0),
        "equal": torch.full_like(noise, 0.3),
        "blocks": (noise > 0.5).double(),
        "wide": 20 * noise,
    }
    a = torch.rand(images, regions, generator=generator, dtype=torch.float64) ** 4 + 1e-6
    b = torch.rand(images, labels, generator=generator, dtype=torch.float64) + 0.01
    return a / a.sum(1, keepdim=True), b / b.sum(1, keepdim=True), costs[kind]


def peer(a: Tensor, b: Tensor, cost: Tensor, reg: float) -> Tensor:
    plans = []
    for one in zip(a.numpy(), b.numpy(), cost.numpy(), strict=True):
        with np.errstate(over="ignore"):  # in scalings that it reports beside the plan
            plan, log = ot.sinkhorn(*one, reg, method="sinkhorn_log", numItermax=30_000, stopThr=1e-9, log=True)
        assert log["err"][-1] <= 1e-9
        plans.append(plan)
    return torch.from_numpy(np.stack(plans))


def distance(plan: Tensor, wanted: Tensor) -> float:
    """The largest relative L1 distance over the images."""
    return float(((plan.double() - wanted).abs().sum((1, 2)) / wanted.sum((1, 2))).max())


SIZES = [(6, 5), (49, 30), (1, 7), (7, 1), (1, 1)]


@pytest.mark.parametrize(
    ("size", "kind", "reg"),
    [(size, kind, reg) for size in SIZES for kind in ("uniform", "cosines", "equal", "blocks") for reg in (10.0, 0.1)]
    + [((6, 5), "uniform", 0.01), ((49, 30), "uniform", 0.01), ((6, 5), "cosines", 0.01), ((6, 5), "wide", 0.1)]
    + [((49, 30), "uniform", 0.003), ((7, 1), "wide", 0.001), ((1, 7), "wide", 0.001), ((6, 5), "equal", 0.001)],
)
def test_plans_are_those_of_pot(size: tuple[int, int], kind: str, reg: float) -> None:
    a, b, cost = problem(*size, kind)
    wanted = peer(a, b, cost, reg)
    exact = sinkhorn(a, b, cost, reg, EXACT)
    assert exact.converged.all()
    assert exact.plan.dtype == torch.float64
    assert distance(exact.plan, wanted) <= 1e-6
    if reg >= 0.01:
        single = sinkhorn(a.float(), b.float(), cost.float(), reg, Stop(30_000, 1e-5, "marginal"))
        assert single.plan.dtype == torch.float32
        assert single.converged.all()
        assert distance(single.plan, wanted) <= 1e-4


def test_a_small_reg_beyond_the_range_of_floats() -> None:
    """A quarter of an assignment each: its plan is known without solving anything."""
    cost = torch.ones(1, 4, 4) - torch.eye(4)
    equal = torch.full((1, 4), 0.25)
    for reg in (1e-3, 1e-4):
        found = sinkhorn(equal, equal, cost, reg)
        assert found.converged.all()
        torch.testing.assert_close(found.plan[0], torch.eye(4) / 4)
    shifted = cost * 1e4  # exponents of millions
    torch.testing.assert_close(sinkhorn(equal, equal, shifted, 1e-3).plan[0], torch.eye(4) / 4)


def published(a: Tensor, b: Tensor, cost: Tensor, reg: float) -> tuple[Tensor, int]:
    """METHODS 3: one image, plain scalings from ones, until the mean change of r is below 1e-3, 100 times at most."""
    kernel = (-cost / reg).exp()
    r, c = torch.ones_like(a), torch.ones_like(b)
    count, change = 0, math.inf
    while count < 100 and not change < 1e-3:
        before = r
        r = a / (kernel @ c)
        c = b / (kernel.T @ r)
        count, change = count + 1, float((r - before).abs().mean())
    return r[:, None] * kernel * c, count


@pytest.mark.parametrize("kind", ["uniform", "cosines", "wide"])
@pytest.mark.parametrize("reg", [0.1, 0.15, 0.05])
def test_the_published_stopping_rule_is_the_default(kind: str, reg: float) -> None:
    reg *= 20 if kind == "wide" else 1
    a, b, cost = problem(49, 30, kind, images=5)
    found = sinkhorn(a, b, cost, reg)
    wanted = [published(*one, reg) for one in zip(a, b, cost, strict=True)]
    torch.testing.assert_close(found.plan, torch.stack([plan for plan, _ in wanted]))
    assert found.iterations.tolist() == [count for _, count in wanted]
    rows = torch.stack([plan.sum(1) for plan, _ in wanted])
    torch.testing.assert_close(found.error, (rows - a).abs().sum(1))
    # an image ends where it ends alone
    for image in range(5):
        alone = sinkhorn(a[image : image + 1], b[image : image + 1], cost[image : image + 1], reg)
        torch.testing.assert_close(alone.plan[0], found.plan[image])
        assert alone.iterations[0] == found.iterations[image]


@pytest.mark.parametrize("rule", ["published", "marginal"])
@pytest.mark.parametrize(("kind", "reg"), [("uniform", 0.1), ("cosines", 0.15), ("wide", 2.0), ("blocks", 0.02)])
def test_a_device_that_is_seldom_waited_for_finds_the_same(
    kind: str, reg: float, rule: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b, cost = problem(49, 30, kind, images=5)
    stop = Stop(100, 1e-4, rule)
    wanted = sinkhorn(a, b, cost, reg, stop)
    monkeypatch.setattr(kcot, "WAITS", frozenset())
    found = sinkhorn(a, b, cost, reg, stop)
    torch.testing.assert_close(found.plan, wanted.plan)
    torch.testing.assert_close(found.error, wanted.error)
    assert torch.equal(found.iterations, wanted.iterations)
    assert torch.equal(found.converged, wanted.converged)
    single = sinkhorn(a.float(), b.float(), cost.float(), reg, stop)
    torch.testing.assert_close(single.plan.double(), wanted.plan, rtol=1e-3, atol=1e-6)


def test_no_iteration_waits_for_a_gpu() -> None:
    """On pretended tensors of a GPU whoever looks at a value fails, as on those of a CPU."""
    for device in ("cuda", "cpu"):
        with FakeTensorMode():
            similarity = torch.randn(3, 49, 30, device=device)
            truth = torch.randint(-1, 2, (3, 30), device=device)
            given: dict[str, Any] = {"teacher": teacher_plan(similarity, truth, 100.0), "stop": Stop(kcot.BUNDLE)}
            if device == "cuda":
                plan = transport(similarity, 100.0, **given).plan
                assert (plan.device.type, plan.shape) == ("cuda", (3, 49, 30))
            else:
                with pytest.raises(DataDependentOutputException):
                    transport(similarity, 100.0, **given)


class Looks(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """How often the value of a tensor is asked for."""

    count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += func is torch.ops.aten._local_scalar_dense.default
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize(
    ("tolerance", "iterations", "looks"), [(1.0, 100, 1), (0.0, 100, 4), (0.0, 1000, 7), (0.0, 8, 0)]
)
def test_a_gpu_is_looked_at_after_ever_longer_bundles(
    tolerance: float, iterations: int, looks: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kcot, "WAITS", frozenset())
    a, b, cost = problem(6, 5, "uniform")
    with Looks() as counted:  # type: ignore[no-untyped-call]
        found = sinkhorn(a, b, cost, 0.1, Stop(iterations, tolerance))
    assert counted.count == looks
    assert found.iterations.tolist() == [2 if tolerance else iterations] * 2


def test_it_says_where_the_iterations_do_not_suffice() -> None:
    a, b, cost = problem(20, 12, "uniform")
    few = sinkhorn(a, b, cost, 1e-3, Stop(3, 1e-9, "marginal"))
    assert few.iterations.tolist() == [3, 3]
    assert not few.converged.any()
    torch.testing.assert_close(few.error, (few.plan.sum(2) - a).abs().sum(1))
    torch.testing.assert_close(few.plan.sum(1), b)
    # where r is small its change is too: the published rule is met long before the plan is right
    torch.manual_seed(0)
    cost = torch.rand(1, 500, 10)
    cost = cost - cost.amin(2, keepdim=True)
    early = sinkhorn(torch.full((1, 500), 1 / 500), torch.full((1, 10), 0.1), cost, 1e-3)
    assert early.iterations[0] < 100
    assert early.error[0] > 0.05
    assert not early.converged


@pytest.mark.parametrize("reg", [1e-3, 1e-2, 0.1, 10.0])
@pytest.mark.parametrize(("regions", "labels"), [(1, 1), (1, 9), (9, 1), (9, 40)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_nothing_is_ever_nan(reg: float, regions: int, labels: int, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    patches = torch.randn(4, regions, 8).to(dtype)
    patches[0] = 0
    patches[1] = patches[1, :1]
    patches[2] *= 1e-30 if dtype == torch.float32 else 1e-20
    patches[3] *= 1e15
    patches.requires_grad_()
    text = normalize(torch.randn(labels, 8), dim=-1)
    text[-1] = text[0]
    truth = torch.randint(-1, 2, (4, labels))
    truth[0], truth[1], truth[2] = -1, 1, 0
    one = bare("ram", 8, 100.0, ot_reg=reg)
    for frozen in (None, teacher_plan(normalize(patches.detach().float(), dim=-1) @ text.T, truth, 100.0)):
        scores, share = one.base_scores(ImageEmbedding(patches[:, 0], patches), text, frozen)
        (gradient,) = torch.autograd.grad(scores.sum(), patches)
        assert scores.dtype == torch.float32
        assert share is not None
        for value in (scores, share, gradient):
            assert value.isfinite().all()
    none = torch.tensor([[0.0, 1.0, 0.0]])  # regions and labels without mass
    found = sinkhorn(none, none[:, :2], torch.rand(1, 3, 2), reg)
    torch.testing.assert_close(found.plan, torch.einsum("bn,bc->bnc", none, none[:, :2]))
    assert found.error < 1e-6


def test_rows_and_columns_without_mass_change_nothing() -> None:
    a, b, cost = problem(8, 6, "uniform", images=1)
    a[0, 3] = b[0, 2] = 0
    a, b = a / a.sum(), b / b.sum()
    kept_rows, kept_columns = [0, 1, 2, 4, 5, 6, 7], [0, 1, 3, 4, 5]
    wanted = peer(a[:, kept_rows], b[:, kept_columns], cost[:, kept_rows][..., kept_columns], 0.05)
    plan = sinkhorn(a, b, cost, 0.05, EXACT).plan
    assert distance(plan[:, kept_rows][..., kept_columns], wanted) <= 1e-6
    assert float(plan[0, 3].sum() + plan[0, :, 2].sum()) < 1e-18


def test_what_cannot_be_solved_is_refused() -> None:
    a, b, cost = problem(3, 2, "uniform")
    for reg, stop in ((0.0, Stop()), (-1.0, Stop()), (math.nan, Stop()), (0.1, Stop(0))):
        with pytest.raises(ValueError, match="reg has to be above 0"):
            sinkhorn(a, b, cost, reg, stop)


def test_twenty_thousand_labels_a_few_images_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    patches, text = torch.randn(12, 4, 16), normalize(torch.randn(20_000, 16), dim=-1)
    sizes = []
    solve = kcot._solve

    def counted(*args: Any) -> Any:
        sizes.append(args[2].numel())
        return solve(*args)

    monkeypatch.setattr(kcot, "_solve", counted)
    similarity = normalize(patches, dim=-1) @ text.T
    found = transport(similarity, 100.0)
    assert found.plan.shape == (12, 4, 20_000)
    assert max(sizes) <= kcot.BLOCK["cpu"] < sum(sizes)
    monkeypatch.setitem(kcot.BLOCK, "cpu", 1 << 30)
    together = transport(similarity, 100.0)
    assert sizes[-1] == patches.shape[0] * 4 * 20_000
    torch.testing.assert_close(found[:3], together[:3], rtol=1e-4, atol=1e-9)


def softmax(values: list[float]) -> list[float]:
    powers = [math.exp(v - max(values)) for v in values]
    return [p / sum(powers) for p in powers]


def test_cost_masses_and_teacher_by_hand() -> None:
    torch.manual_seed(0)
    similarity = 0.2 * torch.randn(3, 4, 5, dtype=torch.float64)
    rows = similarity.tolist()
    chances = [[softmax([30 * s for s in region]) for region in image] for image in rows]
    torch.testing.assert_close(matching_cost(similarity, 30.0), 1 - torch.tensor(chances, dtype=torch.float64))
    masses = [softmax([max(region) / 0.1 for region in image]) for image in rows]
    torch.testing.assert_close(visual_marginal(similarity), torch.tensor(masses, dtype=torch.float64))
    torch.testing.assert_close(visual_marginal(similarity, math.inf), torch.full((3, 4), 0.25, dtype=torch.float64))

    truth = torch.tensor([[1, -1, -1, 0, 1], [-1, -1, -1, -1, -1], [1, 0, 0, 1, 1]])
    plans = torch.empty(3, 4, 5, dtype=torch.float64)
    for image in range(3):
        for label in range(5):
            plans[image, :, label] = torch.tensor(softmax([20 * region[label] for region in chances[image]]))
    wanted = plans.clone()
    for image in range(3):
        for label in range(5):
            if truth[image, label] == -1:
                wanted[image, :, label] = plans[image].min()
    torch.testing.assert_close(teacher_plan(similarity, truth, 30.0).exp(), wanted)


@pytest.mark.parametrize("taught", [False, True])
def test_transport_is_the_published_problem(taught: bool) -> None:
    """METHODS 3, an image after the other, with POT's plan of the KL problem's own kernel."""
    torch.manual_seed(0)
    patches, text = torch.randn(3, 9, 16).double(), normalize(torch.randn(6, 16).double(), dim=-1)
    truth = torch.randint(-1, 2, (3, 6))
    similarity = normalize(patches, dim=-1) @ text.T
    teacher = teacher_plan(similarity + 0.1 * torch.rand(3, 9, 6), truth, 10.0) if taught else None
    found = transport(similarity, 10.0, teacher, stop=EXACT)
    for image in range(3):
        cost = 1 - (10 * similarity[image]).softmax(1)
        kernel, reg = cost / 0.1, 1.0
        if teacher is not None:  # K = exp(-(cost - 0.05 log P) / (0.1 + 0.05))
            kernel = (cost - 0.05 * teacher[image]) / (0.1 + 0.05)
        a = (similarity[image].max(1).values / 0.1).softmax(0)
        plan = peer(a[None], torch.full((1, 6), 1 / 6, dtype=torch.float64), kernel[None], reg)[0]
        torch.testing.assert_close(found.plan[image], plan, rtol=1e-6, atol=1e-9)
    assert found.converged.all() and found.error.max() < 1e-9


def test_float32_whatever_the_autocast() -> None:
    torch.manual_seed(0)
    similarity = 0.2 * torch.randn(3, 9, 6)
    wanted = transport(similarity, 100.0)
    with torch.autocast("cpu", torch.bfloat16):
        found = transport(similarity, 100.0)
    for one, other in zip(found, wanted, strict=True):
        assert torch.equal(one, other)
