"""What a run of ``c2srt tag`` has given, by label, for people who do not read a line a photograph."""

import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from c2srt_cli.artifacts import in_bucket
from c2srt_cli.errors import counted, percent
from c2srt_cli.tagging.writers.escape import terminal_text

if TYPE_CHECKING:
    from rich.console import Console

    from c2srt_cli.tagging.record import FailedImage, TaggedImage
    from c2srt_cli.tagging.summary import Given, Summary

#: Labels that have a line; the others are counted.
SHOWN = 12
#: Columns of a label and of a photograph, at a width of 80.
LABEL, PATH, WIDTH = 20, 22, 80


def show_summary(summary: "Summary", console: "Console", *, advise: bool = False) -> None:
    """A line for each of the most frequent labels, and what is to be said of all.

    Args:
        summary: What was counted.
        console: Where it is shown.
        advise: Whether there is a preset that gives more, to be named where most photographs have no label.
    """
    from rich.table import Table
    from rich.text import Text

    given, more = summary.given, max(0, console.width - WIDTH) // 2
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("label", no_wrap=True)
    for name in ("given", "sure" if summary.calibrated else "score"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("fits best", no_wrap=True)
    table.add_column("most doubtful", no_wrap=True)
    for one in given[:SHOWN]:
        sure = percent(one.sure) if summary.calibrated else f"{one.sure:.3f}"
        paths = (Text(_end(terminal_text(path), PATH + more)) for path in (one.best, one.doubtful))
        table.add_row(Text(_start(terminal_text(one.label), LABEL)), f"{one.count:,}", sure, *paths)
    if given:
        console.print(table)
    rest = [counted(len(given) - SHOWN, "more label")] if len(given) > SHOWN else []
    more_by = "; --preset generous gives more" if advise and 2 * summary.untagged > summary.photographs else ""
    rest += [f"{counted(summary.untagged, 'photograph')} without a label{more_by}"] if summary.untagged else []
    if rest:
        console.print(Text(", ".join(rest), "dim"))
    if missing := summary.not_found:
        names = [terminal_text(label) for label in missing[:SHOWN]] + (["…"] if missing[SHOWN:] else [])
        where = f"in {counted(summary.photographs, 'photograph')}"
        console.print(Text(f"not found {where}: {counted(len(missing), 'label')}: {', '.join(names)}", "dim"))
    if often := summary.suspicious:
        console.print(
            Text(f"given suspiciously often: {', '.join(_often(one, summary) for one in often[:5])}", "yellow")
        )


def pass_over(rows: "Iterable[TaggedImage]", *_: object) -> "list[FailedImage]":
    """What is written where the summary is enough: nothing."""
    for _row in rows:
        pass
    return []


def where_next(photos: list[str], labels: str, out: Path | None, *, embeddings: bool, reviewable: bool) -> str:
    """Where to look at the tags."""
    if out is not None and in_bucket(out):
        return "next: copy it into a folder, then c2srt review FOLDER --out review"
    if out is not None and reviewable:
        return f"next: c2srt review {shlex.quote(str(out))} --out review"
    named = shlex.join([*photos, "--labels", labels])
    if embeddings:
        return f"next: c2srt review {named} --out review"
    return f"next: c2srt tag {named} --format html --out review"


def _often(one: "Given", summary: "Summary") -> str:
    return f"{terminal_text(one.label)} ({percent(one.count / summary.photographs)} of all)"


def _start(text: str, width: int) -> str:
    """The first columns of a text."""
    from rich.cells import cell_len, set_cell_size

    return text if cell_len(text) <= width else f"{set_cell_size(text, width - 1).rstrip()}…"


def _end(path: str, width: int) -> str:
    """The last columns of a path: its file's name."""
    from rich.cells import cell_len

    if cell_len(path) <= width:
        return path
    while cell_len(path) > width - 1:
        path = path[1:]
    return f"…{path}"
