"""``c2srt train`` as a user types it."""

import sys
from dataclasses import asdict
from pathlib import Path

import pytest
from tiny_runs import write_inputs

from c2srt_cli.cli import main
from c2srt_cli.cli.train import train
from c2srt_cli.training.config import options, resolve


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_inputs(tmp_path_factory.mktemp("inputs"))


def test_help_shows_what_c2srt_takes() -> None:
    shown = {
        name: parameter.annotation.__metadata__[0].show_default
        for name, parameter in train.__signature__.parameters.items()  # type: ignore[attr-defined]
        if name in options()
    }
    sections = asdict(resolve("c2srt", {}))
    assert shown == {
        name: f"c2srt: {'none' if sections[section][name] == '' else sections[section][name]}"
        for name, (section, *_) in options().items()
    }
    assert shown["transfer"] == "c2srt: scores"  # where a part's own default is the paper's


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
