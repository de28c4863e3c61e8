"""What ``c2srt tag`` is asked for."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from c2srt_cli.embeddings.encoder import Machine
from c2srt_cli.images import ImageFile, Picture
from c2srt_cli.labels import LabelSpec
from c2srt_cli.methods.registry import METHODS
from c2srt_cli.tagging.decision import Rule
from c2srt_cli.tagging.writers import Writer


@dataclass(frozen=True)
class TagOptions:
    """What the user asks for; None means the default, which embeddings inherit from how they were made.

    Attributes:
        inputs: Folders, files, globs, ``-`` for a list on standard input, or one folder of embeddings.
        stdin: The paths on it, where ``-`` is among the inputs.
        recursive: Search the folders among them.
        exclude: Patterns in gitignore form of what the search for photographs leaves out.
        labels: The file of labels, or the words with commas between them.
        run: A trained run to tag with, or None. It decides backbone, templates, method, patch attention and fit.
        profile: What was learned of corrections and keywords, or None; it may bring a run.
        root: The folder that names are relative to; where None that of the inputs, or the one that embeddings name.
        graph: File or name of a category graph with edges to labels that the run has not, or None.
        backbone: Which backbone; ``auto`` where None.
        templates: ``default``, ``clip`` or a file; ``default`` where None.
        method: Options of the method that scores without a run.
        patch_attention: ``value``, ``value-all``, ``none`` or None.
        fit: ``crop``, ``squash``, ``pad`` or None.
        draft: Decode JPEGs at a reduced size where that is enough.
        rule: How labels are chosen.
        all_scores: Keep every label's score.
        explain: File for the reasons of every tag, or None.
        vocabulary: Name of the label set; the stem of the labels file where None.
        restore: Give keywords again that somebody has taken out of a sidecar.
        replace: Take a vocabulary's earlier keywords out even where few of its labels are left.
        machine: Device, precision, batch shape, threads.
        writer: The format of the results, where they go to files: the runtime of an unfinished run is reused.
        out: Their file or folder; None for the photographs' own folder, where sidecars are written.
        picture: How each photograph is read; None for the usual way.
        share: Of parts: which of how many processes this is, ``(i, n)``; the only one where None.
    """

    inputs: tuple[str, ...]
    labels: LabelSpec
    stdin: tuple[str, ...] | None = None
    recursive: bool = False
    exclude: tuple[str, ...] = ()
    run: Path | None = None
    profile: Path | None = None
    root: Path | None = None
    graph: str | None = None
    backbone: str | None = None
    templates: str | None = None
    method: Any = field(default_factory=lambda: METHODS["zero-shot"].defaults())  # noqa: PLW0108 - it reads torch
    patch_attention: str | None = None
    fit: str | None = None
    draft: bool = True
    rule: Rule = Rule()
    all_scores: bool = False
    explain: Path | None = None
    vocabulary: str | None = None
    restore: bool = False
    replace: bool = False
    machine: Machine = Machine()
    writer: Writer | None = None
    out: Path | None = None
    picture: Callable[[ImageFile], Picture] | None = None
    share: tuple[int, int] | None = None
