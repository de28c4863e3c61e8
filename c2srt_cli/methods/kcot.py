"""Knowledge-constrained optimal transport (KCOT, RAM, arXiv 2503.15337): which region shows which label."""

import math
from typing import Literal, NamedTuple

import torch
from torch import Tensor

#: Entries of the plans that are worked on at a time: few enough to stay in a processor's cache, or to fill a GPU.
BLOCK = {"cpu": 1 << 19, "cuda": 1 << 24}
RANGE = 18.0  #: How far the logarithms of scalings may be from 0 before the exponents take them in.
LEAST = -64.0  #: Exponents below it count as none: where it is subnormal, a power takes 200 times as long.
TINY = 1e-20  #: Least mass of a row or column: 0 has no logarithm.
#: Where it costs nothing to look at a value in every iteration; elsewhere a look empties the queue of a device.
WAITS = frozenset({"cpu"})
#: Iterations before the first look there; then after as many again as there have been.
BUNDLE = 8
TRUSTED = 0.05  #: Error above which a plan is not trusted, whatever the stopping rule says.


class Stop(NamedTuple):
    """When Sinkhorn's iterations end, for each image alone.

    Attributes:
        iterations: At most.
        tolerance: To be below.
        rule: Of the mean change of ``r`` (``published``: small for a small ``r`` too), or the ``marginal`` error.
    """

    iterations: int = 100
    tolerance: float = 1e-3
    rule: Literal["published", "marginal"] = "published"


PUBLISHED = Stop()


class Plan(NamedTuple):
    """Solutions of B transport problems.

    Attributes:
        plan: ``(B, N, C)``, not negative; columns sum to ``b``.
        error: L1 distance of its rows' sums to ``a``, ``(B,)``, in 0..2.
        converged: Whether the stopping rule was met, with an error of at most `TRUSTED`; ``(B,)`` bool.
        iterations: How many there were, ``(B,)`` int64.
    """

    plan: Tensor
    error: Tensor
    converged: Tensor
    iterations: Tensor


def matching_cost(similarity: Tensor, logit_scale: float) -> Tensor:
    """``1 - softmax_C(logit_scale * cos)`` of cosines ``(B, N, C)``."""
    return 1 - (logit_scale * similarity).softmax(-1)


def visual_marginal(similarity: Tensor, temperature: float = 0.1) -> Tensor:
    """Masses of regions, ``(B, N)``, by likeness to any label (LPD): ``softmax_N(max_C cos / temperature)``."""
    return (similarity.amax(-1) / temperature).softmax(-1)


@torch.no_grad()
def teacher_plan(similarity: Tensor, truth: Tensor, logit_scale: float) -> Tensor:
    """Where the frozen backbone sees each label (TKT): ``log P``, ``P = softmax_N(20 softmax_C(logit_scale * cos))``.

    An absent label gets the least entry of the image's ``P`` everywhere. As published it is the batch's: what an image
    is taught depends on the others then.

    Args:
        similarity: Of the frozen backbone, ``(B, N, C)``.
        truth: ``(B, C)``, 1 present, -1 absent, 0 unknown: that keeps the teacher's word.
        logit_scale: Of the backbone, as a factor.
    """
    log = (
        20 * (logit_scale * similarity.to(torch.promote_types(similarity.dtype, torch.float32))).softmax(-1)
    ).log_softmax(1)
    return torch.where((truth < 0)[:, None], log.amin((1, 2), keepdim=True), log)


@torch.no_grad()
def transport(
    similarity: Tensor,
    logit_scale: float,
    teacher: Tensor | None = None,
    *,
    reg: float = 0.1,
    teacher_weight: float = 0.05,
    temperature: float = 0.1,
    stop: Stop = PUBLISHED,
) -> Plan:
    """The plan of ``min <T, cost> - reg H(T) + teacher_weight KL(T || teacher)``.

    That is `sinkhorn` of ``cost - teacher_weight log teacher`` and ``reg + teacher_weight``. A label's mass is ``1/C``.
    To gradients the plan is a constant, as published.

    Args:
        similarity: Cosines of regions and labels, ``(B, N, C)``.
        logit_scale: Of the backbone, as a factor.
        teacher: While training, ``log P`` of `teacher_plan`.
        reg: Weight of the entropy ``H``.
        teacher_weight: Of the distance to the teacher.
        temperature: Of `visual_marginal`, infinity for equal masses.
        stop: As for `sinkhorn`.
    """
    similarity = similarity.to(torch.promote_types(similarity.dtype, torch.float32))
    if not similarity.numel():
        none = similarity.new_zeros(len(similarity))
        return Plan(similarity, none, torch.ones_like(none, dtype=torch.bool), none.long())
    reg += 0.0 if teacher is None else teacher_weight
    parts = []
    for rows in _chunks(len(similarity), similarity[0].numel(), similarity.device):
        cost = matching_cost(similarity[rows], logit_scale)
        if teacher is not None:
            cost = cost - teacher_weight * teacher[rows]
        a = visual_marginal(similarity[rows], temperature)
        parts.append(sinkhorn(a, cost.new_full((len(cost), cost.shape[2]), 1 / cost.shape[2]), cost, reg, stop))
    return Plan(*map(torch.cat, zip(*parts, strict=True)))


@torch.no_grad()
def sinkhorn(a: Tensor, b: Tensor, cost: Tensor, reg: float, stop: Stop = PUBLISHED) -> Plan:
    """Entropic optimal transport (arXiv 1306.0895): ``min <T, cost> - reg H(T)`` with rows ``a`` and columns ``b``.

    ``r = a / (K c)``, ``c = b / (K' r)`` as published, but with ``K = exp(-cost / reg + f + g)``: before a scaling
    leaves the range of floats, the potentials ``f, g`` take it in, by log-sum-exp (arXiv 1610.06519). On a GPU they
    always do, and images that have ended stay as they are while others go on, so that values are seldom waited for.

    Args:
        a: ``(B, N)``, not negative, of sum 1.
        b: ``(B, C)``, the same.
        cost: ``(B, N, C)``, finite.
        reg: Above 0.
        stop: When to stop.

    Raises:
        ValueError: ``reg`` is not above 0, or not one iteration is allowed.
    """
    if not reg > 0 or stop.iterations < 1:
        raise ValueError(f"reg has to be above 0, and iterations 1 or more: {reg}, {stop.iterations}")
    with torch.autocast(cost.device.type, enabled=False):
        logits = cost.to(torch.promote_types(cost.dtype, torch.float32)) / -reg
        a, b = (mass.to(logits.dtype).clamp_min(TINY) for mass in (a, b))
        chunks = _chunks(len(cost), cost[0].numel(), cost.device)
        solve = _solve if cost.device.type in WAITS else _solve_in_bundles
        plan, met, steps = map(
            torch.cat, zip(*(solve(a[rows], b[rows], logits[rows], stop) for rows in chunks), strict=True)
        )
        error = (plan.sum(2) - a).abs().sum(1)
        return Plan(plan, error, met & (error <= TRUSTED), steps)


def _solve(a: Tensor, b: Tensor, logits: Tensor, stop: Stop) -> tuple[Tensor, Tensor, Tensor]:
    """Plans, whether the rule was met, and iterations."""
    active, steps = torch.ones(len(a), device=a.device).bool(), torch.zeros(len(a), device=a.device).long()
    r, c, total = torch.ones_like(a), torch.ones_like(b), torch.ones_like(a)
    f, g = -logits.amax(2), torch.zeros_like(b)
    kernel = _kernel(logits, f, g)
    reach = kernel.sum(2)  # K c
    for _ in range(stop.iterations):
        new_r = a / reach
        new_c = b / (new_r[:, None] @ kernel).squeeze(1)
        running = active[:, None]
        near = torch.cat([new_r, new_c], 1).log().abs().amax(1) < RANGE  # not where NaN
        if (near | ~active).all():
            r, c = torch.where(running, new_r, r), torch.where(running, new_c, c)
        else:
            u, v = f + r.log(), g + c.log()
            f = torch.where(running, a.log() - _logsumexp(logits + v[:, None], 2), u)
            g = torch.where(running, b.log() - _logsumexp(logits + f[..., None], 1), v)
            kernel = _kernel(logits, f, g)
            r, c = torch.ones_like(r), torch.ones_like(c)
        reach = torch.linalg.vecdot(kernel, c[:, None])
        before, total = total, (f + r.log()).exp()  # r as it is without potentials
        measured = (total - before).abs().mean(1) if stop.rule == "published" else (r * reach - a).abs().sum(1)
        steps += active
        active = active & ~(measured < stop.tolerance)  # NaN where both are infinite: not below
        if not active.any():
            break
    return kernel.mul_(r[..., None]).mul_(c[:, None]), ~active, steps


def _solve_in_bundles(a: Tensor, b: Tensor, logits: Tensor, stop: Stop) -> tuple[Tensor, Tensor, Tensor]:
    """As `_solve`, by potentials alone, so that nothing depends on a value; looked at four times in 100 iterations.

    Without any look the usual five iterations would take the time of 100.
    """
    active, steps = torch.ones(len(a), device=a.device).bool(), torch.zeros(len(a), device=a.device).long()
    f, g, total = torch.zeros_like(a), torch.zeros_like(b), torch.ones_like(a)
    reach, done = _logsumexp(logits, 2), 0  # log K c
    while done < stop.iterations:
        bundle = min(max(done, BUNDLE), stop.iterations - done)
        for _ in range(bundle):
            running = active[:, None]
            f = torch.where(running, a.log() - reach, f)
            g = torch.where(running, b.log() - _logsumexp(logits + f[..., None], 1), g)
            reach = _logsumexp(logits + g[:, None], 2)
            before, total = total, f.exp()
            change = (total - before).abs().mean(1)
            measured = change if stop.rule == "published" else ((f + reach).exp() - a).abs().sum(1)
            steps += active
            active = active & ~(measured < stop.tolerance)
        done += bundle
        if done < stop.iterations and not active.any():
            break
    return _kernel(logits, f, g), ~active, steps


def _kernel(logits: Tensor, f: Tensor, g: Tensor) -> Tensor:
    powers = (logits + f[..., None]).add_(g[:, None]).clamp_min_(LEAST).exp_()
    return powers.mul_(powers > 2 * math.exp(LEAST))


def _logsumexp(x: Tensor, dim: int) -> Tensor:
    top = x.amax(dim, keepdim=True)
    return ((x - top).clamp_min_(LEAST).exp_().sum(dim, keepdim=True).log_() + top).squeeze(dim)


def _chunks(images: int, entries: int, device: torch.device) -> list[slice]:
    step = max(1, BLOCK.get(device.type, BLOCK["cpu"]) // entries)
    return [slice(start, start + step) for start in range(0, images, step)]
