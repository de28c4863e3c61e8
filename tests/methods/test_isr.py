"""ISR against a plain reading of its definition: a full sort, one label at a time."""

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import normalize

from c2srt_cli.methods.isr import Bfloat16Products, patch_cap, pooled_cosines, select_patches, select_top
from c2srt_cli.methods.pooling import ISR, Best, Global, Mean, Pooling, TopK
from c2srt_cli.methods.zero_shot import score


def sorted_selection(similarity: list[float], logit_scale: float, alpha: float, cap: int) -> set[int]:
    """METHODS 1.2 step 4, literally: softmax, sort descending, accumulate to alpha, cap."""
    top = max(similarity)
    weights = [math.exp(logit_scale * (s - top)) for s in similarity]
    total = sum(weights)
    order = sorted(range(len(similarity)), key=lambda i: (-similarity[i], i))
    mass, chosen = 0.0, set()
    for i in order[:cap]:
        chosen.add(i)
        mass += weights[i] / total
        if mass >= alpha:
            break
    return chosen


def indices(mask: Tensor) -> set[int]:
    return set(mask.nonzero().flatten().tolist())


def test_the_cap_is_the_published_32_of_196_and_the_same_share_elsewhere() -> None:
    assert [patch_cap(196), patch_cap(49), patch_cap(256), patch_cap(1), patch_cap(6)] == [32, 8, 42, 1, 1]


def test_a_cap_beyond_the_grid_takes_every_patch() -> None:
    assert [patch_cap(p, 500) for p in (1, 49, 196)] == [1, 49, 196]


@pytest.mark.parametrize(("scale", "alpha"), [(100.0, 0.5), (10.0, 0.5), (100.0, 0.9), (1.0, 0.1)])
@pytest.mark.parametrize("grad", [False, True], ids=["numpy sort", "topk"])
def test_selection_equals_a_full_sort(scale: float, alpha: float, grad: bool) -> None:
    torch.manual_seed(0)
    similarity = (torch.randn(3, 40, 49) * 0.1).requires_grad_(grad)
    selection = select_patches(similarity, logit_scale=scale, alpha=alpha, cap=8)
    for row, mask, count, total in zip(
        similarity.flatten(0, 1), *(part.flatten(0, 1) for part in selection), strict=True
    ):
        wanted = sorted_selection(row.tolist(), scale, alpha, 8)
        assert indices(mask) == wanted
        assert count == len(wanted)
        torch.testing.assert_close(total, row[sorted(wanted)].sum())
    assert selection.total.requires_grad == grad


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from([-0.2, 0.0, 0.1, 0.25]), min_size=1, max_size=30), st.integers(1, 8))
def test_ties_go_to_the_first_patch_and_the_cap_holds(values: list[float], cap: int) -> None:
    cap = min(cap, len(values))
    similarity = torch.tensor(values)
    mask = select_patches(similarity[None], logit_scale=20.0, alpha=0.5, cap=cap).mask[0]
    assert indices(mask) == sorted_selection(similarity.tolist(), 20.0, 0.5, cap)


def test_large_problems_select_what_topk_does() -> None:
    torch.manual_seed(5)
    similarity = torch.randn(7, 400, 196) * 0.1
    fast = select_patches(similarity, logit_scale=100.0, alpha=0.5, cap=32)
    slow = select_patches(similarity.clone().requires_grad_(), logit_scale=100.0, alpha=0.5, cap=32)
    assert torch.equal(fast.mask, slow.mask)
    assert torch.equal(fast.sizes, slow.sizes)


def test_a_blank_picture_selects_the_first_patches_up_to_the_cap() -> None:
    selection = select_patches(torch.full((1, 1, 196), 0.2), logit_scale=100.0, alpha=0.5, cap=32)
    assert indices(selection.mask[0, 0]) == set(range(32))


def test_top_k_takes_exactly_the_k_best() -> None:
    similarity = torch.tensor([[0.1, 0.5, 0.3, 0.4, 0.2]])
    assert indices(select_top(similarity, 3).mask[0]) == {1, 2, 3}


def test_pooled_cosine_equals_pooling_the_vectors() -> None:
    torch.manual_seed(1)
    patches = normalize(torch.randn(2, 49, 16), dim=-1)
    text = normalize(torch.randn(30, 16), dim=-1)
    similarity = text @ patches.transpose(1, 2)
    selection = select_patches(similarity, logit_scale=30.0, alpha=0.5, cap=8)
    other = normalize(torch.randn(2, 16), dim=-1)
    products = patches @ torch.cat([patches, other[:, None]], 1).transpose(1, 2)
    got, beside = pooled_cosines(selection, products)
    pooled = torch.stack(
        [torch.stack([patches[b][selection.mask[b, c].bool()].mean(0) for c in range(30)]) for b in range(2)]
    )
    torch.testing.assert_close(got, torch.cosine_similarity(pooled, text[None], dim=-1), atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(beside, torch.cosine_similarity(pooled, other[:, None], dim=-1), atol=1e-6, rtol=1e-5)


def plain_score(g: Tensor, patches: Tensor, text: Tensor, pooling: Pooling, scale: float) -> tuple[Tensor, Tensor]:
    """One image and one label at a time, by forming the pooled vector."""
    scores, shares = torch.empty(len(g), len(text)), torch.empty(len(g), len(text))
    for b in range(len(g)):
        unit = patches[b] / patches[b].norm(dim=-1, keepdim=True)
        cap = patch_cap(len(unit), getattr(pooling, "max_patches", getattr(pooling, "k", 1)))
        for c, t in enumerate(text):
            whole = g[b] / g[b].norm()
            similarity = torch.stack([torch.cosine_similarity(p, t, dim=0) for p in unit])
            order = similarity.argsort(descending=True, stable=True)
            chosen = {
                "isr": sorted(sorted_selection(similarity.tolist(), scale, getattr(pooling, "alpha", 1.0), cap)),
                "topk": order[:cap].tolist(),
                "max": order[:1].tolist(),
            }.get(pooling.kind, list(range(len(unit))))
            local = whole if pooling.kind == "none" else normalize(unit[chosen].mean(0), dim=0)
            scores[b, c] = torch.cosine_similarity((whole + local) / 2, t, dim=0)
            shares[b, c] = len(chosen) / len(unit)
    return scores, shares


@pytest.mark.parametrize("pooling", [ISR(alpha=0.4), TopK(k=32), Best(), Mean(), Global()], ids=lambda one: one.kind)
def test_score_equals_the_plain_definition(pooling: Pooling, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(2)
    g, patches, text = torch.randn(3, 24), torch.randn(3, 49, 24) * 3, torch.randn(17, 24)
    monkeypatch.setattr("c2srt_cli.methods.zero_shot.BLOCK", 3 * 49 * 5)  # several blocks of labels, the last one short
    scores, shares = score(g, patches, text, logit_scale=20.0, pooling=pooling)
    wanted, wanted_shares = plain_score(g, patches, text, pooling, 20.0)
    torch.testing.assert_close(scores, wanted, atol=1e-5, rtol=1e-5)
    if pooling.kind in ("mean", "none"):
        assert shares is None
    else:
        assert shares is not None
        torch.testing.assert_close(shares, wanted_shares)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_in_one_batch_shape_values_do_not_depend_on_position_or_company(dtype: torch.dtype) -> None:
    torch.manual_seed(3)
    text = torch.randn(200, 64)
    g, patches = torch.randn(6, 64).to(dtype), torch.randn(6, 196, 64).to(dtype)
    together, shares = score(g, patches, text, logit_scale=100.0, pooling=ISR())
    assert shares is not None
    for i in range(6):
        other_g, other_patches = torch.zeros_like(g), torch.zeros_like(patches)
        other_g[5 - i], other_patches[5 - i] = g[i], patches[i]
        alone, share = score(other_g, other_patches, text, logit_scale=100.0, pooling=ISR())
        assert share is not None
        assert torch.equal(alone[5 - i], together[i])
        assert torch.equal(share[5 - i], shares[i])


def test_bfloat16_embeddings_score_close_to_float32() -> None:
    torch.manual_seed(4)
    text = torch.randn(100, 512)
    g, patches = torch.randn(2, 512).bfloat16(), torch.randn(2, 196, 512).bfloat16()
    half, _ = score(g, patches, text, logit_scale=100.0, pooling=Mean())
    full, _ = score(g.float(), patches.float(), text, logit_scale=100.0, pooling=Mean())
    assert (half - full).abs().max() < 2e-3
    assert torch.backends.mkldnn.matmul.fp32_precision != "bf16"  # type: ignore[attr-defined]


def test_products_stay_in_bfloat16_until_the_last_thread_is_done() -> None:
    matmul: Any = torch.backends.mkldnn.matmul  # type: ignore[attr-defined]
    before, first, second = matmul.fp32_precision, Bfloat16Products(True), Bfloat16Products(True)
    first.__enter__()
    second.__enter__()
    with Bfloat16Products(False):
        first.__exit__(None, None, None)
        assert matmul.fp32_precision == "bf16"
    second.__exit__(None, None, None)
    assert matmul.fp32_precision == before
