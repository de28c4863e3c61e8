"""Fetching from a hub on localhost, in a process of its own as the hub's address is read once."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hub import hub
from safetensors.torch import load_file
from tiny import write_tiny_model

from c2srt_cli.artifacts import file_sha256
from c2srt_cli.backbone import names
from c2srt_cli.backbone.fetch import _source, fetch
from c2srt_cli.backbone.registry import load_backbone
from c2srt_cli.errors import InputError, UsageError

PROGRAM = """
import importlib.util, json, os, sys, time
time.sleep = lambda _: None  # huggingface_hub waits 23 s in all between its retries
from c2srt_cli.backbone.fetch import fetch
from c2srt_cli.errors import C2srtError
find = importlib.util.find_spec  # what a tokenizer needs, as if it were installed
importlib.util.find_spec = lambda name, *more: True if name == "transformers" else find(name, *more)
for line in sys.stdin:
    spec, os.environ["C2SRT_HOME"] = json.loads(line)
    seen = []
    try:
        result = fetch(spec, lambda done, total: seen.append((done, total)))
        answer = {"record": result, "progress": seen[-1:]}
    except C2srtError as error:
        answer = {"error": str(error), "exit": error.exit_code}
    print(json.dumps(answer), flush=True)
"""


class Fetcher:
    """A process that fetches from one hub, as that is settled when huggingface_hub is imported."""

    def __init__(self, root: Path, endpoint: str) -> None:
        self.root = root
        environment = {
            **os.environ,
            "HF_ENDPOINT": endpoint,
            "HF_HUB_DOWNLOAD_TIMEOUT": "2",
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
        }
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM],
            env=environment,
            cwd=Path(__file__).parents[2],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def fetch(self, spec: str) -> dict[str, Any]:
        assert self.process.stdin is not None and self.process.stdout is not None
        print(json.dumps([spec, os.environ["C2SRT_HOME"]]), file=self.process.stdin, flush=True)
        answer = json.loads(self.process.stdout.readline())
        assert isinstance(answer, dict)
        return answer

    def close(self) -> None:
        self.process.communicate(timeout=30)


@pytest.fixture(scope="module")
def fetcher(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fetcher]:
    root = tmp_path_factory.mktemp("hub")
    with hub(root) as endpoint:
        made = Fetcher(root, endpoint)
        yield made
        made.close()


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("C2SRT_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def test_fetch_records_and_the_result_loads_offline(fetcher: Fetcher, home: Path) -> None:
    folder = fetcher.root / "some" / "model"
    original = load_backbone(write_tiny_model(folder, preprocess={"resize_mode": "squash"}))
    for killed in ("downloads/hf-hub__some__model/staging", "backbones/hf-hub__some__model"):
        (home / killed).mkdir(parents=True)
        (home / killed / "half.safetensors").write_bytes(b"half")
    answer = fetcher.fetch("hf-hub:some/model")
    assert "error" not in answer, answer
    found = answer["record"]
    size = (folder / "open_clip_model.safetensors").stat().st_size
    assert answer["progress"] == [[size, size]]
    assert found["source"] == "hf-hub:some/model/open_clip_model.safetensors"
    assert found["source_sha256"] == file_sha256(folder / "open_clip_model.safetensors")
    record = names.record("hf-hub:some/model")
    assert record is not None
    assert record.model_dump() == {name: found[name] for name in ("spec", "sha256", "size", "mtime_ns", "date")}
    names.verify("hf-hub:some/model")
    assert [path.name for path in (home / "downloads").iterdir()] == []
    assert [path.name for path in (home / "backbones").iterdir()] == ["hf-hub__some__model"]
    there = sorted(path.name for path in names.fetched_folder("hf-hub:some/model").iterdir())
    assert there == ["open_clip_config.json", "open_clip_model.safetensors", "record.json"]

    fetched = load_backbone("hf-hub:some/model")
    assert fetched.id == "hf-hub:some/model" and fetched.weights_sha256 == found["sha256"]
    assert fetched.default_fit == "squash"
    assert torch.equal(fetched.embed_texts(["cat"]), original.embed_texts(["cat"]))
    state = load_file(names.fetched_folder("hf-hub:some/model") / "open_clip_model.safetensors")
    for name, value in load_file(folder / "open_clip_model.safetensors").items():
        assert torch.equal(state[name], value)


def test_pickled_weights_are_read_as_data_and_stored_as_safetensors(fetcher: Fetcher) -> None:
    folder = fetcher.root / "some" / "pickled"
    original = load_backbone(write_tiny_model(folder))
    state = load_file(folder / "open_clip_model.safetensors")
    (folder / "open_clip_model.safetensors").unlink()
    parallel = {f"module.{name}": value for name, value in state.items()}
    torch.save({"state_dict": parallel}, folder / "open_clip_pytorch_model.bin")
    answer = fetcher.fetch("hf-hub:some/pickled")
    assert answer["record"]["source"].endswith("open_clip_pytorch_model.bin")
    assert torch.equal(load_backbone("hf-hub:some/pickled").embed_texts(["cat"]), original.embed_texts(["cat"]))


def test_what_goes_wrong_is_said_and_leaves_nothing_behind(fetcher: Fetcher, home: Path) -> None:
    folder, spec = fetcher.root / "some" / "unlucky", "hf-hub:some/unlucky"
    write_tiny_model(folder)
    weights = folder / "open_clip_model.safetensors"
    good = weights.read_bytes()
    for name in ("other", "a--b", "a..b", "model.git", "x" * 99):
        answer = fetcher.fetch(f"hf-hub:some/{name}")
        said = "no such model" if name == "other" else "no name of a model"
        assert answer["exit"] == 2 and said in answer["error"], answer
    weights.write_bytes(good[: len(good) // 2])
    answer = fetcher.fetch(spec)
    assert answer["exit"] == 4 and "corrupt" in answer["error"], answer
    assert names.record(spec) is None
    weights.write_bytes(good)
    assert "record" in fetcher.fetch(spec)  # the broken file is not taken for the good one
    weights.unlink()
    answer = fetcher.fetch(spec)
    assert answer["exit"] == 2 and "no such model" in answer["error"], answer
    config = json.loads((folder / "open_clip_config.json").read_text())
    config["model_cfg"]["vision_cfg"]["attentional_pool"] = True
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    answer = fetcher.fetch(spec)
    assert answer["exit"] == 2 and "not supported" in answer["error"], answer
    assert names.record(spec) is not None  # a failed fetch leaves the earlier one
    assert not list((home / "backbones").glob(".fetch-*"))


class Code:
    """Something that makes a folder when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = str(folder)

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (self.folder,)


def test_what_comes_from_a_hub_runs_nothing_and_writes_nowhere_else(
    fetcher: Fetcher, home: Path, tmp_path: Path
) -> None:
    folder, spec = fetcher.root / "evil" / "model", "hf-hub:evil/model"
    write_tiny_model(folder)
    good = json.loads((folder / "open_clip_config.json").read_text())
    weights = (folder / "open_clip_model.safetensors").read_bytes()

    def configured(**text: Any) -> None:
        model = {**good["model_cfg"], "text_cfg": {**good["model_cfg"]["text_cfg"], **text}}
        (folder / "open_clip_config.json").write_text(json.dumps({**good, "model_cfg": model}))

    (folder / "open_clip_model.safetensors").unlink()
    torch.save({"state_dict": Code(tmp_path / "ran")}, folder / "open_clip_pytorch_model.bin")
    answer = fetcher.fetch(spec)
    assert answer["exit"] == 4 and "corrupt" in answer["error"], answer
    (folder / "open_clip_pytorch_model.bin").unlink()
    (folder / "open_clip_model.safetensors").write_bytes(weights)
    for name in ("../tokens", "/etc", "evil/../../x", "..", "a/b/c"):
        configured(hf_tokenizer_name=name)
        answer = fetcher.fetch(spec)
        assert answer["exit"] == 3 and "hf_tokenizer_name" in answer["error"], answer
    configured(hf_tokenizer_name="evil/tokens", tokenizer_kwargs={"trust_remote_code": True})
    answer = fetcher.fetch(spec)
    assert answer["exit"] == 3 and "trust_remote_code" in answer["error"], answer
    configured(hf_tokenizer_name="evil/tokens")
    (fetcher.root / "evil" / "tokens").mkdir()
    for name in ("tokenizer/../../../../tokenizer.json", str(tmp_path / "tokenizer.json")):
        (fetcher.root / "evil" / "tokens" / "names").write_text(name)
        answer = fetcher.fetch(spec)
        assert answer["exit"] == 4 and "its tokenizer" in answer["error"], answer
    assert names.record(spec) is None
    assert {path.name for path in tmp_path.iterdir()} == {"home"}
    assert {path.name for path in home.iterdir()} <= {"backbones", "downloads"}


def test_a_connection_that_breaks_off(fetcher: Fetcher) -> None:
    write_tiny_model(fetcher.root / "broken" / "model")
    answer = fetcher.fetch("hf-hub:broken/model")
    assert answer["exit"] == 4, answer
    assert names.record("hf-hub:broken/model") is None


def test_no_network(tmp_path: Path, home: Path) -> None:
    alone = Fetcher(tmp_path, "http://127.0.0.1:9")
    answer = alone.fetch("hf-hub:some/model")
    assert answer["exit"] == 4 and "check the network" in answer["error"], answer
    answer = alone.fetch("ViT-B-32/openai")
    assert answer["exit"] == 4 and "check the network" in answer["error"], answer
    alone.close()
    assert not (home / "backbones").exists()


@pytest.fixture
def recorded() -> Path:
    """The folder of a backbone that is recorded as fetched."""
    folder = names.fetched_folder("hf-hub:some/model")
    folder.mkdir(parents=True)
    weights = folder / "open_clip_model.safetensors"
    weights.write_bytes(b"weights")
    found = {"spec": "hf-hub:some/model", "sha256": file_sha256(weights), "size": 7}
    (folder / "record.json").write_text(json.dumps({**found, "mtime_ns": weights.stat().st_mtime_ns}))
    assert names.record("hf-hub:some/model") is not None
    return folder


@pytest.mark.parametrize(
    "change",
    [
        {"spec": "hf-hub:some/other"},
        {"spec": "../../x"},
        {"sha256": "0" * 64, "mtime_ns": 1},
        {"sha256": "x"},
        {"size": 8},
        {"size": "7"},
        {"size": -7},
        {"size": True},
        {"mtime_ns": "now"},
        {"date": 5},
        {"spec": None},
    ],
)
def test_a_record_that_is_not_of_these_weights_counts_for_nothing(recorded: Path, change: dict[str, Any]) -> None:
    value = json.loads((recorded / "record.json").read_text())
    (recorded / "record.json").write_text(json.dumps({**value, **change}))
    assert names.record("hf-hub:some/model") is None
    assert change.keys() == {"sha256", "mtime_ns"} or names.fetched() == []
    with pytest.raises(InputError, match="not on disk, or not whole"):
        names.locate("hf-hub:some/model")


def test_weights_that_have_changed_count_for_nothing(recorded: Path) -> None:
    weights = recorded / "open_clip_model.safetensors"
    os.utime(weights, ns=(5, 5))  # copied, and the same
    assert names.record("hf-hub:some/model") is not None
    weights.write_bytes(b"WEIGHTS")
    assert names.record("hf-hub:some/model") is None
    stamp = json.loads((recorded / "record.json").read_text())["mtime_ns"]
    os.utime(weights, ns=(stamp, stamp))  # which only `c2srt doctor` looks into
    with pytest.raises(InputError, match="not those that were fetched"):
        names.verify("hf-hub:some/model")
    weights.write_bytes(b"short")
    assert names.record("hf-hub:some/model") is None
    weights.unlink()
    assert names.record("hf-hub:some/model") is None


@pytest.mark.parametrize(
    "spec", ["..", ".", "../../x", "a/../../b", "hf-hub:../..", "C:\\x", "\\\\host\\share", "/etc", "a\0b"]
)
def test_no_name_leads_out_of_the_folder(spec: str, home: Path) -> None:
    assert names.fetched_folder(spec).parent == home / "backbones"
    assert names.fetched_folder(spec).resolve().parent == (home / "backbones").resolve()
    with pytest.raises((UsageError, InputError)):
        fetch(spec)
    assert not home.exists()


def test_names_are_checked_before_anything_is_asked(home: Path) -> None:
    for spec, expected in (
        ("ViT-B-16/opneai", "ViT-B-16/openai"),
        ("mini", "not something"),
        ("ViT-B-99", "no backbone"),
    ):
        with pytest.raises(UsageError) as caught:
            fetch(spec)
        assert expected in str(caught.value)
    assert not home.exists()


def test_the_weights_decide_on_quickgelu() -> None:
    for spec, quick in (
        ("ViT-B-16/openai", True),
        ("ViT-B-16-quickgelu/openai", True),
        ("ViT-B-16/laion2b_s34b_b88k", False),
    ):
        config, candidates = _source(spec, Path("unused"))
        assert config["model_cfg"]["quick_gelu"] is quick
        assert candidates[0][1] == "open_clip_model.safetensors"
