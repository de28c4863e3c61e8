"""``c2srt train`` as a user types it."""

import sys
from pathlib import Path

import pytest
import typer
from tiny_runs import write_inputs
from typer.core import TyperGroup

from c2srt_cli.cli import app, main
from c2srt_cli.methods.registry import METHODS
from c2srt_cli.training.config import describe, resolve


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_inputs(tmp_path_factory.mktemp("inputs"))


def test_help_shows_twenty_options_at_most() -> None:
    group = typer.main.get_command(app)
    assert isinstance(group, TyperGroup)
    options = [p for p in group.commands["train"].params if p.param_type_name == "option"]
    assert len(options) <= 20


@pytest.mark.parametrize("method", METHODS)
def test_options_are_printed_with_their_help(
    method: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["c2srt", "train", method, "--print-options"])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code in (0, None)
    printed = capsys.readouterr().out
    for name, value, text in describe(resolve(method, {})):
        assert f"{name} = {value}\n    {text}\n" in printed


def test_a_dry_run_checks_the_folder_too(
    inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    for out, code, said in ((tmp_path / "new", 0, "going on"), (tmp_path, 3, "holds no run")):
        line = ["-e", inputs / "e", "-a", inputs / "a", "-g", inputs / "graph.json", "-o", out, "--dry-run"]
        monkeypatch.setattr(sys, "argv", ["c2srt", "train", *map(str, line)])
        with pytest.raises(SystemExit) as end:
            main()
        captured = capsys.readouterr()
        assert end.value.code == code
        assert (said in captured.err) == (code > 0)
        assert captured.out.startswith('method = "c2srt"') == (code == 0)
    assert not (tmp_path / "new").exists()
