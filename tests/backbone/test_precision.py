"""The probe chooses what it measures to be fastest, once."""

import json
import time
from pathlib import Path

import pytest
import torch
from tiny import write_tiny_model

from c2srt_cli.backbone import precision
from c2srt_cli.backbone.precision import Runtime, probe
from c2srt_cli.backbone.registry import load_backbone
from c2srt_cli.errors import UsageError


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("C2SRT_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def idle(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that has nothing else to do, whatever runs beside the tests."""
    monkeypatch.setattr(precision, "IDLE", 0)


def test_what_is_measured_on_a_busy_machine_is_not_kept(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other work takes from the clock, here by a sleep, and not from the thread's own time."""
    backbone = load_backbone(write_tiny_model(tmp_path / "m"))
    forwards: list[float] = []

    def forward(_backbone: object, device: str, rows: int, _attention: object) -> float:
        def work() -> None:
            torch.ones(64, 64) @ torch.ones(64, 64)
            time.sleep(0.02)

        forwards.append(precision._seconds(work, device))
        return 1e-3 * rows

    monkeypatch.setattr(precision, "_forward", forward)
    assert probe(backbone, device="cpu", precision="float32").runtime.batch == 4
    assert max(forwards) < 0.02
    assert not (home / "probe.json").exists()
    monkeypatch.setattr(precision, "IDLE", 0)
    assert probe(backbone, device="cpu", precision="float32").runtime.batch == 4
    assert list(json.loads((home / "probe.json").read_text()).values()) == [4]


@pytest.mark.usefixtures("idle")
def test_the_result_is_kept_and_a_broken_file_forgotten(home: Path, tmp_path: Path) -> None:
    backbone = load_backbone(write_tiny_model(tmp_path / "m"))
    first, anew = probe(backbone, device="cpu", patch_attention="value")
    assert anew
    assert first.device == "cpu" and first.threads == 1
    assert first.dtype in ("float32", "bfloat16") and first.batch in (2, 4, 8, 16, 32)
    assert str(backbone.dtype) == f"torch.{first.dtype}"
    kept = json.loads((home / "probe.json").read_text())
    assert sorted(kept.values(), key=str) == sorted([first.dtype, first.batch], key=str)

    changed = {key: 7 if isinstance(value, int) else value for key, value in kept.items()}
    (home / "probe.json").write_text(json.dumps(changed))
    again = probe(backbone, device="cpu", patch_attention="value")
    assert (again.runtime.batch, again.anew) == (7, False)  # read, not measured
    other = probe(backbone, device="cpu", patch_attention=None)  # another stream, another measurement
    assert other.runtime.batch in (2, 4, 8, 16, 32) and other.anew
    for broken in ("{", "[]", json.dumps(dict.fromkeys(kept, -3))):
        (home / "probe.json").write_text(broken)
        assert probe(backbone, device="cpu", patch_attention="value").runtime.batch in (2, 4, 8, 16, 32)


def test_what_is_asked_for_is_taken(home: Path, tmp_path: Path) -> None:
    backbone = load_backbone(write_tiny_model(tmp_path / "m"))
    runtime, anew = probe(backbone, device="cpu", precision="bfloat16", batch=5)
    assert (runtime, anew) == (Runtime("cpu", "bfloat16", 5, 1), False)
    assert backbone.dtype == torch.bfloat16
    assert not home.exists()
    for device in {"cuda", "mps"} - {
        "cuda" if torch.cuda.is_available() else "",
        "mps" if torch.backends.mps.is_available() else "",
    }:
        with pytest.raises(UsageError, match=device):
            probe(backbone, device=device)
    with pytest.raises(UsageError, match="int8"):
        probe(backbone, device="cpu", precision="int8")


def test_a_home_that_cannot_be_written_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("C2SRT_HOME", str(tmp_path / "file" / "home"))
    assert probe(load_backbone(write_tiny_model(tmp_path / "m")), device="cpu").runtime.batch >= 1


def test_the_smaller_of_two_equal_batches_wins_and_patience_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backbone = load_backbone(write_tiny_model(tmp_path / "m"))
    for seconds_of, expected in (
        (lambda rows: 0.001 * rows, 4),  # no gain
        (lambda rows: 0.001 * rows * (1 - 0.005 * rows), 32),  # gains all the way
        (lambda rows: 0.001 * (rows if rows > 8 else 4 + rows / 2), 8),
    ):
        monkeypatch.setattr(precision, "_forward", lambda _b, _d, rows, _s, f=seconds_of: f(rows))
        assert precision._batch(backbone, "cpu", None) == expected

    calls: list[int] = []

    def slow(_backbone: object, _device: str, rows: int, _attention: object) -> float:
        calls.append(rows)
        return 1.0 * rows

    monkeypatch.setattr(precision, "_forward", slow)
    assert precision._batch(backbone, "cpu", None) == 4
    assert calls == [4, 4]


def test_out_of_memory_ends_the_search(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    backbone = load_backbone(write_tiny_model(tmp_path / "m"))

    def small_gpu(_backbone: object, _device: str, rows: int, _attention: object) -> float:
        if rows > 32:
            raise torch.OutOfMemoryError
        return 0.01

    monkeypatch.setattr(precision, "_forward", small_gpu)
    assert precision._batch(backbone, "cuda", None) == 32
