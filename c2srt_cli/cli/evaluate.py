"""``c2srt evaluate``: a run or a method on a test set → tables."""

import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from c2srt_cli.cli import options as o
from c2srt_cli.cli.console import pipe, running
from c2srt_cli.errors import UsageError

ZERO_SHOT = "zero-shot"


class Format(StrEnum):
    """How the tables are written to stdout."""

    table = "table"
    csv = "csv"
    json = "json"
    markdown = "markdown"


def evaluate(
    methods: Annotated[
        list[str], typer.Argument(metavar="RUN|zero-shot...", help="Runs, or zero-shot.", show_default=False)
    ],
    embeddings: Annotated[
        Path, typer.Option("--embeddings", "-e", help="Folder of embeddings of the test set.", show_default=False)
    ],
    annotations: Annotated[
        Path, typer.Option("--annotations", "-a", help="Folder of annotations.", show_default=False)
    ],
    protocol: Annotated[
        str | None,
        typer.Option(
            "--protocol",
            "-p",
            help="How the test set is used: F or L of NUS-WIDE, …",
            show_default="the dataset's first",
        ),
    ] = None,
    against: Annotated[
        list[str] | None,
        typer.Option(
            help="Runs (repeat for seeds) or zero-shot to compare all those before with, by a paired bootstrap.",
            show_default=False,
        ),
    ] = None,
    replicates: Annotated[int, typer.Option(min=0, help="Draws of the bootstrap over images; 0 for none.")] = 0,
    per_class: Annotated[bool, typer.Option("--per-class", help="A table of every label too.")] = False,
    allow_missing: Annotated[
        bool, typer.Option("--allow-missing", help="Go on without images that have no tokens; the tables say so.")
    ] = False,
    templates: o.InheritedTemplates = None,
    device: o.Device = None,
    form: Annotated[
        Format, typer.Option("--format", "-f", help="What stdout gets.", rich_help_panel=o.OUTPUT)
    ] = Format.table,
    as_json: Annotated[
        bool, typer.Option("--json", help="The same as --format json.", rich_help_panel=o.OUTPUT)
    ] = False,
    scores: Annotated[
        Path | None, typer.Option(help="Folder to keep the scores in.", show_default=False, rich_help_panel=o.OUTPUT)
    ] = None,
) -> None:
    """Measure runs on a test set: ZSL ranks the unseen labels, GZSL all of them; without unseen ones there is no ZSL.

    [bold]c2srt evaluate zero-shot run -e E -a A[/]

    With --against, runs before it count as seeds of one method, and so do those after it.
    """
    if templates is not None and ZERO_SHOT not in [*methods, *(against or ())]:
        raise UsageError(
            "a run keeps the templates that it was trained with",
            where=f"--templates {templates}",
            hint=f"leave it out, or evaluate {ZERO_SHOT} too",
        )

    from c2srt_cli.datasets.annotations import read_annotations
    from c2srt_cli.embeddings.store import Store
    from c2srt_cli.evaluation import protocol as protocols
    from c2srt_cli.evaluation.comparison import compare
    from c2srt_cli.evaluation.report import evaluate as report
    from c2srt_cli.evaluation.score import check_test_set, predictor, score_split
    from c2srt_cli.evaluation.summary import class_table, comparison_table, summary_table
    from c2srt_cli.evaluation.table import print_table, write_csv, write_json, write_markdown
    from c2srt_cli.tagging.writers.escape import terminal_text
    from c2srt_cli.text import spreadsheet_cell

    known, store = read_annotations(annotations), Store.open(embeddings)
    chosen = protocols.protocol(known.dataset, protocol)
    check_test_set(store, known, chosen, allow_missing=allow_missing)
    reports, names = [], []
    with tempfile.TemporaryDirectory() as temporary:
        files = []
        for number, method in enumerate([*methods, *(against or ())]):
            with running(f"scoring {method}") as progress:
                one = predictor(method, store, known, templates, progress, device)
                folder = (scores or Path(temporary)) / f"{number}-{one.method}"
                files.append(score_split(one, store, known, chosen, folder=folder, progress=progress))
            names.append(one.method)
            reports.append(report(known, chosen, files[-1], allow_missing=allow_missing, replicates=replicates))
        distinct = _distinct(names, [*methods, *(against or ())])
        reports = [replace(one, method=name) for one, name in zip(reports, distinct, strict=True)]
        tables = [summary_table(reports)]
        if against:
            half = len(methods)
            called = distinct if set(names[:half]) & set(names[half:]) else names
            compared = [
                compare(
                    known,
                    chosen,
                    setting,
                    [one[setting] for one in files[:half]],
                    [one[setting] for one in files[half:]],
                    replicates=replicates or 1000,
                    allow_missing=allow_missing,
                )
                for setting in protocols.settings(known)
            ]
            first, second = (", ".join(dict.fromkeys(side)) for side in (called[:half], called[half:]))
            tables.append(comparison_table(first, second, compared))
        if per_class:
            tables += [class_table(one, setting) for one in reports for setting in one.settings]
    form = Format.json if as_json else form
    with pipe():
        if form is Format.json:
            write_json(tables, sys.stdout)
        for place, table in enumerate(() if form is Format.json else tables):
            if place:
                sys.stdout.write("\n")
            if form is Format.csv:
                write_csv(table, sys.stdout, spreadsheet_cell)
            elif form is Format.markdown:
                write_markdown(table, sys.stdout, terminal_text)
            else:
                print_table(table, sys.stdout, terminal_text)


def _distinct(names: Sequence[str], given: Sequence[str]) -> list[str]:
    """The names; those that repeat with the folder of their run, and its whole path where folders are called alike."""
    folders = [f"{name} ({Path(one).resolve().name})" for name, one in zip(names, given, strict=True)]
    found = []
    for name, folder, one in zip(names, folders, given, strict=True):
        if names.count(name) == 1 or name == one:
            found.append(name)
        else:
            found.append(folder if folders.count(folder) == 1 else f"{name} ({one})")
    return found
