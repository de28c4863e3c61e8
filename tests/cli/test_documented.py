"""Commands in README and docs: every option that they name is one of the command, and every link leads somewhere."""

import re
from pathlib import Path

import pytest
import typer.main

from c2srt_cli.cli import app

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined] # of a group
COMMAND = re.compile(r"c2srt ([a-z][a-z-]*)((?:[ =][^`#|;&]*)?)")
CODE = re.compile(r"^ {4}(.*)$|^\$ (.*)$|`(c2srt [^`]+)`", re.MULTILINE)


def commands(page: Path) -> list[tuple[str, str]]:
    """Name and rest of the line of every command in code."""
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    lines = (next(filter(None, found.groups()), "") for found in CODE.finditer(text))
    return [(found[1], found[2]) for line in lines for found in COMMAND.finditer(line) if found[1] in COMMANDS]


def test_there_are_commands() -> None:
    assert sum(len(commands(page)) for page in PAGES) > 50


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_options_are_those_of_the_command(page: Path) -> None:
    if page.name == "cli.md":  # made from the help itself
        return
    for name, rest in commands(page):
        known = {
            option for parameter in COMMANDS[name].params for option in (*parameter.opts, *parameter.secondary_opts)
        }
        asked = re.findall(r"(?<![\w-])--[a-z][a-z-]*", rest)
        assert set(asked) <= known | {"--help"}, f"c2srt {name}{rest}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target
