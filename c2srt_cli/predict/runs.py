"""A run, by what the user calls it."""

from pathlib import Path

from c2srt_cli.artifacts import artifact_kind
from c2srt_cli.errors import InputError, UsageError, meant, nearby
from c2srt_cli.methods.registry import METHODS
from c2srt_cli.training.run import KIND, Run


def open_run(folder: Path) -> Run:
    """A run by its folder.

    Raises:
        InputError: there is none, or it is unfinished or damaged.
        UsageError: there is no such folder.
    """
    if not folder.is_dir():
        names = [name for name, kind in METHODS.items() if not kind.trainable]
        guess = meant(str(folder), names) or (f"; did you mean {near}?" if (near := nearby(folder)) else "")
        hint = f"name {', '.join(names)} or the folder of a run"
        if str(folder) in METHODS:
            guess, hint = "", "train it first: c2srt train"
        raise UsageError(f"there is no method or run {str(folder)!r}{guess}", hint=hint)
    if artifact_kind(folder) != KIND:
        raise InputError("is not a run", where=str(folder), hint="make one: c2srt train")
    return Run.open(folder)
