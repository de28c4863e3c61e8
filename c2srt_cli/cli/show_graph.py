"""``c2srt show-graph``: look at a category graph."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from c2srt_cli.artifacts import check_writable
from c2srt_cli.cli import completion
from c2srt_cli.cli import options as o
from c2srt_cli.cli.console import note
from c2srt_cli.errors import percent

if TYPE_CHECKING:
    from rich.table import Table

    from c2srt_cli.graph.category_graph import CategoryGraph, Edge
    from c2srt_cli.graph.summary import Degrees, Summary

COLOURS = {
    "synonym": "green",
    "is_a": "blue",
    "part_whole": "red",
    "functional": "magenta",
    "co_occurrence": "yellow",
    "similar": "cyan",
}


def show_graph(
    graph: Annotated[
        str,
        typer.Argument(
            metavar="GRAPH",
            autocompletion=completion.graphs,
            help="A graph.json, or the name of a shipped graph.",
            show_default=False,
        ),
    ],
    label: Annotated[
        str | None, typer.Argument(help="Show this label's neighbours.", show_default="figures of the whole graph")
    ] = None,
    html: Annotated[
        Path | None,
        typer.Option(help="Write a page to pan, zoom and search, without a network.", rich_help_panel=o.OUTPUT),
    ] = None,
    unseen: Annotated[
        str | None,
        typer.Option(metavar="FILE|WORDS", help="Labels without training annotations: shows what reaches them."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.", rich_help_panel=o.OUTPUT)] = False,
) -> None:
    """Look at a category graph: its figures, a label's neighbours, or all of it in a browser.

    [bold]c2srt show-graph coco-80 dog[/], or [bold]c2srt show-graph coco-80 --html graph.html[/]
    """
    if html is not None:
        check_writable(html, "--html")
    from c2srt_cli.graph.category_graph import read_graph
    from c2srt_cli.graph.summary import summarise
    from c2srt_cli.labels import read_labels

    found = read_graph(graph)
    names = found.labels.names
    if label is not None:
        chosen = _find(found, label)
        into = [edge for edge in found.edges if edge.target == chosen]
        out = sorted((edge for edge in found.edges if edge.source == chosen), key=lambda edge: -edge.strength)
        value: dict[str, object] = {
            "label": names[chosen],
            "sources": [_record(edge, names[edge.source]) for edge in into],
            "targets": [_record(edge, names[edge.target]) for edge in out],
        }
        tables = [
            _neighbours(f"evidence for {names[chosen]}", [(edge, names[edge.source]) for edge in into]),
            _neighbours(f"{names[chosen]} is evidence for", [(edge, names[edge.target]) for edge in out]),
        ]
    else:
        wanted = None
        if unseen is not None:
            keys = {label.key for label in read_labels(unseen)}
            wanted = [i for i, label in enumerate(found.labels) if label.key in keys]
            if len(wanted) < len(keys):
                note(f"{len(keys) - len(wanted):,} of {len(keys):,} labels in {unseen} are not in the graph", "yellow")
        summary = summarise(found, unseen=wanted)
        value, tables = asdict(summary), [_figures(summary)]
    if html is not None:
        from c2srt_cli.graph.page import write_page

        write_page(html, found, title=Path(graph).stem)
        note(f"open {html} in a browser")
    if as_json:
        typer.echo(json.dumps(value, indent=1))
    else:
        from rich.console import Console

        Console(markup=False, emoji=False, highlight=False).print(*tables, sep="\n")


def _find(graph: "CategoryGraph", text: str) -> int:
    """Index of a label by its id, its name, or its name as shown.

    Raises:
        UsageError: there is no such label.
    """
    import difflib

    from c2srt_cli.errors import UsageError
    from c2srt_cli.labels import normalise

    wanted = normalise(text)
    index = {name.casefold(): i for i, name in enumerate(graph.labels.names)}
    index |= {label.key: i for i, label in enumerate(graph.labels)}
    found = index.get(wanted, index.get(wanted.casefold()))
    if found is None:
        close = difflib.get_close_matches(wanted.casefold(), index, 3, 0.5)
        named = " or ".join(repr(graph.labels.names[index[key]]) for key in close)
        raise UsageError(
            f"the graph has no label {wanted!r}",
            where="LABEL",
            hint=f"did you mean {named}?" if named else "--html writes a page with all labels",
        )
    return found


def _record(edge: "Edge", name: str) -> dict[str, object]:
    return {"label": name, "relation": edge.relation, "strength": edge.strength, "origin": edge.origin}


def _neighbours(title: str, rows: "list[tuple[Edge, str]]") -> "Table":
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from c2srt_cli.tagging.writers.escape import terminal_text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column(Text(terminal_text(title)), overflow="fold", min_width=24)
    table.add_column("relation", no_wrap=True)
    table.add_column("strength", justify="right", no_wrap=True)
    table.add_column("origin", no_wrap=True)
    for edge, name in rows:
        relation = Text(edge.relation.replace("_", "-"), COLOURS.get(edge.relation, ""))
        table.add_row(Text(terminal_text(name)), relation, f"{edge.strength:.2f}", edge.origin)
    if not rows:
        table.add_row(Text("(none)", "dim"))
    return table


def _figures(summary: "Summary") -> "Table":
    from rich.table import Table
    from rich.text import Text

    from c2srt_cli.tagging.writers.escape import terminal_text

    def degrees(value: "Degrees") -> str:
        return f"{value.least} to {value.most}, median {value.median:g}"

    def some(names: tuple[str, ...]) -> str:
        return terminal_text(", ".join(names[:10])) + (f" and {len(names) - 10:,} more" if len(names) > 10 else "")

    rows = [
        ("labels", f"{summary.labels:,}"),
        ("edges", f"{summary.edges:,}"),
        *((f"  {name.replace('_', '-')}", f"{count:,}") for name, count in summary.relations.items()),
        ("origins", ", ".join(f"{name} {count:,}" for name, count in summary.origins.items()) or "none"),
        ("sources a label", degrees(summary.sources)),
        ("targets a label", degrees(summary.targets)),
        *([("evidence", f"{summary.evidence:,} labels are sources only")] if summary.evidence else []),
        ("coverage", f"{percent(summary.coverage, 1)} of the labels have a source"),
        ("reciprocity", f"{percent(summary.reciprocity, 1)} of the edges go both ways"),
        ("components", f"{summary.components:,}, the largest of {summary.largest:,} labels"),
        ("isolated labels", f"{len(summary.isolated):,}" + (f": {some(summary.isolated)}" if summary.isolated else "")),
    ]
    if summary.unseen is not None:
        unseen = summary.unseen
        rows += [
            ("unseen labels", f"{unseen.labels:,}, of which {unseen.reached:,} have a seen source"),
            ("seen → unseen", f"{unseen.edges:,} edges, at least {unseen.fewest:,} a label"),
        ]
        if unseen.without:
            rows.append(("without one", some(unseen.without)))
    table = Table(box=None, show_header=False, pad_edge=False)
    for name, text in rows:
        table.add_row(Text(name, "bold"), Text(text))
    return table
