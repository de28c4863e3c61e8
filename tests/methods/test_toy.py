"""The method of docs/add-a-method.md, from its page alone: embedded for, trained, measured, ablated, and explained."""

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tiny_runs import write_inputs

from c2srt_cli.cli import main
from c2srt_cli.methods.registry import METHODS

PAGE = Path(__file__).parents[2] / "docs/add-a-method.md"


@pytest.fixture
def _toy() -> Iterator[None]:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    exec(compile(code, str(PAGE), "exec"), {"__name__": "toy"})
    assert METHODS["toy"].name == "toy"
    yield
    del METHODS["toy"]


@pytest.mark.usefixtures("_toy", "tiny")
def test_a_method_of_one_file_runs_everywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    inputs = write_inputs(tmp_path)

    def c2srt(*words: object) -> str:
        monkeypatch.setattr(sys, "argv", ["c2srt", *map(str, words)])
        with pytest.raises(SystemExit) as end:
            main()
        printed = capsys.readouterr()
        assert end.value.code in (0, None), printed.err
        return printed.out + printed.err

    machine = ("--batch-size", 4, "--workers", 1, "--precision", "float32")
    model = f"local-dir:{inputs / 'model'}"
    said = c2srt("embed", "-a", inputs / "a", "--for", "toy", "-o", tmp_path / "t", "--backbone", model, *machine)
    assert "c2srt train toy" in said
    assert "local_share = 0.5" in c2srt("train", "toy", "--print-options")
    few = ("--set", "batch_size=8", "--set", "validation=0.2", "--set", "loss.bias=-3.5", "--set", "calibrate=false")
    c2srt("train", "toy", "-e", tmp_path / "t", "-a", inputs / "a", "-o", tmp_path / "run", "--epochs", 1, *few)
    assert "siglip" in (tmp_path / "run/history.csv").read_text()
    table = c2srt("evaluate", tmp_path / "run", "zero-shot", "-e", tmp_path / "t", "-a", inputs / "a")
    assert "toy" in table
    (tmp_path / "grid.toml").write_text(
        'seeds = [0]\n[base]\nmethod = "toy"\nepochs = 1\n[rows.local]\nlocal_share = 1.0\n'
    )
    c2srt("ablate", tmp_path / "grid.toml", "-e", tmp_path / "t", "-a", inputs / "a", "-o", tmp_path / "ablation")
    assert "local" in (tmp_path / "ablation/ablation.md").read_text()
    (tmp_path / "labels.txt").write_text("thing 1\na new one\nthing 6\n")
    c2srt(
        *("tag", inputs / "photos", "-l", tmp_path / "labels.txt", "--run", tmp_path / "run", "--top-k", 2),
        *("--explain", tmp_path / "why.jsonl", "-o", tmp_path / "tags.jsonl", *machine),
    )
    why = [json.loads(line) for line in (tmp_path / "why.jsonl").read_text().splitlines()]
    assert {len(entry["patches"]) for line in why for entry in line["labels"]} == {3}  # 30 of 196 on a grid of 4x4
