"""``c2srt learn``: corrections and keywords → a profile."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from c2srt_cli.artifacts import check_folder
from c2srt_cli.cli import options as o
from c2srt_cli.cli.console import finish, note, note_failures, running
from c2srt_cli.errors import counted, percent

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

    from c2srt_cli.learning.options import LearnResult
    from c2srt_cli.predict.profile import Learned

#: Examples of a kind below which a label is said to need more.
FEW = 3
#: Labels whose figures are printed.
SHOWN = 40
#: Columns of a label's name.
WIDTH = 28


def learn(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE...",
            help="corrections.jsonl as the page of c2srt review saves it, and the photographs: folders, files, or a "
            "folder of embeddings. Photographs alone are learned from by their keywords.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Profile to write.", show_default=False, rich_help_panel=o.OUTPUT)
    ],
    labels: Annotated[
        str | None,
        typer.Option(
            "--labels",
            "-l",
            metavar="FILE|WORDS",
            help="The labels that you tag with; only these are learned.",
            show_default="those of the corrections, and keywords of three photographs or more",
        ),
    ] = None,
    keywords: Annotated[
        bool,
        typer.Option(
            "--keywords",
            help="With corrections: learn from the keywords of the photographs too, in sidecars, XMP and IPTC. What "
            "c2srt has written is none.",
        ),
    ] = False,
    run: Annotated[
        Path | None,
        o.run("Run whose tags were corrected."),
    ] = None,
    graph: Annotated[str | None, o.graph("the one that the corrected tags were given with")] = None,
    backbone: o.Backbone = None,
    templates: o.ScoringTemplates = None,
    exclude: o.Exclude = None,
    root: o.Root = None,
    overwrite: Annotated[
        bool,
        typer.Option("--overwrite", help="Train on the keywords again from the start.", rich_help_panel=o.OUTPUT),
    ] = False,
    allow_failures: o.AllowFailures = False,
    device: o.Device = None,
    precision: o.PrecisionOption = None,
    batch_size: o.BatchSize = None,
    workers: o.Workers = None,
) -> None:
    """Learn from corrections, or from keywords that photographs already have.

    [bold]c2srt learn corrections.jsonl ./photos --labels labels.txt --out profile[/], then
    [bold]c2srt tag ./photos --labels labels.txt --profile profile[/]

    A few verdicts on a label move its scores and its threshold, without training. From 300 photographs with keywords on
    a run is trained on them. What you refused for a photograph is not given again.
    """
    check_folder(out)
    from c2srt_cli.embeddings.encoder import Machine
    from c2srt_cli.learning.learn import learn as run_learn
    from c2srt_cli.learning.options import LearnOptions

    corrections = [text for text in sources if text.lower().endswith(".jsonl") and not Path(text).is_dir()]
    options = LearnOptions(
        corrections=tuple(map(Path, corrections)),
        photos=tuple(text for text in sources if text not in corrections),
        out=out,
        keywords=keywords or not corrections,
        labels=labels,
        exclude=tuple(exclude or ()),
        root=root,
        run=run,
        graph=graph,
        backbone=backbone,
        templates=templates,
        overwrite=overwrite,
        machine=Machine(device, precision.value if precision else None, batch_size, workers),
    )
    with running("learning") as progress:
        result = run_learn(options, progress)
    _show(result)
    note_failures([f"not learned from: {one.path}: {one.reason}: {one.detail}" for one in result.failures])
    words = shlex.quote(labels or "labels.txt")
    note(f"next: c2srt tag PHOTOS --labels {words} --profile {shlex.quote(str(out))}")
    finish(len(result.failures), allowed=allow_failures)


def _show(result: "LearnResult") -> None:
    """What was learned of each label: most examples first."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from c2srt_cli.tagging.writers.escape import terminal_text

    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("label", max_width=WIDTH, overflow="ellipsis", no_wrap=True)
    for name in ("yes", "no", "precision", "recall"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("")
    ordered = sorted(result.learned, key=lambda one: (-min(one.yes, one.no), -one.yes, one.name))
    rows = ordered if len(ordered) <= SHOWN else [*ordered[: SHOWN // 2], *ordered[-SHOWN // 2 :]]
    for number, one in enumerate(rows):
        if number == SHOWN // 2 and len(rows) < len(ordered):
            table.add_row(Text(f"… {len(ordered) - len(rows):,} more labels", "dim"))
        _add(table, Text(terminal_text(one.name)), one, _needs(one))
    if len(ordered) > 1:
        _add(table, Text("all", "bold"), result.total, "")
    Console(markup=False, emoji=False, highlight=False).print(table)
    of = "the photographs that were judged"
    if result.run:
        note(f"a run was trained on {counted(result.run, 'photograph')}")
        of = "photographs that it was not trained on"
    note(f"precision and recall are of {of}, by cross-validation")


def _add(table: "Table", name: "Text", one: "Learned", needs: str) -> None:
    precision, recall = (
        _change(getattr(one, f"{what}_before"), getattr(one, what)) for what in ("precision", "recall")
    )
    table.add_row(name, f"{one.yes:,}", f"{one.no:,}", precision, recall, needs)


def _change(before: float | None, after: float | None) -> str:
    now = "-" if after is None else percent(after)
    return now if before is None or after is None else f"{percent(before)} → {now}"


def _needs(one: "Learned") -> str:
    lacking = [name for name, count in (("yes", one.yes), ("no", one.no)) if count < FEW]
    return f"needs more {' and '.join(lacking)}" if lacking else ""
