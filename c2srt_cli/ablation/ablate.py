"""The stage behind ``c2srt ablate``: a grid of runs on one cache of embeddings → a table and a figure."""

import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from c2srt_cli.ablation.grid import ZERO_SHOT, GridRow, slug
from c2srt_cli.ablation.prepare import KIND, RUNS, AblationJob, run_name, train_options
from c2srt_cli.ablation.report import write_report
from c2srt_cli.ablation.rows import Outcome, Row
from c2srt_cli.ablation.times import TIMES, add_time, times
from c2srt_cli.artifacts import (
    LOCK,
    MANIFEST,
    UNFINISHED,
    check_same,
    disk_errors,
    file_sha256,
    fingerprint,
    lock,
    manifest,
    peek_manifest,
    previous_manifest,
    read_json,
    remove_leftovers,
    write_json,
)
from c2srt_cli.artifacts.records import Record, RelativePath, Text, read_record
from c2srt_cli.errors import InputError, Interrupted, UsageError
from c2srt_cli.evaluation.protocol import settings
from c2srt_cli.evaluation.report import evaluate
from c2srt_cli.evaluation.score import predictor, score_split
from c2srt_cli.evaluation.score_file import ScoreFile
from c2srt_cli.evaluation.table import Table
from c2srt_cli.graph.category_graph import read_graph
from c2srt_cli.progress import Progress
from c2srt_cli.training import run as runs
from c2srt_cli.training.config import as_toml
from c2srt_cli.training.fit import Diverged
from c2srt_cli.training.prepare import prepare_training
from c2srt_cli.training.rundir import finished, what_decides
from c2srt_cli.training.state import AGAIN
from c2srt_cli.training.train import train

SCORES = "scores"
#: In a run's folder: why it has no state to keep.
DIVERGED = "diverged.json"


class _Scored(Record):
    """The manifest of score files."""

    options: dict[str, Text]
    inputs: dict[str, Text]
    files: dict[str, RelativePath]


class _Diverged(Record):
    """Why a run has no state to keep."""

    what: Text


@dataclass(frozen=True, eq=False)
class AblationResult:
    """What came out.

    Attributes:
        tables: For people: one a setting.
        failed: Runs that could not be trained, or whose loss stopped being a number.
    """

    tables: tuple[Table, ...]
    failed: int


def ablate(job: AblationJob, progress: Progress) -> AblationResult:
    """Train, score and compare every row with every seed; what is done already is kept.

    Table and figure are written after every new run, so that a stopped ablation shows what is done.

    Raises:
        InputError: something else is in the folder, or runs with other options.
        Interrupted: the user stopped it; a rerun goes on from there.
        UsageError: another process is writing there.
    """
    out = job.options.out
    with lock(out / LOCK), disk_errors(out):
        remove_leftovers(out)
        _claim(job)
        seeds = job.grid.seeds
        runs_in_all = [(row, seed) for row in job.grid.rows for seed in (seeds if row.trainable else seeds[:1])]
        rows = [Row(ZERO_SHOT, "", (_untrained(job, None, progress),))]
        for done, (row, seed) in enumerate(runs_in_all):
            folder = out / RUNS / run_name(row, seed)
            there = (folder / MANIFEST).exists() or (folder / DIVERGED).exists()
            try:
                if progress.stopped():
                    raise Interrupted("between two runs")
                progress.note(f"{row.name}, seed {seed} ({done + 1} of {len(runs_in_all)}{', kept' if there else ''})")
                outcome = _run(job, row, seed, progress) if row.trainable else _untrained(job, row, progress)
            except Interrupted as stop:
                write_report(job, rows)
                raise Interrupted(
                    f"{done:,} of {len(runs_in_all):,} runs are done; of the next one all training so far is saved",
                    where=str(out),
                ) from stop
            if seed == seeds[0]:
                rows.append(Row(row.name, row.changes, (), is_base=row is job.grid.base))
            rows[-1] = replace(rows[-1], outcomes=(*rows[-1].outcomes, outcome))
            if not there and done + 1 < len(runs_in_all):
                write_report(job, rows)
        tables = write_report(job, rows)
        write_json(out / MANIFEST, job.manifest)
        (out / UNFINISHED).unlink()
    return AblationResult(tables, sum(bool(outcome.note) for row in rows for outcome in row.outcomes))


def _claim(job: AblationJob) -> None:
    """Make sure that the folder holds this ablation or nothing, and that its runs are those of the grid."""
    out, made = job.options.out, job.manifest
    previous_manifest(out, KIND)
    if job.options.overwrite:
        for path in (out / MANIFEST, out / TIMES):
            path.unlink(missing_ok=True)
        for folder in (out / RUNS, out / SCORES):
            if folder.exists():
                shutil.rmtree(folder)
    problems = []
    for row in job.grid.rows:
        for seed in job.grid.seeds:
            folder = out / RUNS / run_name(row, seed)
            there = peek_manifest(folder)
            if there is None:
                continue
            try:
                check_same(folder, what_decides(there), _run_facts(job, row, seed))
            except InputError as error:
                problems += [f"{row.name}, seed {seed}: {problem}" for problem in error.problems]
    if problems:
        raise InputError(
            "runs of these rows are there, made with other options",
            where=str(out),
            problems=problems,
            hint="name these rows differently, name another --out, or give --overwrite to start again",
        )
    write_json(out / UNFINISHED, made)
    (out / MANIFEST).unlink(missing_ok=True)


def _run_facts(job: AblationJob, row: GridRow, seed: int) -> dict[str, Any]:
    """What the manifest of a run says that it was made from."""
    made = dict(job.made_from[row.name])
    training = {**made["method"]["training"], "seed": seed}
    return what_decides({"options": made, "inputs": {"method": {**made["method"], "training": training}}})


def _untrained(job: AblationJob, row: GridRow | None, progress: Progress) -> Outcome:
    """Score and evaluate a row that needs no training; plain zero-shot where None."""
    facts: list[Any] = [job.store.options.weights_sha256, job.manifest["options"]["templates"]]
    name, graph = ZERO_SHOT, None
    if row is not None:
        name, graph = slug(row.name), None if row.graph is None else read_graph(row.graph)
        facts += [as_toml(row.options), None if graph is None else graph.fingerprint]
    method, options = (ZERO_SHOT, None) if row is None else (row.options.method, row.options)
    files = _scores(job, name, method, fingerprint(facts), progress, graph=graph, options=options)
    return Outcome(None, evaluate(job.annotations, job.protocol, files), files)


def _run(job: AblationJob, row: GridRow, seed: int, progress: Progress) -> Outcome:
    """Train, score and evaluate one run, as far as that is not done."""
    folder = job.options.out / RUNS / run_name(row, seed)
    if not (folder / MANIFEST).exists():
        if (folder / DIVERGED).exists():  # it would again
            return Outcome(seed, None, {}, note=read_record(folder / DIVERGED, _Diverged, AGAIN).what)
        try:
            training = prepare_training(train_options(job.options, row, seed), progress)
            began = time.monotonic()
            try:
                train(training, progress)
            finally:
                add_time(job.options.out, run_name(row, seed), (time.monotonic() - began) / 60)
        except UsageError as error:
            if isinstance(error, Diverged):  # before there was a state to keep
                write_json(folder / DIVERGED, {"what": error.what})
            return Outcome(seed, None, {}, note=error.what)
    made = fingerprint([read_json(folder / MANIFEST), file_sha256(folder / runs.WEIGHTS)])
    files = _scores(job, run_name(row, seed), str(folder), made, progress)
    metrics = finished(folder)
    if metrics is None:
        raise InputError("the run is damaged", where=str(folder), hint=AGAIN)
    return Outcome(
        seed,
        evaluate(job.annotations, job.protocol, files),
        files,
        epochs=metrics["epochs"],
        minutes=times(job.options.out).get(run_name(row, seed)),
        note="diverged: the last good state" if metrics["diverged"] else "",
    )


def _scores(
    job: AblationJob, name: str, method: str, made: str, progress: Progress, **untrained: Any
) -> Mapping[str, ScoreFile]:
    """Scores of the test images, by setting: those that are kept, where they are of the same run and test set."""
    folder = job.options.out / SCORES / name
    wanted = manifest("scores", 1, {"protocol": job.protocol.name}, {**job.manifest["inputs"], "run": made})
    if (folder / MANIFEST).exists():
        try:
            there = read_record(folder / MANIFEST, _Scored)
            check_same(folder, {**there.options, **there.inputs}, {**wanted["options"], **wanted["inputs"]})
            if set(there.files) != set(settings(job.annotations)):
                raise InputError("has not the files of all settings", where=str(folder))
            files = {setting: ScoreFile.open(folder / file) for setting, file in there.files.items()}
            if all(file.facts.get("annotations") == job.annotations.fingerprint for file in files.values()):
                return files
        except InputError:
            (folder / MANIFEST).unlink()  # others or damaged: scored again
    if folder.is_dir():
        remove_leftovers(folder)
    one = predictor(
        method,
        job.store,
        job.annotations,
        job.options.templates,
        progress,
        job.options.device,
        job.options.backbone,
        **untrained,
    )
    files = score_split(one, job.store, job.annotations, job.protocol, folder=folder, progress=progress)
    write_json(folder / MANIFEST, {**wanted, "files": {setting: file.path.name for setting, file in files.items()}})
    return files
