"""Names, loading, and what is said when a backbone is missing, wrong or broken."""

import json
import shutil
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny import write_tiny_model

from c2srt_cli.artifacts import file_sha256, read_json, write_json
from c2srt_cli.backbone import names
from c2srt_cli.backbone.config import read_config
from c2srt_cli.backbone.registry import load_backbone
from c2srt_cli.errors import InputError, UsageError


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("C2SRT_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def pretend_fetched(spec: str, date: str = "2026-11-01T00:00:00+00:00") -> Path:
    """A fetched backbone with tiny weights."""
    folder = names.fetched_folder(spec)
    write_tiny_model(folder)
    weights = folder / names.WEIGHTS[0]
    sha256 = file_sha256(weights)
    record = {"spec": spec, "size": weights.stat().st_size, "sha256": sha256, "date": date}
    write_json(folder / names.RECORD, record)
    return folder


@torch.no_grad()
@pytest.mark.parametrize("overrides", [{}, {"quick_gelu": True}, {"custom_text": True, "init_logit_bias": -10}])
def test_loading_equals_open_clip(overrides: dict[str, Any], tmp_path: Path) -> None:
    preprocess = {"mean": [0.5, 0.4, 0.3], "std": [0.2, 0.3, 0.4], "resize_mode": "squash", "interpolation": "bilinear"}
    spec = write_tiny_model(tmp_path / "m", preprocess=preprocess, **overrides)
    backbone = load_backbone(spec)
    model, _ = open_clip.create_model_from_pretrained(spec)
    pixels = torch.randint(0, 256, (2, 64, 64, 3), dtype=torch.uint8)
    image, patches = backbone.late_stages(backbone.early_stages(pixels, 2), 2)
    assert image is not None
    torch.testing.assert_close(image, model.eval().visual(backbone.normalise(pixels)), rtol=1e-4, atol=1e-5)
    assert patches.shape == (2, 16, 32)
    assert (backbone.id, backbone.dim, backbone.image_size) == (spec, 32, 64)
    assert (backbone.default_fit, backbone.interpolation, backbone.fill) == ("squash", "bilinear", 0)
    assert backbone.mean == (0.5, 0.4, 0.3)
    assert backbone.logit_scale == pytest.approx(100, rel=1e-5)
    assert backbone.weights_sha256 == file_sha256(tmp_path / "m" / "open_clip_model.safetensors")
    assert backbone.logit_bias == overrides.get("init_logit_bias")
    assert backbone.calibration_path is None
    (tmp_path / "m" / "calibration.json").write_text("{}")
    assert load_backbone(spec).calibration_path == tmp_path / "m" / "calibration.json"


def test_auto_prefers_what_was_fetched_last_then_mini_and_says_how_to_get_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(names, "MINI", tmp_path / "mini")
    for spec in ("auto", "mini"):
        with pytest.raises(InputError, match="not part of this version") as caught:
            load_backbone(spec)
        assert "c2srt fetch default" in str(caught.value)
    write_tiny_model(tmp_path / "mini")
    spec, note = names.resolve("auto")
    assert spec == "mini" and "c2srt fetch default" in note
    assert load_backbone("auto").id == "mini"
    folder = pretend_fetched("ViT-B-16/openai")
    spec, note = names.resolve("auto")
    assert spec == "ViT-B-16/openai" and "--backbone mini" in note
    assert load_backbone("auto").id == "ViT-B-16/openai"
    assert [record.spec for record in names.fetched()] == ["ViT-B-16/openai"]
    earlier, later = ("PE-Core-B-16/meta", "2026-10-31T23:59:59+00:00"), ("RN50/openai", "2026-11-01T00:00:01+00:00")
    pretend_fetched(*earlier)
    assert names.resolve("auto")[0] == "ViT-B-16/openai"
    shutil.rmtree(names.fetched_folder(earlier[0]))
    other = pretend_fetched(*later)
    assert names.resolve("auto") == (
        later[0],
        f"backbone {later[0]}, fetched last (the small embedded one: --backbone mini)",
    )
    shutil.rmtree(other)
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


@pytest.mark.parametrize(
    "record",
    [
        b"",
        b"[]",
        b"{}",
        b'{"spec": "ViT-B-16/openai"}',
        b'{"spec": 1}',
        b"[" * 10**5,
        b"\xff",
        "sha256",
        "size",
        "spec",
    ],
)
def test_a_record_that_cannot_be_is_as_good_as_none(record: bytes | str) -> None:
    path = pretend_fetched("ViT-B-16/openai") / names.RECORD
    assert names.record("ViT-B-16/openai") is not None
    path.write_bytes(record if isinstance(record, bytes) else json.dumps(read_json(path) | {record: True}).encode())
    assert names.record("ViT-B-16/openai") is None
    assert names.fetched() == []
    with pytest.raises(InputError, match="not on disk"):
        load_backbone("ViT-B-16/openai")


CONFIGS: dict[str, tuple[dict[str, Any], str]] = {
    "no model": ({"model_cfg": None}, "model_cfg: must be an object"),
    "no width of the joint space": ({"model_cfg": {}}, "model_cfg.embed_dim: is missing"),
    "text": ({"vision_cfg": {"width": "64"}}, "model_cfg.vision_cfg.width: must be a whole number"),
    "a million blocks": ({"vision_cfg": {"layers": 10**6}}, "model_cfg.vision_cfg.layers"),
    "a context of a million": ({"text_cfg": {"context_length": 10**6}}, "text_cfg.context_length: must be less than"),
    "a model from a hub": ({"vision_cfg": {"timm_model_name": "hf-hub:a/b"}}, "timm_model_name: must match pattern"),
    "a model from a folder": ({"vision_cfg": {"timm_model_name": "local-dir:/a"}}, "timm_model_name: must match"),
    "code beside the weights": (
        {"text_cfg": {"hf_tokenizer_name": "x", "tokenizer_kwargs": {"trust_remote_code": True}}},
        "tokenizer_kwargs.trust_remote_code: is not known",
    ),
    "an unknown option": ({"vision_cfg": {"wings": 2}}, "open_clip cannot build this model"),
    "three numbers": ({"preprocess_cfg": {"mean": [0.5, 0.5]}}, "preprocess_cfg.mean"),
    "no spread": ({"preprocess_cfg": {"std": [0, 1, 1]}}, "preprocess_cfg.std[0]: must be greater than 0"),
    "another mode": ({"preprocess_cfg": {"resize_mode": "melt"}}, "preprocess_cfg.resize_mode: must be 'shortest'"),
}


@pytest.mark.parametrize(("change", "said"), CONFIGS.values(), ids=CONFIGS)
def test_a_config_that_cannot_be_is_refused_by_field(change: dict[str, Any], said: str, tmp_path: Path) -> None:
    spec = write_tiny_model(tmp_path / "m")
    path = tmp_path / "m/open_clip_config.json"
    config = read_json(path)
    for name, part in change.items():
        if name in ("vision_cfg", "text_cfg"):
            config["model_cfg"][name] |= part
        else:
            config[name] = part
    path.write_text(json.dumps(config))
    with pytest.raises(InputError) as refused:
        load_backbone(spec)
    assert said in str(refused.value)


def test_every_model_of_open_clip_is_a_config(tmp_path: Path) -> None:
    for name in open_clip.list_models():
        (tmp_path / "open_clip_config.json").write_text(json.dumps({"model_cfg": open_clip.get_model_config(name)}))
        assert read_config(tmp_path)["model_cfg"] == open_clip.get_model_config(name), name


@pytest.mark.parametrize("how", ["whole numbers", "not finite", "many scales"])
def test_weights_that_are_no_numbers(how: str, tmp_path: Path) -> None:
    spec = write_tiny_model(tmp_path / "m")
    path = tmp_path / "m/open_clip_model.safetensors"
    state = load_file(path)
    if how == "many scales":
        state["logit_scale"] = torch.ones(3)
    else:
        state["visual.proj"] = (
            state["visual.proj"].int() if how == "whole numbers" else state["visual.proj"] * torch.inf
        )
    save_file(state, path)
    with pytest.raises(InputError, match="does not fit the config beside it"):
        load_backbone(spec)
