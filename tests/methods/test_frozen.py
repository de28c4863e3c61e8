"""The frozen backbone's share in the scores of unseen labels, against a plain reading."""

from typing import Any

import numpy as np
import pytest
import torch
from tiny import bare

from c2srt_cli.backbone.embedding import ImageEmbedding
from c2srt_cli.backbone.registry import load_backbone
from c2srt_cli.methods.registry import METHODS
from c2srt_cli.methods.vocabulary import Labels, Vocabulary
from c2srt_cli.training.config import resolve

DIM, LABELS = 6, 5
UNSEEN = torch.tensor([False, True, False, False, True])


def labels(text: torch.Tensor) -> Labels:
    vocabulary = Vocabulary(text, None, ~UNSEEN.numpy())
    return vocabulary.of(np.arange(LABELS))


@pytest.mark.parametrize("given", [{}, {"patches": "none"}, {"patches": "mean"}, {"patches": "kcot"}], ids=str)
@pytest.mark.parametrize("weight", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("method", ["label-propagation", "ram"])
def test_unseen_labels_are_scored_by_both(method: str, given: dict[str, Any], weight: float) -> None:
    torch.manual_seed(0)
    text = torch.nn.functional.normalize(torch.randn(LABELS, DIM), dim=-1)
    now, before = (ImageEmbedding(torch.randn(3, DIM), torch.randn(3, 4, DIM)) for _ in range(2))
    one = bare(method, DIM, 10.0, zero_shot_weight=weight, **given)
    got = one.ensemble_zero_shot(
        one.base_scores(now, text)[0], ImageEmbedding(now.global_, now.patches, before), labels(text)
    )
    own, theirs = (one.base_scores(image, text)[0] for image in (now, before))
    unseen = UNSEEN if own.ndim == 2 else UNSEEN[:, None]
    torch.testing.assert_close(got, torch.where(unseen, (1 - weight) * own + weight * theirs, own))


def test_a_vocabulary_says_which_labels_are_unseen() -> None:
    asked = Vocabulary(torch.eye(LABELS), None, ~UNSEEN.numpy()).of(np.array([4, 0]))
    assert asked.unseen.tolist() == [True, False]


def test_both_late_stages_run_on_the_same_tokens(tiny: str) -> None:
    """The stages that learn are a copy: the backbone gives what it gave before."""
    backbone = load_backbone(tiny)
    one = METHODS["label-propagation"](resolve("label-propagation", {}), backbone).eval()
    with torch.no_grad():
        for parameter in one.tower.head_parameters:
            parameter.add_(0.5)
    pixels = torch.randint(0, 256, (2, backbone.image_size, backbone.image_size, 3), dtype=torch.uint8)
    tokens = backbone.early_stages(pixels, 1)
    found = one.embed(tokens, labels(torch.eye(LABELS)[:, :5]), 1, None, frozen=True)
    wanted, wanted_patches = load_backbone(tiny).late_stages(tokens, 1)
    assert found.frozen is not None
    assert wanted is not None
    assert torch.equal(found.frozen.global_, wanted)
    assert torch.equal(found.frozen.patches, wanted_patches)
    assert not torch.equal(found.global_, wanted)
    untouched = one.tower.stages[0]
    assert untouched is backbone.tower.stages[0]
