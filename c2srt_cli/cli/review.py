"""``c2srt review``: a page to look at tags, and to correct them."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from c2srt_cli.artifacts import check_folder
from c2srt_cli.cli import options as o
from c2srt_cli.cli.console import finish, note, note_failures, running
from c2srt_cli.errors import counted
from c2srt_cli.scoring.presets import Preset

if TYPE_CHECKING:
    from c2srt_cli.review.options import ReviewResult

EMBEDDINGS = "Embeddings"


def review(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="TAGS|EMBEDDINGS",
            help="What c2srt tag --out wrote (.jsonl, .csv, .parquet, a folder of parts), or a folder of embeddings.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path,
        typer.Option("--out", "-o", help="Folder of the page.", show_default=False, rich_help_panel=o.OUTPUT),
    ],
    labels: Annotated[
        str | None,
        typer.Option(
            "--labels",
            "-l",
            metavar="FILE|WORDS",
            help="Labels to show, in this order; for EMBEDDINGS those to score.",
            show_default="those of TAGS",
        ),
    ] = None,
    explain: Annotated[
        Path | None,
        typer.Option(
            help="What c2srt tag --explain wrote: shows the patches and labels that spoke.", show_default=False
        ),
    ] = None,
    root: o.Root = None,
    preset: Annotated[
        Preset | None,
        typer.Option(
            help="How readily labels are given: strict few and sure ones, generous many.",
            show_default="balanced",
            rich_help_panel=EMBEDDINGS,
        ),
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(min=0.0, max=1.0, help="Give labels from this probability on.", rich_help_panel=EMBEDDINGS),
    ] = None,
    top_k: Annotated[
        int | None, typer.Option(min=1, help="Give the K best labels.", rich_help_panel=EMBEDDINGS)
    ] = None,
    run: Annotated[
        Path | None,
        o.run("Score with what c2srt train learned.", panel=EMBEDDINGS),
    ] = None,
    profile: Annotated[
        Path | None,
        typer.Option(help="Score with what c2srt learn learned.", show_default=False, rich_help_panel=EMBEDDINGS),
    ] = None,
    graph: Annotated[str | None, o.graph(o.EVIDENCE, default="none", panel=EMBEDDINGS)] = None,
    backbone: o.MovedBackbone = None,
    device: o.Device = None,
    workers: o.Workers = None,
    allow_failures: o.AllowFailures = False,
) -> None:
    """Look at tags in a browser, label by label or photograph by photograph, and say yes or no to them.

    [bold]c2srt review tags.jsonl --out review[/], then open review/index.html

    The page works without a network. It keeps verdicts in the browser and saves them as corrections.jsonl. With
    [bold]--all-scores[/] in c2srt tag, or EMBEDDINGS, it shows what is below the threshold too.
    """
    check_folder(out)
    from c2srt_cli.embeddings.encoder import Machine
    from c2srt_cli.review.options import ReviewOptions
    from c2srt_cli.review.review import review as run_review
    from c2srt_cli.tagging.decision import Rule

    options = ReviewOptions(
        source=source,
        out=out,
        labels=labels,
        explain=explain,
        root=root,
        run=run,
        profile=profile,
        graph=graph,
        backbone=backbone,
        rule=Rule.asked(preset, threshold, top_k),
        machine=Machine(device=device, workers=workers),
    )
    with running("reviewing") as progress:
        result = run_review(options, progress)
    report_page(result)
    finish(len(result.failures), allowed=allow_failures)


def report_page(result: "ReviewResult") -> None:
    """Say what is on a page, and where it is."""
    note_failures([f"not shown: {one.path}: {one.reason}: {one.detail}" for one in result.failures])
    if result.changed:
        note(f"{counted(result.changed, 'photograph')} changed since the tags were given: tag again", "yellow")
    shown = f"{counted(result.photographs, 'photograph')}, {counted(result.labels, 'label')}"
    made = f", {counted(result.made, 'thumbnail')} made" if result.made else ""
    note(f"{shown}{made}; open {result.page} in a browser")
