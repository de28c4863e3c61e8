"""What ``c2srt learn`` is asked for, and what it has learned."""

from dataclasses import dataclass
from pathlib import Path

from c2srt_cli.embeddings.encoder import Machine
from c2srt_cli.labels import LabelSpec
from c2srt_cli.predict.profile import Learned
from c2srt_cli.tagging.options import TagOptions
from c2srt_cli.tagging.record import FailedImage


@dataclass(frozen=True)
class LearnOptions:
    """What the user asks for; None means the default.

    Attributes:
        corrections: Files that the page of ``c2srt review`` saved.
        photos: Folders, files or globs of photographs, or one folder of embeddings.
        out: The profile to write.
        keywords: Learn from the keywords of the photographs.
        labels: Those that are tagged with; where None those of the corrections and keywords.
        exclude: Patterns in gitignore form of what the search for photographs leaves out.
        root: The folder that the photographs' paths are relative to.
        run: The run whose tags were corrected, or None.
        graph: The graph that raised the scores of the tags that were corrected, or None.
        backbone: Which backbone; ``auto`` where None.
        templates: Prompts around the labels.
        overwrite: Train the run again.
        machine: Device, precision, batch shape, threads.
    """

    corrections: tuple[Path, ...]
    photos: tuple[str, ...]
    out: Path
    keywords: bool = False
    labels: LabelSpec | None = None
    exclude: tuple[str, ...] = ()
    root: Path | None = None
    run: Path | None = None
    graph: str | None = None
    backbone: str | None = None
    templates: str | None = None
    overwrite: bool = False
    machine: Machine = Machine()

    def tagging(self, labels: LabelSpec, run: Path | None) -> TagOptions:
        """As the photographs are to be tagged."""
        return TagOptions(
            inputs=self.photos,
            labels=labels,
            run=run,
            root=self.root,
            graph=self.graph,
            backbone=self.backbone,
            templates=self.templates,
            exclude=self.exclude,
            machine=self.machine,
        )


@dataclass(frozen=True)
class LearnResult:
    """What came out.

    Attributes:
        learned: Each label with what is expected of it.
        total: The same of all that was judged, as if it were one label.
        run: Images that a run was trained on; 0 without one.
        failures: Photographs that nothing could be learned of.
    """

    learned: tuple[Learned, ...]
    total: Learned
    run: int
    failures: tuple[FailedImage, ...]
