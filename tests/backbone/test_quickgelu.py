"""QuickGELU folded into SiLU is QuickGELU."""

import copy

import pytest
import torch
from open_clip.model import CLIP
from open_clip.transformer import QuickGELU
from tiny import tiny_config

from c2srt_cli.backbone.quickgelu import fold_quickgelu


@pytest.mark.parametrize("seed", range(4))
@torch.no_grad()
def test_both_towers_are_unchanged(seed: int) -> None:
    torch.manual_seed(seed)
    model = CLIP(**tiny_config(quick_gelu=True)).eval()
    for parameter in model.parameters():
        if parameter.ndim == 1:
            parameter.add_(torch.randn_like(parameter) * 0.2)
    reference = copy.deepcopy(model)
    assert fold_quickgelu(model) == 5
    assert not any(isinstance(module, QuickGELU) for module in model.modules())
    pixels = torch.randn(4, 3, 64, 64)
    tokens = torch.randint(1, 49407, (4, 77))
    torch.testing.assert_close(model.visual(pixels), reference.visual(pixels), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(model.encode_text(tokens), reference.encode_text(tokens), rtol=1e-5, atol=1e-6)


@torch.no_grad()
def test_a_norm_between_the_layers_is_left_alone() -> None:
    model = CLIP(**tiny_config(quick_gelu=True, vision_cfg={"scale_fc": True})).eval()
    reference = copy.deepcopy(model)
    assert fold_quickgelu(model) == 2  # the text tower's
    pixels = torch.randn(2, 3, 64, 64)
    assert torch.equal(model.visual(pixels), reference.visual(pixels))


def test_gelu_is_left_alone() -> None:
    assert fold_quickgelu(CLIP(**tiny_config())) == 0
