"""Optimal transport of KCOT: seconds for a batch of ViT-B/16's patches and NUS-WIDE's labels.

The peer is POT's ``ot.batch.solve_batch`` in log domain, in float32 on torch tensors as ours is. Both solve the same
problems: to the same marginal error, each by its own stopping rule, and for the same number of iterations. Both are
warmed up, then timed in turns; medians count. Run on an idle machine: ``python benchmarks/sinkhorn.py``.
"""

import argparse
import statistics
import time
import warnings
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torch.nn.functional import normalize

from c2srt_cli.methods.kcot import Stop, matching_cost, sinkhorn, visual_marginal

with warnings.catch_warnings():  # of back ends that are not installed
    warnings.simplefilter("ignore")
    from ot.batch import solve_batch


def problems(images: int, patches: int, labels: int, dim: int) -> tuple[Tensor, Tensor, Tensor]:
    """Masses and costs where each patch resembles one label, as much as noise allows."""
    torch.manual_seed(0)
    text = normalize(torch.randn(labels, dim), dim=-1)
    features = (
        normalize(torch.randn(images, patches, dim), dim=-1) + 0.3 * text[torch.randint(labels, (images, patches))]
    )
    cosines = normalize(features, dim=-1) @ text.T  # (B, N, C)
    return visual_marginal(cosines), torch.full((images, labels), 1 / labels), matching_cost(cosines, 100.0)


def missed(plan: Tensor, a: Tensor, b: Tensor) -> float:
    """The largest L1 distance of a plan's marginals to those that it should have."""
    return float(((plan.sum(2) - a).abs().sum(1) + (plan.sum(1) - b).abs().sum(1)).max())


def timed(solve: Callable[[], Tensor]) -> tuple[float, Tensor]:
    started = time.perf_counter()
    plan = solve()
    return time.perf_counter() - started, plan


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name, value in (("images", 32), ("patches", 196), ("labels", 1006), ("dim", 512), ("repeats", 3)):
        parser.add_argument(f"--{name}", type=int, default=value)
    options = parser.parse_args()
    a, b, cost = problems(options.images, options.patches, options.labels, options.dim)

    def ours(reg: float, stop: Stop) -> Tensor:
        return sinkhorn(a, b, cost, reg, stop).plan

    def peer(reg: float, iterations: int, tolerance: float) -> Tensor:
        found = solve_batch(
            cost, reg=reg, a=a, b=b, max_iter=iterations, tol=tolerance, method="log_sinkhorn", grad="detach"
        )
        plan: Tensor = found.plan
        return plan

    threads = torch.get_num_threads()
    print(f"{options.images} images, {options.patches} patches, {options.labels} labels, {threads} threads")
    print(f"{'reg':>6}{'until':>18}{'seconds':>10}{'POT':>8}{'ratio':>8}{'error':>10}{'POT':>10}{'apart':>10}")
    for reg in (0.1, 0.01):
        # POT takes the largest Euclidean norm over the batch, every ten iterations; ours is the L1 norm of each image
        for until, stop, iterations, tolerance in (
            ("error 1e-4", Stop(1000, 1e-4, "marginal"), 1000, 1e-5),
            ("20 iterations", Stop(20, 0.0, "marginal"), 20, 0.0),
        ):
            runs = [
                (timed(partial(ours, reg, stop)), timed(partial(peer, reg, iterations, tolerance)))
                for _ in range(options.repeats + 1)
            ][1:]
            mine, theirs = (statistics.median(seconds for seconds, _ in side) for side in zip(*runs, strict=True))
            (_, plan), (_, other) = runs[0]
            print(
                f"{reg:6}{until:>18}{mine:10.3f}{theirs:8.2f}{theirs / mine:8.1f}"
                f"{missed(plan, a, b):10.1e}{missed(other, a, b):10.1e}"
                f"{float((plan - other).abs().sum((1, 2)).max()):10.1e}"
            )
    published = statistics.median(timed(lambda: ours(0.1, Stop()))[0] for _ in range(options.repeats))
    print(f"with the published stopping rule, reg 0.1: {published:.3f} seconds")


if __name__ == "__main__":
    main()
