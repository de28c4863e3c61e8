"""``c2srt doctor``: what is here, what works, what is missing."""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

SIGNS = {"ok": ("✓", "green"), "missing": ("-", "dim"), "bad": ("✗", "bold red")}


def doctor(
    artifacts: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[ARTIFACT]...",
            help="What to verify: embeddings, annotations, a run, a graph, a file of tags or of explanations.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> None:
    """Look at backbones, devices, precision, optional parts and artifacts.

    [bold]c2srt doctor embeddings[/]

    Exits with 3 when something that is there is broken.
    """
    from c2srt_cli.doctor import examine

    findings = examine(artifacts or [])
    if as_json:
        typer.echo(json.dumps([asdict(finding) for finding in findings], indent=1))
    else:
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        from c2srt_cli.tagging.writers.escape import terminal_text

        table = Table(box=None, show_header=False, pad_edge=False)
        for finding in findings:
            sign, style = SIGNS[finding.state]
            detail = "\n".join(terminal_text(line) for line in finding.detail.splitlines())
            table.add_row(Text(sign, style), Text(terminal_text(finding.part)), Text(detail))
        Console().print(table)
    if any(finding.state == "bad" for finding in findings):
        sys.exit(3)
