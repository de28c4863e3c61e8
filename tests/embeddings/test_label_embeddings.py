from pathlib import Path

import open_clip
import pytest
import torch
from photos import stop_after

from c2srt_cli.backbone.registry import Backbone, load_backbone
from c2srt_cli.embeddings import text as module
from c2srt_cli.embeddings.text import embed_labels, read_text, save_text, text_labels, token_counter
from c2srt_cli.errors import InputError, Interrupted
from c2srt_cli.labels import LabelSet, read_labels, read_templates
from c2srt_cli.progress import Progress

TEMPLATES = ("a photo of a {}.", "a painting of the {}, in oil.")


@pytest.fixture
def backbone(tiny: str) -> Backbone:
    return load_backbone(tiny)


@pytest.fixture
def labels(tmp_path: Path) -> LabelSet:
    (tmp_path / "labels.csv").write_text("label,synonyms\ncat,kitty;house cat\nanimal|dog,\nriver bank,\n")
    return read_labels(tmp_path / "labels.csv")


def by_hand(spec: str, prompts: list[str]) -> torch.Tensor:
    """The mean of unit embeddings that open_clip's own model gives, normalised."""
    model = open_clip.create_model(spec).eval()
    with torch.inference_mode():
        embedded = model.encode_text(open_clip.get_tokenizer(spec)(prompts))
    mean = sum(vector / vector.norm() for vector in embedded) / len(prompts)
    assert isinstance(mean, torch.Tensor)
    unit: torch.Tensor = mean / mean.norm()
    return unit


def test_synonyms_and_templates_are_averaged(tiny: str, backbone: Backbone, labels: LabelSet) -> None:
    found = embed_labels(backbone, labels, TEMPLATES, Progress())
    words = [["cat", "kitty", "house cat"], ["dog"], ["river bank"]]
    expected = torch.stack([by_hand(tiny, [t.replace("{}", word) for word in w for t in TEMPLATES]) for w in words])
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_the_ensemble_of_clip(tiny: str, backbone: Backbone, labels: LabelSet) -> None:
    found = embed_labels(backbone, labels, read_templates("clip"), Progress())
    prompts = [template("river bank") for template in open_clip.OPENAI_IMAGENET_TEMPLATES]
    assert len(prompts) == 80
    torch.testing.assert_close(found[2], by_hand(tiny, prompts), rtol=1e-5, atol=1e-5)


def test_values_do_not_depend_on_the_portions(
    backbone: Backbone, labels: LabelSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = embed_labels(backbone, labels, TEMPLATES, Progress())
    monkeypatch.setattr(module, "PROMPTS", 1)
    assert torch.equal(embed_labels(backbone, labels, TEMPLATES, Progress()), whole)
    alone = LabelSet(labels.labels[1:2])
    assert torch.equal(embed_labels(backbone, alone, TEMPLATES, Progress()), whole[1:2])


def test_can_be_stopped(backbone: Backbone, labels: LabelSet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PROMPTS", 2)
    with pytest.raises(Interrupted, match="1 of 3 labels"):
        embed_labels(backbone, labels, TEMPLATES, stop_after(0))


def test_stored_and_read_back(backbone: Backbone, labels: LabelSet, tmp_path: Path) -> None:
    path = tmp_path / "text.safetensors"
    assert text_labels(path) is None
    assert read_text(path, labels, TEMPLATES, 32) is None
    embedded = embed_labels(backbone, labels, TEMPLATES, Progress())
    save_text(path, embedded, labels, TEMPLATES)
    assert text_labels(path) == labels.fingerprint
    found = read_text(path, labels, TEMPLATES, 32)
    assert found is not None
    assert torch.equal(found, embedded)
    assert read_text(path, labels, TEMPLATES[:1], 32) is None
    assert read_text(path, LabelSet(labels.labels[:2]), TEMPLATES, 32) is None
    assert read_text(path, labels, TEMPLATES, 31) is None
    first = path.read_bytes()
    save_text(path, embedded, labels, TEMPLATES)
    assert path.read_bytes() == first
    path.write_bytes(first[:-1])
    assert text_labels(path) is None
    path.write_bytes(first[:-2] + bytes([first[-2] ^ 1, first[-1]]))
    assert read_text(path, labels, TEMPLATES, 32) is None
    save_text(path, embedded * 2, labels, TEMPLATES)
    assert read_text(path, labels, TEMPLATES, 32) is None


def test_labels_beyond_the_context_are_refused(backbone: Backbone, tmp_path: Path) -> None:
    path = tmp_path / "labels.txt"
    path.write_text("cat\n" + "very " * 80 + "long\n" + "quite " * 71 + "short\n")
    with pytest.raises(InputError) as refused:
        read_labels(path, templates=TEMPLATES[:1], count_tokens=token_counter(backbone))
    # 81 and 72 words, "a photo of a", the full stop, and the two marks around a text; the context is 77
    assert [problem.split(":")[0] for problem in refused.value.problems] == ["line 2", "line 3"]
    assert "takes 88 tokens, the text encoder reads 77" in refused.value.problems[0]
    assert "takes 79 tokens" in refused.value.problems[1]
