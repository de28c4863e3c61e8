"""The page about the command line is what the command line says."""

import re
import runpy
from collections.abc import Callable
from pathlib import Path

import pytest

TOOL = runpy.run_path(str(Path(__file__).parents[2] / "tools/cli_reference.py"))
PAGE: Path = TOOL["PAGE"]
reference: Callable[[], str] = TOOL["reference"]


def test_the_page_is_what_the_commands_print(monkeypatch: pytest.MonkeyPatch) -> None:
    for width in ("60", "200"):  # whatever the terminal
        monkeypatch.setenv("COLUMNS", width)
        found = reference()
        assert PAGE.read_text(encoding="utf-8") == found, "run make docs"
        assert max(map(len, found.splitlines())) <= 80


def test_no_more_than_20_options_of_train() -> None:
    page = PAGE.read_text(encoding="utf-8")
    text = page[page.index("## c2srt train\n") :].split("\n## ")[0]
    options = set(re.findall(r"^│ [* ]*(--[a-z-]+)", text, re.MULTILINE))
    assert {"--method", "--graph", "--out"} < options
    assert len(options) <= 20, sorted(options)
