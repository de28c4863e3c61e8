"""Short contexts and fixed batches change nothing about a text's embedding."""

from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from tiny import write_tiny_model
from torch import Tensor

from c2srt_cli.backbone.registry import Backbone, load_backbone

TEXTS = [
    "cat",
    "a photo of a dog.",
    "a very long " * 30,
    "Zürich, 東京 & 👍",
    "",
    *(f"label {n} " * (n % 20) for n in range(60)),
]

TOWERS: dict[str, dict[str, Any]] = {
    "CLIP": {},
    "quickgelu": {"quick_gelu": True},
    "own tower": {"custom_text": True, "text_cfg": {"proj_bias": True}},
    "eos": {"custom_text": True, "text_cfg": {"pool_type": "eos", "eos_id": 49407}},
    "not causal": {"custom_text": True, "text_cfg": {"no_causal_mask": True, "pool_type": "last"}},
    "class token": {"custom_text": True, "text_cfg": {"embed_cls": True}},
    "no projection": {"custom_text": True, "text_cfg": {"proj_type": "none"}},
}


def reference(folder: Path, texts: list[str]) -> Tensor:
    """open_clip's own loading, tokenizer and text tower."""
    model, _ = open_clip.create_model_from_pretrained(f"local-dir:{folder}")
    with torch.no_grad():
        result = model.eval().encode_text(open_clip.get_tokenizer(f"local-dir:{folder}")(texts))
    assert isinstance(result, Tensor)
    return result


@pytest.mark.parametrize("name", TOWERS)
def test_embeddings_equal_open_clip(name: str, tmp_path: Path) -> None:
    backbone = load_backbone(write_tiny_model(tmp_path, **TOWERS[name]))
    assert backbone.text.can_truncate == (name not in ("not causal", "class token"))
    got = backbone.embed_texts(TEXTS)
    assert got.dtype == torch.float32 and not got.is_inference()
    torch.testing.assert_close(got, reference(tmp_path, TEXTS), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_text_does_not_depend_on_its_company(dtype: torch.dtype, tmp_path: Path) -> None:
    backbone = load_backbone(write_tiny_model(tmp_path)).to("cpu", dtype)
    together = backbone.embed_texts(TEXTS)
    for index in (0, 2, 3, 4, 40):
        assert torch.equal(backbone.embed_texts([TEXTS[index]])[0], together[index])
    assert torch.equal(backbone.embed_texts(TEXTS[::-1]), together.flip(0))
    assert torch.cosine_similarity(together, reference(tmp_path, TEXTS)).min() > 0.99


def test_counts_are_true_counts(tmp_path: Path) -> None:
    backbone: Backbone = load_backbone(write_tiny_model(tmp_path))
    # CLIP's own vocabulary: "cat" is one token, and each "a very long" three
    assert backbone.token_counts(["cat", "a very long " * 30, ""]) == [3, 92, 2]
    assert backbone.text_context == 77
    assert backbone.embed_texts([]).shape == (0, 32)
