"""``c2srt evaluate``: a run or a method on a test set → tables."""

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from c2srt_cli.artifacts import artifact_kind, check_folder
from c2srt_cli.cli import completion
from c2srt_cli.cli import options as o
from c2srt_cli.cli.console import running
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
        list[str],
        typer.Argument(
            metavar="RUN|PROFILE|zero-shot...",
            autocompletion=completion.untrained_methods,
            help="Runs, profiles of c2srt learn, or zero-shot.",
            show_default=False,
        ),
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
            autocompletion=completion.untrained_methods,
            help="Runs (repeat for seeds) or zero-shot to compare all those before with, by a paired bootstrap.",
            show_default=False,
        ),
    ] = None,
    replicates: Annotated[int, typer.Option(min=0, help="Draws of the bootstrap over images; 0 for none.")] = 0,
    per_class: Annotated[bool, typer.Option("--per-class", help="A table of every label too.")] = False,
    allow_missing: Annotated[
        bool, typer.Option("--allow-missing", help="Go on without images that have no tokens; the tables say so.")
    ] = False,
    graph: Annotated[
        str | None,
        o.graph(
            "raises the scores of zero-shot (not of one after --against), or what profiles were learned with",
            panel=None,
        ),
    ] = None,
    run: Annotated[Path | None, o.run("Run that profiles were learned with.", panel=None)] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="One option of zero-shot (repeat it for more). propagation.gain=fit fits the gain of --graph on the "
            "training images.",
            show_default=False,
        ),
    ] = None,
    templates: o.InheritedTemplates = None,
    backbone: o.MovedBackbone = None,
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
    given = [*methods, *(against or ())]
    profiles = [one for one in given if artifact_kind(Path(one)) == "profile"]
    if templates is not None and not profiles and ZERO_SHOT not in given:
        raise UsageError(
            "a run keeps the templates that it was trained with",
            where=f"--templates {templates}",
            hint=f"leave it out, or evaluate {ZERO_SHOT} too",
        )
    for name, value, others in (("--graph", graph, profiles), ("--set", settings, [])):
        if value and not others and ZERO_SHOT not in methods:
            raise UsageError("a run keeps what it was trained with", where=name, hint=f"evaluate {ZERO_SHOT}")
    if run is not None and not profiles:
        raise UsageError("is about the run that a profile was learned with", where="--run", hint=f"evaluate {run}")

    if scores is not None:
        check_folder(scores, "--scores")
    from c2srt_cli.evaluation.measure import TestSet, measure
    from c2srt_cli.evaluation.summary import class_table, comparison_table, summary_table
    from c2srt_cli.evaluation.table import print_table, write_csv, write_json, write_markdown
    from c2srt_cli.graph.category_graph import read_graph
    from c2srt_cli.tagging.writers.escape import terminal_text
    from c2srt_cli.text import spreadsheet_cell
    from c2srt_cli.training.config import parse_set, resolve

    test_set = TestSet.open(embeddings, annotations, protocol, allow_missing=allow_missing)
    measured = measure(
        methods,
        test_set,
        against=against or (),
        replicates=replicates,
        templates=templates,
        device=device,
        backbone=backbone,
        scores=scores,
        running=running,
        graph=read_graph(graph) if graph else None,
        options=resolve(ZERO_SHOT, parse_set(settings or []), where="--set"),
        run=run,
    )
    tables = [summary_table(measured.reports)]
    if against:
        tables.append(comparison_table(*measured.sides, measured.compared))
    if per_class:
        tables += [class_table(one, setting) for one in measured.reports for setting in one.settings]
    form = Format.json if as_json else form
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
