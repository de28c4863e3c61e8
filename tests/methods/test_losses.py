"""Losses against the published code's form, one pair at a time or with every pair in one tensor."""

import itertools
import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from c2srt_cli.methods.losses import (
    NORMS,
    asymmetric_loss,
    distillation,
    mmc_loss,
    ranking_loss,
    ranking_loss_over_images,
    siglip_loss,
    sigmoid_loss,
)


def naive_ranking(scores: Tensor, truth: Tensor, margin: float = 1.0) -> Tensor:
    """METHODS 4.3 with all pairs in one (B, C, C) tensor, as LESA, BiAM and MKT write it."""
    pairs = (truth > 0)[:, :, None] & (truth < 0)[:, None, :]
    hinge = ((margin + scores)[:, None, :] - scores[:, :, None]).clamp_min(0) * pairs
    return (hinge.sum((1, 2)) / (hinge.sign().sum((1, 2)) + 1e-8)).mean()


def value_and_gradient(loss: Callable[[Tensor], Tensor], scores: Tensor) -> tuple[Tensor, Tensor]:
    scores = scores.detach().clone().requires_grad_()
    value = loss(scores)
    value.backward()  # type: ignore[no-untyped-call]
    assert scores.grad is not None
    return value.detach(), scores.grad


def rows(seed: int, images: int, classes: int, scale: float) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    truth = torch.randint(-1, 2, (images, classes), generator=generator)
    truth[0], truth[1], truth[2] = 1, -1, 0
    return torch.randn(images, classes, generator=generator) * scale, truth.to(torch.int8)


def test_siglip_loss_by_hand() -> None:
    """Summed over the labels of an image that are known, mean over images, those of which nothing is known too."""
    scores = torch.tensor([[0.5, -1.0, 2.0], [3.0, -2.0, 0.25], [9.0, 9.0, 9.0]])
    truth = torch.tensor([[1, -1, 0], [0, 1, -1], [0, 0, 0]], dtype=torch.int8)
    wanted = sum(math.log1p(math.exp(x)) for x in (-0.5, -1.0, 2.0, 0.25)) / 3
    assert float(siglip_loss(scores, truth)) == pytest.approx(wanted, rel=1e-6)


@pytest.mark.parametrize("scale", [0.03, 1.0, 10.0], ids=["all pairs violated", "some", "few"])
@pytest.mark.parametrize("margin", [1.0, 0.2, 0.0])
def test_ranking_loss_and_its_gradient_equal_the_published_form(scale: float, margin: float) -> None:
    scores, truth = rows(0, 7, 60, scale)
    got, gradient = value_and_gradient(lambda s: ranking_loss(s, truth, margin), scores)
    wanted, wanted_gradient = value_and_gradient(lambda s: naive_ranking(s, truth, margin), scores)
    torch.testing.assert_close(got, wanted, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(gradient, wanted_gradient, atol=1e-7, rtol=1e-5)
    assert not gradient[truth == 0].any()
    assert not gradient[:3].any()  # all present, all absent, all unknown


@pytest.mark.parametrize("margin", [1.0, 0.2])
def test_ranking_of_images_under_a_label(margin: float) -> None:
    scores, truth = rows(3, 9, 12, 1.0)
    truth[:, 4] = -1  # a label that no image has
    has = [c for c in range(12) if (truth[:, c] > 0).any()]
    got, gradient = value_and_gradient(lambda s: ranking_loss_over_images(s, truth, margin), scores)
    per_label = [naive_ranking(scores[None, :, c], truth[None, :, c], margin) for c in has]
    torch.testing.assert_close(got, torch.stack(per_label).mean())
    assert not gradient[:, 4].any()
    value, gradient = value_and_gradient(lambda s: ranking_loss_over_images(s, torch.full_like(truth, -1)), scores)
    assert (float(value), bool(gradient.any())) == (0.0, False)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.sampled_from([-1.0, 0.0, 0.1, 0.5, 1.0, 1.1]), st.sampled_from([-1, 0, 1])), min_size=1))
def test_ties_and_pairs_exactly_at_the_margin_count_as_published(row: list[tuple[float, int]]) -> None:
    scores = torch.tensor([[score for score, _ in row]])
    truth = torch.tensor([[label for _, label in row]])
    got, gradient = value_and_gradient(lambda s: ranking_loss(s, truth), scores)
    wanted, wanted_gradient = value_and_gradient(lambda s: naive_ranking(s, truth), scores)
    torch.testing.assert_close(got, wanted, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(gradient, wanted_gradient, atol=1e-6, rtol=1e-5)


def test_ranking_loss_by_hand() -> None:
    # image 0: pairs 0.5 > 0.2 (hinge 0.7) and 0.5 > -1 (none); image 1: nothing present
    scores = torch.tensor([[0.5, 0.2, -1.0, 9.0], [0.1, 0.2, 0.3, 0.4]])
    truth = torch.tensor([[1, -1, -1, 0], [-1, -1, -1, -1]])
    value, gradient = value_and_gradient(lambda s: ranking_loss(s, truth), scores)
    torch.testing.assert_close(value, torch.tensor(0.7 / 2))
    torch.testing.assert_close(gradient, torch.tensor([[-0.5, 0.5, 0.0, 0.0], [0.0] * 4]))


def test_ranking_loss_of_many_classes_is_as_exact_as_in_double_precision() -> None:
    generator = torch.Generator().manual_seed(1)
    scores = torch.randn(2, 3000, generator=generator) * 3 + 100
    truth = torch.where(torch.rand(2, 3000, generator=generator) < 0.3, 1, -1)
    torch.testing.assert_close(
        ranking_loss(scores, truth).double(), naive_ranking(scores.double(), truth), rtol=1e-6, atol=0
    )


@pytest.mark.parametrize("classes", [1, 5])
def test_sigmoid_loss_is_the_cross_entropy_of_known_entries(classes: int) -> None:
    scores, truth = rows(2, 6, classes, 4.0)
    got, gradient = value_and_gradient(lambda s: sigmoid_loss(s, truth), scores)
    known = [(s, t) for s, t in zip(scores.flatten().tolist(), truth.flatten().tolist(), strict=True) if t]
    wanted = sum(math.log1p(math.exp(-s * t)) for s, t in known) / len(known)
    assert got.item() == pytest.approx(wanted, rel=1e-5)
    assert not gradient[truth == 0].any()
    assert sigmoid_loss(scores, torch.zeros_like(truth)) == 0


def test_mmc_loss_by_hand() -> None:
    # e^s over all six pairs: 1 + 2 + 4 + 3 + 2 + 8 = 20, of which 2, 3 and 8 are present
    scores = torch.tensor([[1.0, 2.0, 4.0], [3.0, 2.0, 8.0]]).log()
    truth = torch.tensor([[-1, 1, -1], [1, -1, 1]])
    value, gradient = value_and_gradient(lambda s: mmc_loss(s, truth), scores)
    assert float(value) == pytest.approx(-(math.log(2 / 20) + math.log(3 / 20) + math.log(8 / 20)) / 3, rel=1e-6)
    # softmax minus a third where present
    shares = torch.tensor([[0.05, 0.1 - 1 / 3, 0.2], [0.15 - 1 / 3, 0.1, 0.4 - 1 / 3]])
    torch.testing.assert_close(gradient, shares)
    # what is unknown is left out of the sum: 16 and 8 of 20 remain, and of the present
    for unknown, wanted in (((0, 2), [2, 3, 8]), ((1, 2), [2, 3])):
        some = truth.clone()
        some[unknown] = 0
        rest = 20 - float(scores[unknown].exp())
        value, gradient = value_and_gradient(lambda s, some=some: mmc_loss(s, some), scores)  # type: ignore[misc]
        assert float(value) == pytest.approx(-sum(math.log(w / rest) for w in wanted) / len(wanted), rel=1e-6)
        assert gradient[unknown] == 0


def published_mmc(logits: Tensor, mask: Tensor) -> Tensor:
    """METHODS 3: one softmax over the flattened batch; minus the mean log-probability of the positive pairs."""
    probabilities = logits.reshape(-1).softmax(0)
    return -(probabilities.log() * mask.reshape(-1)).sum() / mask.sum()


def test_mmc_loss_equals_the_published_form_and_survives_extremes() -> None:
    scores, truth = rows(5, 6, 40, 3.0)
    truth[truth == 0] = -1
    got = value_and_gradient(lambda s: mmc_loss(s, truth), scores)
    wanted = value_and_gradient(lambda s: published_mmc(s, (truth > 0).float()), scores)
    for one, other in zip(got, wanted, strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-5)
    for nothing in (torch.full_like(truth, -1), torch.zeros_like(truth)):
        value, gradient = value_and_gradient(lambda s, t=nothing: mmc_loss(s, t), scores)  # type: ignore[misc]
        assert (float(value), bool(gradient.any())) == (0.0, False)
    extreme = torch.tensor([[5000.0, -5000.0, 0.0]])
    value, gradient = value_and_gradient(lambda s: mmc_loss(s, torch.tensor([[-1, 1, 1]])), extreme)
    assert float(value) == 7500.0
    torch.testing.assert_close(gradient, torch.tensor([[1.0, -0.5, -0.5]]))


def official_asl(x: Tensor, y: Tensor, gamma_neg: float, gamma_pos: float, clip: float) -> Tensor:
    """The paper's own code, for 0/1 targets: a sum."""
    pos = x.sigmoid()
    neg = (1 - pos + clip).clamp(max=1)
    loss = y * pos.clamp(min=1e-8).log() + (1 - y) * neg.clamp(min=1e-8).log()
    focus = (1 - pos * y - neg * (1 - y)).pow(gamma_pos * y + gamma_neg * (1 - y))
    return -(loss * focus).sum()


@pytest.mark.parametrize(("gamma_neg", "gamma_pos", "clip"), [(4.0, 1.0, 0.05), (2.0, 0.0, 0.0), (0.0, 0.0, 0.0)])
def test_asymmetric_loss_equals_the_official_code(gamma_neg: float, gamma_pos: float, clip: float) -> None:
    scores, truth = rows(3, 6, 40, 3.0)
    truth[truth == 0] = -1

    def ours(s: Tensor) -> Tensor:
        return asymmetric_loss(s, truth, gamma_neg=gamma_neg, gamma_pos=gamma_pos, clip=clip)

    def official(s: Tensor) -> Tensor:
        return official_asl(s, (truth > 0).float(), gamma_neg, gamma_pos, clip) / len(s)

    for got, wanted in zip(value_and_gradient(ours, scores), value_and_gradient(official, scores), strict=True):
        torch.testing.assert_close(got, wanted, atol=1e-6, rtol=1e-4)


def test_asymmetric_loss_ignores_the_unknown_and_survives_extremes() -> None:
    scores, truth = rows(4, 6, 10, 3.0)
    _, gradient = value_and_gradient(lambda s: asymmetric_loss(s, truth), scores)
    assert not gradient[truth == 0].any()
    extreme = torch.tensor([[200.0, -200.0, 200.0, -200.0]])
    for clip, gamma in itertools.product((0.0, 0.05), (0.0, 0.5, 4.0)):
        leaf = extreme.clone().requires_grad_()
        value = asymmetric_loss(leaf, torch.tensor([[1, 1, -1, -1]]), clip=clip, gamma_pos=gamma, gamma_neg=gamma)
        (gradient,) = torch.autograd.grad(value, leaf)
        assert value.isfinite()
        assert gradient.isfinite().all()


def test_distillation_by_hand() -> None:
    student, teacher = torch.tensor([[3.0, 4.0], [1.0, 0.0]]), torch.tensor([[0.0, 0.0], [1.0, 1.0]])
    assert distillation(student, teacher, "l1") == (3 + 4 + 0 + 1) / 4
    assert distillation(student, teacher, "l2") == (5 + 1) / 2
    assert distillation(student[1:], teacher[1:], "cosine").item() == pytest.approx(1 - math.sqrt(0.5))


@pytest.mark.parametrize("form", NORMS)
def test_distillation_starts_at_zero_without_a_gradient_and_spares_the_teacher(form: str) -> None:
    teacher = torch.randn(3, 8, requires_grad=True)
    value, gradient = value_and_gradient(lambda s: distillation(s, teacher, form), teacher)  # type: ignore[arg-type]
    assert value.item() == pytest.approx(0, abs=1e-6)
    assert gradient.abs().max() < 1e-6
    assert teacher.grad is None


def test_losses_are_float32_under_autocast() -> None:
    scores, truth = rows(5, 4, 30, 2.0)
    half = scores.bfloat16()
    for loss in (ranking_loss, sigmoid_loss, asymmetric_loss):
        wanted = loss(half.float(), truth)
        with torch.autocast("cpu", torch.bfloat16):
            got = loss(half, truth)
        assert got.dtype == torch.float32
        assert torch.equal(got, wanted)
    for form in NORMS:
        with torch.autocast("cpu", torch.bfloat16):
            got = distillation(half, scores, form)
        assert torch.equal(got, distillation(half.float(), scores, form))
