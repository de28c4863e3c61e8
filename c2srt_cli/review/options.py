"""What ``c2srt review`` is asked for, and what it has done."""

from dataclasses import dataclass
from pathlib import Path

from c2srt_cli.embeddings.encoder import Machine
from c2srt_cli.labels import LabelSpec
from c2srt_cli.tagging.decision import Rule
from c2srt_cli.tagging.record import FailedImage


@dataclass(frozen=True)
class ReviewOptions:
    """What the user asks for.

    Attributes:
        source: A file of tags, or a folder of embeddings.
        out: The folder of the page.
        labels: The labels to show, in this order; for embeddings those to score. None for those that were given.
        explain: The reasons of the tags in a file, or None.
        root: Where the photographs are; None for where the source says that they are.
        run: The run that scores embeddings, or None.
        profile: What was learned of corrections, or None.
        graph: The graph that raises their scores, or None.
        backbone: Where their backbone is now, or None.
        rule: Which labels they are given.
        machine: Device and threads.
    """

    source: Path
    out: Path
    labels: LabelSpec | None = None
    explain: Path | None = None
    root: Path | None = None
    run: Path | None = None
    profile: Path | None = None
    graph: str | None = None
    backbone: str | None = None
    rule: Rule = Rule()
    machine: Machine = Machine()


@dataclass(frozen=True, slots=True)
class ReviewResult:
    """What one run has done.

    Attributes:
        page: The file to open.
        photographs: On the page.
        labels: On the page.
        made: Thumbnails that were made now.
        changed: Photographs that are not what they were when they were tagged.
        failures: Photographs that are not on the page.
    """

    page: Path
    photographs: int
    labels: int
    made: int
    changed: int
    failures: tuple[FailedImage, ...]
