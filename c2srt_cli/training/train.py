"""The stage behind ``c2srt train``: cached tokens, annotations and a graph → ``run/``, resumable to the bit."""

from dataclasses import dataclass

import numpy as np

from c2srt_cli.artifacts import LOCK, MANIFEST, UNFINISHED, disk_errors, lock, manifest, write_json
from c2srt_cli.errors import UsageError
from c2srt_cli.progress import Progress
from c2srt_cli.threads import torch_threads
from c2srt_cli.training import run as runs
from c2srt_cli.training import rundir
from c2srt_cli.training.calibrate import calibrate, pseudo_unseen
from c2srt_cli.training.data import TrainingData
from c2srt_cli.training.fit import Diverged, FitResult, fit
from c2srt_cli.training.job import TrainJob
from c2srt_cli.training.processes import any_of, rank
from c2srt_cli.training.propagation_fit import fit_transfer


@dataclass(frozen=True)
class TrainResult:
    """What came out.

    Attributes:
        epochs: Epochs that were run, in all.
        val_map: Best mean AP of seen labels on the validation set; None without any.
        images_per_second: As in `FitResult`.
        diverged: The loss stopped being a number: the run holds the last good state.
    """

    epochs: int
    val_map: float | None
    images_per_second: float | None
    diverged: bool


class ElsewhereError(UsageError):
    """The first process cannot write the run, and says why."""


def train(job: TrainJob, progress: Progress) -> TrainResult:
    """Train, or go on with a training that was stopped.

    A run that is finished already is left as it is.

    Raises:
        Diverged: the loss is no number from the first epoch on.
        ElsewhereError: another process than this one says what is wrong.
        InputError: something else is in the folder, or a run with other options.
        Interrupted: the user stopped it; a rerun goes on from there.
        UsageError: another process is writing there.
    """
    if rank() > 0:  # the first process writes
        if any_of(False):
            raise ElsewhereError("the first process cannot write the run")
        if any_of(False):
            return TrainResult(0, None, None, False)  # it was finished
        with torch_threads(job.facts["threads"]):
            return _learn(job, progress)
    # sums depend on the number of threads in the last bits: as many as the run began with
    with lock(job.out / LOCK), disk_errors(job.out), torch_threads(job.facts["threads"]):
        made = manifest(runs.KIND, runs.SCHEMA, job.facts, job.inputs)
        try:
            rundir.check_out(job)
            found = None if job.overwrite else rundir.finished(job.out)
            if found is None:
                rundir.begin(job, made)
        except BaseException:
            any_of(True)
            raise
        any_of(False)
        any_of(found is not None)
        if found is not None:
            progress.note("this run is finished already: it is left as it is")
            (job.out / UNFINISHED).unlink(missing_ok=True)  # of a kill behind the manifest
            best = found["best"]
            return TrainResult(found["epochs"], best["map"] if best["epoch"] else None, None, found["diverged"])
        result = _learn(job, progress)
        write_json(job.out / MANIFEST, made)
        (job.out / UNFINISHED).unlink()
    return result


def _learn(job: TrainJob, progress: Progress) -> TrainResult:
    data = job.data
    result = fit(data, job.backbone, job.options, progress)
    if result.method.fitted and len(data.validation.readable):
        fit_transfer(result.method, data, progress)
    if rank() == 0:
        rundir.finish(job, result)
    if job.options.training.calibrate:
        hidden = pseudo_unseen(data, job.options.training.seed)
        why = _no_calibration(data, result, hidden)
        if why is None:
            try:
                calibration = calibrate(result.method, data, hidden, progress)
                if rank() == 0:
                    write_json(job.out / runs.CALIBRATION, calibration.record())
            except Diverged as error:
                why = f"in the second training {error.what}"
        if why is not None:
            progress.note(f"no calibration: {why}")
    return TrainResult(
        epochs=len(result.history),
        val_map=result.best["map"] if result.best["epoch"] else None,
        images_per_second=result.images_per_second,
        diverged=result.diverged,
    )


def _no_calibration(data: TrainingData, result: FitResult, hidden: np.ndarray) -> str | None:
    """Why a run cannot be calibrated; None where it can."""
    if result.diverged:
        return "the training diverged"
    if result.method.needs_init:
        return "what the image side of the earlier run has seen cannot be hidden from it"
    if not result.method.can_calibrate:
        return f"{result.method.name}'s scores depend on which labels are asked for"
    if not len(data.validation.readable):
        return "there is no validation set (training.validation)"
    if not len(hidden):
        return "too few seen labels, or too few of them in the validation set"
    return None
