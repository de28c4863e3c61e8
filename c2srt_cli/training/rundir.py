"""A run's folder while it is made: what is written when, and how one that is there already is told."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from c2srt_cli.artifacts import (
    MANIFEST,
    UNFINISHED,
    atomic_write,
    check_same,
    peek_manifest,
    previous_manifest,
    remove_leftovers,
    write_json,
)
from c2srt_cli.artifacts.records import Count, Record, read_record
from c2srt_cli.datasets.annotations import write_label_table
from c2srt_cli.embeddings.text import embed_labels, save_text
from c2srt_cli.errors import InputError
from c2srt_cli.graph.category_graph import write_graph
from c2srt_cli.progress import Progress
from c2srt_cli.training import run as runs
from c2srt_cli.training.config import as_toml
from c2srt_cli.training.fit import FitResult
from c2srt_cli.training.job import TrainJob
from c2srt_cli.training.state import Best


class _Metrics(Record):
    """What came out of a training."""

    epochs: Count
    best: Best
    diverged: bool


def begun(out: Path) -> Mapping[str, Any]:
    """The options of the run in a folder, finished or not; none where there is none."""
    there = peek_manifest(out)
    return there.get("options", {}) if there is not None and there["kind"] == runs.KIND else {}


def check_out(job: TrainJob) -> None:
    """Make sure that the folder holds nothing, or this run, finished or not.

    Raises:
        InputError: something else is there, or a run with other options.
    """
    previous = previous_manifest(job.out, runs.KIND, overwrite=job.overwrite)
    if previous is not None and not job.overwrite:
        check_same(job.out, what_decides(previous), what_decides({"options": job.facts, "inputs": job.inputs}))


def what_decides(made: Mapping[str, Any]) -> dict[str, Any]:
    """What a manifest says that a run is made from.

    But the threads, which a resumed run takes over, and what the backbone is called here: its weights decide.
    """
    recorded = ("threads", "backbone", "config_sha256")
    return {name: value for name, value in {**made["options"], **made["inputs"]}.items() if name not in recorded}


def finished(out: Path) -> dict[str, Any] | None:
    """The metrics of the finished run in a folder; None where there is something to do."""
    needed = (MANIFEST, runs.CONFIG, runs.WEIGHTS, runs.LABELS, runs.TEXT, runs.HISTORY, runs.METRICS)
    if not all((out / name).exists() for name in needed):
        return None
    try:
        return read_record(out / runs.METRICS, _Metrics).model_dump()
    except InputError:  # damaged: they are written again
        return None


def begin(job: TrainJob, made: dict[str, Any]) -> None:
    """Write down what the run is to be."""
    out = job.out
    for folder in (out, *(path for path in out.rglob("*") if path.is_dir())):
        remove_leftovers(folder)
    if job.overwrite:
        _discard(out)
    write_json(out / UNFINISHED, made)
    (out / MANIFEST).unlink(missing_ok=True)
    with atomic_write(out / runs.CONFIG) as temporary:
        temporary.write_text(as_toml(job.options), encoding="utf-8")
    if job.graph is not None:
        write_graph(out / runs.GRAPH, job.graph)
    annotations, data = job.data.annotations, job.data
    write_label_table(out / runs.LABELS, annotations.labels, annotations.seen)
    save_text(out / runs.TEXT, data.vocabulary.text.cpu(), annotations.labels, job.facts["templates"])


def finish(job: TrainJob, result: FitResult) -> None:
    """Write down what came out."""
    runs.write_weights(job.out, {name: value.detach() for name, value in result.method.learned().items()})
    if job.data.vocabulary.prompts is not None:
        labels, templates = job.data.annotations.labels, job.facts["templates"]
        save_text(job.out / runs.TEXT, embed_labels(result.method, labels, templates, Progress()), labels, templates)
    with atomic_write(job.out / runs.HISTORY) as temporary:
        pd.DataFrame(result.history).to_csv(temporary, index=False, lineterminator="\n")
    counts = {"train": len(job.data.train.readable), "validation": len(job.data.validation.readable)}
    facts = {"epochs": len(result.history), "best": result.best, "diverged": result.diverged}
    write_json(job.out / runs.METRICS, facts | counts)


def _discard(out: Path) -> None:
    for name in (MANIFEST, runs.WEIGHTS, runs.GRAPH, runs.HISTORY, runs.METRICS, runs.CALIBRATION):
        (out / name).unlink(missing_ok=True)
    for path in (out / runs.CHECKPOINT).rglob("*.safetensors"):
        path.unlink()
