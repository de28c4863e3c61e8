"""Writes docs/cli.md: what every command says of itself on a terminal of 80 columns.

Run from the root of the repository: ``python tools/cli_reference.py``, or ``make docs``.
"""

import os
from pathlib import Path
from unittest.mock import patch

import typer.main
import typer.rich_utils
from typer.testing import CliRunner

from c2srt_cli.cli import app

PAGE = Path(__file__).parent.parent / "docs" / "cli.md"
HEAD = """# The command line

What `c2srt --help` and `c2srt COMMAND --help` print; `make docs` writes it.
"""


def reference() -> str:
    """The page."""
    names = ["", *sorted(typer.main.get_command(app).commands)]  # type: ignore[attr-defined]
    plain = {name: value for name, value in os.environ.items() if name not in ("FORCE_COLOR", "GITHUB_ACTIONS")}
    wide = {"COLUMNS": "80", "TERM": "dumb", "NO_COLOR": "1", "OPENAI_BASE_URL": ""}
    parts = [HEAD]
    with patch.dict(os.environ, plain | wide, clear=True), patch.object(typer.rich_utils, "MAX_WIDTH", 80):
        for name in names:
            said = CliRunner().invoke(app, [*filter(None, [name]), "--help"], prog_name="c2srt").output
            lines = [line.rstrip() for line in said.strip("\n").splitlines()]
            text = "\n".join(lines).strip("\n")
            parts.append(f"## c2srt{name and ' ' + name}\n\n```text\n{text}\n```\n")
    return "\n".join(parts)


if __name__ == "__main__":
    PAGE.write_text(reference(), encoding="utf-8")
