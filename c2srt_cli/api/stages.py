"""The stages behind embed, train and evaluate, with paths and words as arguments."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from c2srt_cli.api.labels import Labels, label_spec
from c2srt_cli.api.random_state import keeps_random_state
from c2srt_cli.datasets import annotations as stored
from c2srt_cli.datasets.annotations import Annotations
from c2srt_cli.embeddings.embed import EmbedOptions, EmbedResult, prepare_embedding
from c2srt_cli.embeddings.embed import embed as run_embed
from c2srt_cli.embeddings.encoder import Machine
from c2srt_cli.embeddings.split import Split
from c2srt_cli.errors import UsageError
from c2srt_cli.evaluation.measure import TestSet, measure
from c2srt_cli.evaluation.report import Report
from c2srt_cli.graph.category_graph import read_graph
from c2srt_cli.learning.learn import learn as run_learn
from c2srt_cli.learning.options import LearnOptions, LearnResult
from c2srt_cli.methods.registry import DEFAULT, METHODS
from c2srt_cli.parts.bucket import folder_of
from c2srt_cli.parts.folder import PART
from c2srt_cli.predict.profile import is_profile
from c2srt_cli.progress import Progress
from c2srt_cli.training.config import resolve
from c2srt_cli.training.prepare import TrainOptions, prepare_training
from c2srt_cli.training.run import Run
from c2srt_cli.training.train import train as run_train


@keeps_random_state
def embed(
    images: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | None = None,
    *,
    out: str | os.PathLike[str],
    annotations: str | os.PathLike[str] | None = None,
    labels: Labels | None = None,
    method: str = "zero-shot",
    backbone: str | None = None,
    templates: str = "default",
    fit: str | None = None,
    device: str | None = None,
    precision: str | None = None,
    part_size: int = PART,
    share: tuple[int, int] | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> EmbedResult:
    """Write embeddings, or bring them up to date: ``c2srt embed``.

    Args:
        images: Folders and files; None with annotations.
        out: The folder to write.
        annotations: A folder that `prepare` wrote, whose images to embed.
        labels: Labels whose text embeddings to store too.
        method: The method that is to read them.
        backbone: See `Tagger`, as for the options that follow.
        templates: Likewise.
        fit: Likewise.
        device: Likewise.
        precision: Likewise.
        part_size: Photographs of a new part.
        share: Which of how many processes this is, ``(i, n)``, from 0 on; all of the work where None.
        overwrite: Start again.
        progress: Takes notes and counts.

    Raises:
        InputError: images, labels or weights are missing or unusable, or something else stands in ``out``.
        UsageError: the options contradict each other.
    """
    progress = progress or Progress()
    kind = METHODS[method]
    given = [] if images is None else [images] if isinstance(images, str | os.PathLike) else images
    options = EmbedOptions(
        inputs=tuple(os.fspath(one) for one in given),
        out=Path(out),
        annotations=None if annotations is None else Path(annotations),
        labels=None if labels is None else label_spec(labels),
        backbone=backbone,
        templates=templates,
        needed=lambda tower: Split(*kind.needs(kind.defaults(), tower)),
        fit=fit,
        machine=Machine(device, precision),
        part_size=part_size,
        share=share,
        overwrite=overwrite,
    )
    with folder_of(Path(out), share) as folder:
        return run_embed(prepare_embedding(replace(options, out=folder), progress), progress)


def read_annotations(folder: str | os.PathLike[str]) -> Annotations:
    """Read what ``c2srt prepare`` wrote.

    Raises:
        InputError: there are no finished annotations in the folder, or they are damaged.
    """
    return stored.read_annotations(Path(folder))


@keeps_random_state
def train(
    method: str = DEFAULT,
    *,
    embeddings: str | os.PathLike[str],
    annotations: str | os.PathLike[str],
    out: str | os.PathLike[str],
    graph: str | None = None,
    options: Mapping[str, Any] | None = None,
    device: str | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Run:
    """Train a method on cached tokens, or go on with a run that was stopped: ``c2srt train``.

    Args:
        method: Its name.
        embeddings: A folder that `embed` wrote for the method.
        annotations: A folder that `prepare` wrote.
        out: The run to write.
        graph: A graph's file, or the name of one that comes with c2srt.
        options: Of the method, by the names that ``c2srt train METHOD --print-options`` prints.
        device: Where to train; the fastest there is where None.
        overwrite: Start again.
        progress: Takes notes and counts.

    Raises:
        InputError: an input is missing, stale or damaged.
        UsageError: the options contradict each other or the inputs.
    """
    progress = progress or Progress()
    asked = TrainOptions(
        embeddings=Path(embeddings),
        annotations=Path(annotations),
        out=Path(out),
        options=resolve(method, {}, over=dict(options or {})),
        graph=graph,
        device=device,
        overwrite=overwrite,
    )
    run_train(prepare_training(asked, progress), progress)
    return Run.open(Path(out))


@keeps_random_state
def learn(
    corrections: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] = (),
    *,
    images: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    out: str | os.PathLike[str],
    keywords: bool | None = None,
    labels: Labels | None = None,
    root: str | os.PathLike[str] | None = None,
    run: str | os.PathLike[str] | None = None,
    graph: str | None = None,
    backbone: str | None = None,
    templates: str | None = None,
    device: str | None = None,
    precision: str | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> LearnResult:
    """Learn from corrections and keywords: ``c2srt learn``.

    Args:
        corrections: Files that the page of ``c2srt review`` saved.
        images: The photographs, or a folder of embeddings.
        out: The profile to write.
        keywords: Learn from the keywords of the photographs; where None only without corrections.
        labels: Those that are tagged with; those of corrections and keywords where None.
        root: The folder that the photographs' paths are relative to, where it is not the one that is named.
        run: The run whose tags were corrected.
        graph: The graph that they were given with.
        backbone: See `Tagger`, as for the options that follow.
        templates: Likewise.
        device: Likewise.
        precision: Likewise.
        overwrite: Train on the keywords again.
        progress: Takes notes and counts.

    Raises:
        InputError: corrections, photographs, labels or the run are missing or unusable.
        UsageError: the options contradict each other.
    """
    files, photos = (
        [given] if isinstance(given, str | os.PathLike) else list(given) for given in (corrections, images)
    )
    options = LearnOptions(
        corrections=tuple(map(Path, files)),
        photos=tuple(os.fspath(one) for one in photos),
        out=Path(out),
        keywords=not files if keywords is None else keywords,
        labels=None if labels is None else label_spec(labels),
        root=None if root is None else Path(root),
        run=None if run is None else Path(run),
        graph=graph,
        backbone=backbone,
        templates=templates,
        overwrite=overwrite,
        machine=Machine(device, precision),
    )
    return run_learn(options, progress or Progress())


@keeps_random_state
def evaluate(
    run: str | os.PathLike[str] | Run,
    *,
    embeddings: str | os.PathLike[str],
    annotations: str | os.PathLike[str],
    protocol: str | None = None,
    graph: str | None = None,
    options: Mapping[str, Any] | None = None,
    replicates: int = 0,
    device: str | None = None,
    progress: Progress | None = None,
) -> Report:
    """Figures of a run, or of a method that needs no training, on a test set: ``c2srt evaluate``.

    Args:
        run: The run, its folder, that of a profile, or ``zero-shot``.
        embeddings: A folder that `embed` wrote.
        annotations: A folder that `prepare` wrote.
        protocol: Of the dataset; its first where None.
        graph: A graph's file, or the name of one that comes with c2srt, for zero-shot, or the one that the profile was
            learned with: a run has its own.
        options: Of zero-shot, by the names that ``c2srt train zero-shot --print-options`` prints.
        replicates: Draws of the bootstrap over images; 0 for none.
        device: Where to compute; the fastest there is where None.
        progress: Takes notes and counts.

    Raises:
        InputError: an input is missing or damaged, or images of the protocol have no tokens.
        UsageError: there is no such method or protocol, or a run is given what it has decided.
    """
    name = str(run.folder) if isinstance(run, Run) else os.fspath(run)
    if name not in METHODS and (options or (graph and not is_profile(name))):
        raise UsageError("a run keeps what it was trained with", where=name, hint="graph and options are for zero-shot")
    test_set = TestSet.open(Path(embeddings), Path(annotations), protocol)
    measured = measure(
        [name],
        test_set,
        replicates=replicates,
        device=device,
        progress=progress or Progress(),
        graph=None if graph is None else read_graph(graph),
        options=resolve(name, {}, over=dict(options or {})) if name in METHODS else None,
    )
    return measured.reports[0]
