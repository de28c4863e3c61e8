import importlib
from pathlib import Path

import pytest

TOOLS = Path(__file__).parent.parent / "tools"


@pytest.mark.usefixtures("tiny")
def test_a_kill_of_each(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """`make soak` in short: killed while it works and run again, a command leaves what an unbroken run leaves."""
    monkeypatch.syspath_prepend(TOOLS)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-a-soak")
    soak = importlib.import_module("soak")
    names = ["tag-xmp", "train", "build-graph"]
    assert soak.soak(names, kills=1, photos=36, jobs=1, seed=0) == 0
    lines = capsys.readouterr().out.splitlines()
    assert sum("killed" in line and line.endswith("identical") for line in lines) == len(names)
