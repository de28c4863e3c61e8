"""``c2srt search``: words and pictures in, the photographs that they describe out."""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from c2srt_cli.artifacts import check_folder, check_writable
from c2srt_cli.cli import options as o
from c2srt_cli.cli.console import finish, note, note_failures, running
from c2srt_cli.cli.review import report_page
from c2srt_cli.errors import UsageError, counted, percent

if TYPE_CHECKING:
    from c2srt_cli.search.search import Hit, SearchResult

#: Photographs that are shown unless more are asked for.
TOP = 20


def search(
    arguments: Annotated[
        list[str],
        typer.Argument(
            metavar="PHOTOS... QUERY",
            help="Folders, files, quoted patterns, - for a list on stdin, or embeddings; then the words to search for.",
            show_default=False,
        ),
    ],
    also: Annotated[
        list[str] | None,
        typer.Option(
            "--and", metavar="WORDS", help="Words that count as well (repeat it for more).", show_default=False
        ),
    ] = None,
    without: Annotated[
        list[str] | None,
        typer.Option(
            "--not", metavar="WORDS", help="Words that count against (repeat it for more).", show_default=False
        ),
    ] = None,
    like: Annotated[
        list[Path] | None,
        typer.Option(
            "--like", metavar="PHOTO", help="A picture to search by, beside the words or instead.", show_default=False
        ),
    ] = None,
    top: Annotated[int, typer.Option(min=1, help="Show so many photographs.", rich_help_panel=o.OUTPUT)] = TOP,
    threshold: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            max=1.0,
            help="Show all photographs from this probability on instead: for one word, on a calibrated backbone.",
            show_default=False,
            rich_help_panel=o.OUTPUT,
        ),
    ] = None,
    tag: Annotated[
        str | None,
        typer.Option(
            metavar="LABEL",
            help="Write this keyword into the sidecars of the photographs that are shown, once you agree. c2srt undo "
            "takes it back.",
            show_default=False,
            rich_help_panel=o.OUTPUT,
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Write without asking.", rich_help_panel=o.OUTPUT)] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON Lines.", rich_help_panel=o.OUTPUT)] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="FOLDER",
            help="Make a page to look at them, as c2srt review does; the best 100 others are below the line.",
            show_default=False,
            rich_help_panel=o.OUTPUT,
        ),
    ] = None,
    exact: Annotated[
        bool,
        typer.Option(
            "--exact",
            help="Embeddings: compare the patches of all photographs, as a run always does, not only of the "
            "1,000 that are best as a whole.",
            rich_help_panel=o.MODEL,
        ),
    ] = False,
    run: Annotated[
        Path | None,
        o.run("Score with what c2srt train learned."),
    ] = None,
    profile: o.Profile = None,
    graph: Annotated[str | None, o.graph(o.EVIDENCE, default="none")] = None,
    backbone: o.Backbone = None,
    templates: o.ScoringTemplates = None,
    null: o.Null = False,
    recursive: o.Recursive = False,
    exclude: o.Exclude = None,
    root: o.Root = None,
    allow_failures: o.AllowFailures = False,
    device: o.Device = None,
    precision: o.PrecisionOption = None,
    batch_size: o.BatchSize = None,
    workers: o.Workers = None,
) -> None:
    """Find photographs by words, by a picture, or by both.

    [bold]c2srt search ./photos "a red boat at dusk" --not people[/]

    Of embeddings (c2srt embed) a hundred thousand photographs take seconds. The score orders the photographs of one
    search; the probability, where one word is searched for, says how sure it is.
    """
    from c2srt_cli.search.query import Query, words_of

    photographs, words = words_of(arguments, like=bool(like))
    query = Query((*words, *(also or ())), tuple(without or ()), tuple(like or ()))
    query.check()
    if threshold is not None and len(query.signs) > 1:
        raise UsageError("several terms have no probability", where="--threshold", hint="give --top instead")
    if tag is not None and not yes and not sys.stdin.isatty():
        raise UsageError("nobody can be asked here", where="--tag", hint="give --yes to write without asking")
    keyword = None if tag is None else _keyword(tag)
    if out is not None:
        check_folder(out)
    from c2srt_cli.embeddings.encoder import Machine
    from c2srt_cli.review.review import write_review
    from c2srt_cli.search.page import page_of
    from c2srt_cli.search.search import prepare_search
    from c2srt_cli.search.search import search as run_search
    from c2srt_cli.tagging.options import TagOptions

    options = TagOptions(
        inputs=tuple(photographs),
        stdin=o.stdin_list(photographs, null=null),
        recursive=recursive,
        exclude=tuple(exclude or ()),
        root=root,
        labels=query.labels,
        run=run,
        profile=profile,
        graph=graph,
        backbone=backbone,
        templates=templates,
        machine=Machine(device, precision.value if precision else None, batch_size, workers),
    )
    with running("searching") as progress:
        result = run_search(prepare_search(query, options, progress), progress, exact=exact)
    hits = _chosen(result, top, threshold)
    if as_json:
        for hit in hits:
            typer.echo(json.dumps(asdict(hit), ensure_ascii=False))
    else:
        _show(hits)
    note(f"{counted(len(hits), 'photograph')} of {result.total:,} in {result.root}")
    note_failures([f"not searched: {one.path}: {one.reason}: {one.detail}" for one in result.failures])
    if out is not None and hits:
        page = page_of(result, len(hits), keyword or query.title, threshold)
        with running("reviewing") as progress:
            report_page(write_review(page, out, options.machine.decode_threads, progress))
    problems = _write(result, hits, keyword, yes=yes) if keyword is not None and hits else 0
    finish(len(result.failures) + problems, allowed=allow_failures)


def _keyword(text: str) -> str:
    """The keyword as labels are written.

    Raises:
        UsageError: it can be none.
    """
    from c2srt_cli.errors import InputError
    from c2srt_cli.labels import LabelSet, read_labels

    try:
        return read_labels(LabelSet.of([text])).names[0]
    except InputError as error:
        raise UsageError("this can be no keyword", where="--tag", problems=error.problems) from None


def _chosen(result: "SearchResult", top: int, threshold: float | None) -> "list[Hit]":
    if threshold is None:
        return result.hits[:top]
    if any(hit.probability is None for hit in result.hits):
        raise UsageError("the backbone is not calibrated", where="--threshold", hint="give --top instead")
    chosen = [hit for hit in result.hits if hit.probability is not None and hit.probability >= threshold]
    if len(chosen) == len(result.hits) < result.total:
        note(f"only the best {len(chosen):,} were looked at; --exact looks at all", "yellow")
    return chosen


def _show(hits: "list[Hit]") -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from c2srt_cli.tagging.writers.escape import terminal_text

    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("", justify="right")
    table.add_column("sure" if hits and hits[0].probability is not None else "score", justify="right")
    table.add_column("photograph", overflow="fold")
    for number, hit in enumerate(hits, 1):
        sure = f"{hit.score:.3f}" if hit.probability is None else percent(hit.probability)
        table.add_row(str(number), sure, Text(terminal_text(hit.path)))
    Console(markup=False, emoji=False, highlight=False).print(table)


def _write(result: "SearchResult", hits: "list[Hit]", keyword: str, *, yes: bool) -> int:
    """Write the keyword, once somebody agrees; returns the number of sidecars that could not be written."""
    from c2srt_cli.search.keyword import write_keyword

    check_writable(result.root, folder=True)
    if not yes:
        note(f"Write {keyword} into the sidecars of {counted(len(hits), 'photograph')}?", "bold")
        if not typer.confirm("", prompt_suffix="", err=True):
            note("nothing was written")
            return 0
    failures = write_keyword(result.root, hits, keyword, note)
    note_failures([f"not written: {one.path}: {one.detail}" for one in failures])
    note(f"{keyword} is in the sidecars of {counted(len(hits) - len(failures), 'photograph')}")
    return len(failures)
