"""The frozen backbone's say on unseen labels, against a plain reading."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from c2srt_cli.backbone.registry import load_backbone
from c2srt_cli.backbone.twin import TwinBackbone
from c2srt_cli.methods.c2srt import C2SRT
from c2srt_cli.methods.recogniser import Recogniser
from c2srt_cli.training.learner import Labels, Vocabulary

DIM, LABELS = 6, 5
UNSEEN = torch.tensor([False, True, False, False, True])


def inputs() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    text = torch.nn.functional.normalize(torch.randn(LABELS, DIM), dim=-1)
    return torch.randn(3, 2 * DIM), torch.randn(3, 4, 2 * DIM), text


@pytest.mark.parametrize("local", ["isr", "none", "mean"])
@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_unseen_labels_are_scored_by_both(local: str, share: float) -> None:
    parts = replace(C2SRT.parts, transfer="none", local=local, frozen=share)  # type: ignore[arg-type]
    one = Recogniser(parts, DIM, 10.0, 8)
    whole, patches, text = inputs()
    now, before = (one(whole[:, half], patches[:, :, half], text) for half in (slice(0, DIM), slice(DIM, None)))
    got = one(whole, patches, text, (), UNSEEN)
    torch.testing.assert_close(got, torch.where(UNSEEN, (1 - share) * now + share * before, now))


def test_a_vocabulary_says_which_labels_are_unseen() -> None:
    _, _, text = inputs()
    asked = Vocabulary(text, None, C2SRT.parts, ~UNSEEN.numpy()).of(np.array([4, 0]))
    assert isinstance(asked, Labels)
    assert asked.unseen.tolist() == [True, False]


def test_both_tails_run_on_the_same_tokens(tiny: str) -> None:
    trained, frozen = load_backbone(tiny), load_backbone(tiny)
    with torch.no_grad():
        for parameter in trained.tower.head_parameters:
            parameter.add_(0.5)
    twin = TwinBackbone(trained, frozen).to("cpu", torch.float32)
    tokens = twin.trunk(torch.randint(0, 256, (2, twin.image_size, twin.image_size, 3), dtype=torch.uint8), 1)
    whole, patches = twin.tail(tokens, 1)
    for half, backbone in ((slice(0, twin.dim), trained), (slice(twin.dim, None), frozen)):
        wanted, wanted_patches = backbone.tail(tokens, 1)
        assert whole is not None
        assert wanted is not None
        assert torch.equal(whole[:, half], wanted)
        assert torch.equal(patches[..., half], wanted_patches)
    assert whole is not None
    assert not torch.equal(whole[:, : twin.dim], whole[:, twin.dim :])
