"""One step of the optimiser, and the schedule, against numbers written from the papers."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_runs import write_with_graph

from c2srt_cli.backbone.registry import load_backbone
from c2srt_cli.methods.method import Method
from c2srt_cli.methods.registry import METHODS
from c2srt_cli.progress import Progress
from c2srt_cli.training.batch_loss import BatchLoss
from c2srt_cli.training.config import resolve
from c2srt_cli.training.fit import build
from c2srt_cli.training.prepare import TrainOptions, prepare_training
from c2srt_cli.training.state import TrainState

STEPS = 20
OPTIONS: dict[str, Any] = {"lr": 0.02, "lr_new": 0.05, "layer_decay": 0.5, "weight_decay": 0.3, "warmup": 0.2}


def rate(step: int, warmup: int = 4) -> float:
    """Factor of the learning rate in a step, from 0 on: a line up, then half a cosine."""
    if step < warmup:
        return (step + 1) / warmup
    return (1 + math.cos(math.pi * (step - warmup) / (STEPS - warmup))) / 2


def state_of(tiny: str, **given: Any) -> TrainState:
    torch.manual_seed(0)
    return TrainState(build(resolve("label-propagation", {**OPTIONS, **given}), load_backbone(tiny)).train(), STEPS)


def loss_of(method: Method, seed: int) -> torch.Tensor:
    """A different gradient for every weight, and for the text none."""
    random = torch.Generator().manual_seed(seed)
    parts = [(p * torch.randn(p.shape, generator=random)).sum() for ps, _ in method.trained() for p in ps]
    return torch.stack([part for part in parts if part.requires_grad]).sum()


def peaks(method: Method) -> dict[str, float]:
    """Peak learning rates by name: three stages, of which the last two learn, and what is new."""
    found = {}
    for name, value in method.learned().items():
        if not value.requires_grad:
            continue
        behind = 1 if "resblocks.2." in name else 2 if "resblocks.1." in name else 0
        found[name] = 0.02 * 0.5**behind if name.startswith("visual.") else 0.05
    return found


@pytest.mark.parametrize("clip", [1e9, 1.0])
def test_steps_are_those_of_adamw_by_hand(tiny: str, clip: float) -> None:
    """Decoupled decay of matrices alone, betas 0.9 and 0.98, a rate for each stage, the norm over all gradients."""
    state = state_of(tiny, clip=clip)
    rates = peaks(state.method)
    assert {round(value, 6) for value in rates.values()} == {0.05, 0.02, 0.01, 0.005}
    by_hand = {n: p.detach().double().clone() for n, p in state.method.learned().items() if n in rates}
    first, second = ({n: torch.zeros_like(p) for n, p in by_hand.items()} for _ in range(2))
    for step in range(6):
        loss = loss_of(state.method, step)
        names = {id(p): n for n, p in state.method.learned().items()}
        gradients = dict(
            zip(
                by_hand,
                torch.autograd.grad(loss, [state.method.learned()[n] for n in by_hand], retain_graph=True),
                strict=True,
            )
        )
        assert len(names) >= len(gradients)
        norm = math.sqrt(sum(float(g.double().square().sum()) for g in gradients.values()))
        assert state.update(loss) == pytest.approx(norm, rel=1e-4)
        for name, gradient in gradients.items():
            g = gradient.double() * min(1.0, clip / (norm + 1e-6))
            lr = rates[name] * rate(step)
            value = by_hand[name] * (1 - lr * (0.3 if by_hand[name].ndim > 1 else 0.0))
            first[name] = 0.9 * first[name] + 0.1 * g
            second[name] = 0.98 * second[name] + 0.02 * g**2
            mean, spread = first[name] / (1 - 0.9 ** (step + 1)), second[name] / (1 - 0.98 ** (step + 1))
            by_hand[name] = value - lr * mean / (spread.sqrt() + 1e-8)
    for name, value in by_hand.items():
        torch.testing.assert_close(state.method.learned()[name].detach().double(), value, rtol=2e-4, atol=2e-6)


def test_the_rate_rises_in_a_line_and_falls_as_a_cosine(tiny: str) -> None:
    state = state_of(tiny)
    (last,) = (
        group for group in state.optimizer.param_groups if any(p is state.method.log_scale for p in group["params"])
    )
    found = []
    for step in range(STEPS):
        found.append(last["lr"])
        state.update(loss_of(state.method, step))
    assert found == pytest.approx([0.05 * rate(step) for step in range(STEPS)])
    assert last["lr"] == pytest.approx(0.0, abs=1e-12)


def test_the_average_warms_up_and_goes_on_after_a_load(tiny: str, tmp_path: Path) -> None:
    state = state_of(tiny, ema=0.75)
    name = "visual.proj"
    by_hand = state.method.learned()[name].detach().clone()
    for step in range(1, 13):
        state.update(loss_of(state.method, step))
        keep = min(0.75, step / (step + 10))
        by_hand = keep * by_hand + (1 - keep) * state.method.learned()[name].detach()
        torch.testing.assert_close(state.weights()[name], by_hand)
        if step == 5:
            state.save(
                tmp_path / "s.safetensors", {"history": [], "best": {"epoch": 0, "map": -1.0}, "sums": {}, "failed": {}}
            )
            other = state_of(tiny, ema=0.75)
            other.load(tmp_path / "s.safetensors")
            state = other


def test_what_a_batch_costs(tmp_path: Path) -> None:
    """The sum of both rankings of the scaled scores, and the weighted distance to the frozen embedding."""
    inputs = write_with_graph(tmp_path, photos=20, train=16, labels=8, seen=5)
    options = resolve("label-propagation", {"distillation.weight": 0.25, "logit_scale": 3.0, "margin": 0.5})
    wanted = TrainOptions(inputs / "e", inputs / "a", tmp_path / "run", options, str(inputs / "graph.json"))
    data = prepare_training(wanted, Progress()).data
    method = build(options, load_backbone(f"local-dir:{inputs / 'model'}")).train()
    with torch.no_grad():
        method.tower.head_parameters[-1].mul_(1.3)
    numbers, tokens, target = next(data.train.batches(torch.arange(6).numpy(), 6))
    truth = torch.from_numpy(data.annotations.truth(numbers, data.labels))
    asked = data.labels_of(method, data.labels)
    plain = torch.autocast("cpu", enabled=False)
    terms = BatchLoss(method, data.split_stage, plain)(tokens, asked, truth, target)
    found = {name: term.detach() for name, term in terms.items()}
    with torch.no_grad():
        image = method.embed(tokens.to("cpu", torch.float32), asked, data.split_stage, None)
        scores = 3.0 * method.scores(image, asked).ranking
    assert float(found["distillation"]) == pytest.approx(0.25 * float((image.global_ - target).abs().mean()), rel=1e-4)

    def ranked(rows: torch.Tensor, known: torch.Tensor) -> float:
        total = 0.0
        for row, present in zip(rows.tolist(), known.tolist(), strict=True):
            gaps = [
                0.5 + n - p
                for n, there in zip(row, present, strict=True)
                for p, here in zip(row, present, strict=True)
                if there < 0 < here
            ]
            violated = [gap for gap in gaps if gap > 0]
            total += sum(violated) / len(violated) if violated else 0.0
        return total / len(rows)

    occurs = (truth > 0).any(0)
    assert float(found["rank_labels"]) == pytest.approx(ranked(scores, truth), rel=1e-4)
    assert float(found["rank_images"]) == pytest.approx(ranked(scores.T[occurs], truth.T[occurs]), rel=1e-4)


@pytest.mark.parametrize("method", ["label-propagation", "c2srt"])
def test_products_run_in_bfloat16_where_that_is_asked_for(method: str, tmp_path: Path) -> None:
    """The tower's, not the losses': the loss is near that of float32, and not the same."""
    inputs = write_with_graph(tmp_path, photos=20, train=16, labels=8, seen=5)
    options = resolve(method, {})
    wanted = TrainOptions(inputs / "e", inputs / "a", tmp_path / "run", options, str(inputs / "graph.json"))
    data = prepare_training(wanted, Progress()).data
    model = build(options, load_backbone(f"local-dir:{inputs / 'model'}")).train()
    numbers, tokens, target = next(data.train.batches(torch.arange(6).numpy(), 6))
    truth = torch.from_numpy(data.annotations.truth(numbers, data.labels))
    asked, found = data.labels_of(model, data.labels), []
    for enabled in (False, True):
        precision = torch.autocast("cpu", torch.bfloat16, enabled=enabled)
        torch.manual_seed(0)
        terms = BatchLoss(model, data.split_stage, precision)(tokens, asked, truth, target)
        assert all(term.dtype == torch.float32 for term in terms.values())
        total = torch.stack(list(terms.values())).sum()
        total.backward()  # type: ignore[no-untyped-call]
        found.append(float(total.detach()))
    assert found[0] != found[1]
    assert found[0] == pytest.approx(found[1], rel=0.05)
    assert METHODS[method].name == method
