"""Names, loading, and what is said when a backbone is missing, wrong or broken."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny import write_tiny_model

from c2srt_cli.artifacts import file_sha256, write_json
from c2srt_cli.backbone import names
from c2srt_cli.backbone.registry import load_backbone
from c2srt_cli.errors import InputError, UsageError


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("C2SRT_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def pretend_fetched(spec: str) -> Path:
    """A fetched backbone with tiny weights."""
    folder = names.fetched_folder(spec)
    write_tiny_model(folder)
    weights = folder / names.WEIGHTS[0]
    sha256 = file_sha256(weights)
    write_json(folder / names.RECORD, {"spec": spec, "size": weights.stat().st_size, "sha256": sha256})
    return folder


@torch.no_grad()
@pytest.mark.parametrize("overrides", [{}, {"quick_gelu": True}, {"custom_text": True, "init_logit_bias": -10}])
def test_loading_equals_open_clip(overrides: dict[str, Any], tmp_path: Path) -> None:
    preprocess = {"mean": [0.5, 0.4, 0.3], "std": [0.2, 0.3, 0.4], "resize_mode": "squash", "interpolation": "bilinear"}
    spec = write_tiny_model(tmp_path / "m", preprocess=preprocess, **overrides)
    backbone = load_backbone(spec)
    model, _ = open_clip.create_model_from_pretrained(spec)
    pixels = torch.randint(0, 256, (2, 64, 64, 3), dtype=torch.uint8)
    image, patches = backbone.tail(backbone.trunk(pixels, 2), 2)
    assert image is not None
    torch.testing.assert_close(image, model.eval().visual(backbone.normalise(pixels)), rtol=1e-4, atol=1e-5)
    assert patches.shape == (2, 16, 32)
    assert (backbone.id, backbone.dim, backbone.image_size) == (spec, 32, 64)
    assert (backbone.default_fit, backbone.interpolation, backbone.fill) == ("squash", "bilinear", 0)
    assert backbone.mean == (0.5, 0.4, 0.3)
    assert backbone.logit_scale == pytest.approx(100, rel=1e-5)
    assert backbone.weights_sha256 == file_sha256(tmp_path / "m" / "open_clip_model.safetensors")
    assert backbone.calibration_path is None
    (tmp_path / "m" / "calibration.json").write_text("{}")
    assert load_backbone(spec).calibration_path == tmp_path / "m" / "calibration.json"


def test_auto_prefers_fetched_weights_then_mini_and_says_how_to_get_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(names, "MINI", tmp_path / "mini")
    for spec in ("auto", "mini"):
        with pytest.raises(InputError, match="not part of this version") as caught:
            load_backbone(spec)
        assert "c2srt fetch ViT-B-16/openai" in str(caught.value)
    write_tiny_model(tmp_path / "mini")
    spec, note = names.resolve("auto")
    assert spec == "mini" and "c2srt fetch ViT-B-16/openai" in note
    assert load_backbone("auto").id == "mini"
    folder = pretend_fetched("ViT-B-16/openai")
    spec, note = names.resolve("auto")
    assert spec == "ViT-B-16/openai" and "--backbone mini" in note
    assert load_backbone("auto").id == "ViT-B-16/openai"
    assert [record["spec"] for record in names.fetched()] == ["ViT-B-16/openai"]
    names.verify("ViT-B-16/openai")
    content = bytearray((folder / names.WEIGHTS[0]).read_bytes())
    content[-1] ^= 1
    (folder / names.WEIGHTS[0]).write_bytes(content)
    with pytest.raises(InputError, match="not those that were fetched"):
        names.verify("ViT-B-16/openai")
    (folder / names.WEIGHTS[0]).write_bytes(content[:-10])
    assert names.resolve("auto")[0] == "mini" and names.fetched() == []
    with pytest.raises(InputError, match="not whole"):
        load_backbone("ViT-B-16/openai")


@pytest.mark.parametrize(
    ("spec", "meant"),
    [
        ("ViT-B-16/opneai", "ViT-B-16/openai"),
        ("ViT-B-16", "ViT-B-16/openai"),
        ("ViTB16/openai", "ViT-B-16/openai"),
        ("ViT-B-16-SigLip/webli", "ViT-B-16-SigLIP/webli"),
        ("hf-hub:justaname", "organisation/model"),
        ("../../etc", "ARCH/TAG"),
    ],
)
def test_a_wrong_name_is_answered_with_the_right_one(spec: str, meant: str) -> None:
    with pytest.raises(UsageError) as caught:
        load_backbone(spec)
    assert meant in str(caught.value)


@pytest.mark.parametrize("spec", ["ViT-B-16/openai", "ViT-B-16-SigLIP/webli", "hf-hub:some/model"])
def test_what_is_not_fetched_names_the_command(spec: str) -> None:
    with pytest.raises(InputError) as caught:
        load_backbone(spec)
    assert caught.value.hint == f"c2srt fetch {spec}"


def test_broken_folders_are_explained(tmp_path: Path) -> None:
    def message(folder: Path) -> str:
        with pytest.raises((InputError, UsageError)) as caught:
            load_backbone(f"local-dir:{folder}")
        assert str(folder) in str(caught.value)
        return str(caught.value)

    assert "no such file" in message(tmp_path / "absent")
    folder = tmp_path / "m"
    write_tiny_model(folder)
    weights, config = folder / "open_clip_model.safetensors", folder / "open_clip_config.json"
    good, content = weights.read_bytes(), json.loads(config.read_text())

    weights.write_bytes(good[:1000])
    assert "corrupt" in message(folder)
    weights.write_bytes(good)
    state = load_file(weights)
    save_file({name: value for name, value in state.items() if name != "visual.proj"}, weights)
    assert "missing: visual.proj" in message(folder)
    save_file({**state, "extra": torch.zeros(1)}, weights)
    assert "not of this architecture: extra" in message(folder)
    save_file({**state, "visual.proj": torch.zeros(64, 16)}, weights)
    assert "(64, 16)" in message(folder)
    weights.unlink()
    torch.save(state, folder / "open_clip_pytorch_model.bin")
    assert "could run code" in message(folder)
    (folder / "model.safetensors").write_bytes(good)  # the other name open_clip writes
    load_backbone(f"local-dir:{folder}")

    config.write_text("{")
    assert "JSON" in message(folder)
    config.write_text("{}")
    assert "model_cfg" in message(folder)
    for key, value, expected in (
        ("multimodal_cfg", {}, "CoCa"),
        ("vision_cfg", {"layers": [1, 1, 1, 1], "width": 8}, "ResNet"),
        ("text_cfg", {"hf_model_name": "roberta-base"}, "transformers"),
        ("vision_cfg", {"layerz": 1}, "layerz"),
    ):
        config.write_text(json.dumps({"model_cfg": {**content["model_cfg"], key: value}}))
        assert expected in message(folder)


def test_names_are_cheap_and_loading_needs_no_network(tmp_path: Path) -> None:
    spec = write_tiny_model(tmp_path / "m")
    code = (
        "import sys\n"
        "from c2srt_cli.backbone import names\n"
        "names.fetched(), names.home(), names.has_mini()\n"
        "assert not {'torch', 'open_clip', 'huggingface_hub'} & set(sys.modules)\n"
        "import socket\n"
        "def refuse(*_, **__): raise AssertionError('network')\n"
        "socket.socket.connect = socket.create_connection = socket.getaddrinfo = refuse\n"
        "from c2srt_cli.backbone.registry import load_backbone\n"
        f"load_backbone({spec!r}).embed_texts(['cat'])\n"
        "import huggingface_hub.constants as c\n"
        "assert c.HF_HUB_OFFLINE\n"
    )
    environment = {key: value for key, value in os.environ.items() if key != "HF_HUB_OFFLINE"}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment, cwd=Path(__file__).parents[2])
