"""What people see on stderr: notes, progress, errors. And how Ctrl-C reaches a running stage."""

import os
import shlex
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any, TextIO

from rich.console import Console
from rich.text import Text

from c2srt_cli.artifacts import address, in_bucket
from c2srt_cli.errors import C2srtError, InputError, Interrupted
from c2srt_cli.progress import Progress
from c2srt_cli.tagging.writers.escape import terminal_text


def stderr() -> Console:
    """The console for people."""
    return Console(stderr=True, highlight=False, soft_wrap=True)


def note(text: str, style: str = "dim") -> None:
    """Print one line for people."""
    stderr().print(Text(terminal_text(text), style))


def note_failures(lines: Sequence[str], *, most: int = 20, rest: str = "") -> None:
    """Print what could not be used, a line each.

    Args:
        lines: One for each failure.
        most: Those that are printed; the others are counted.
        rest: Where they stand.
    """
    for line in lines[:most]:
        note(f"  {line}", "yellow")
    if len(lines) > most:
        note(f"  … and {len(lines) - most:,} more{rest}", "yellow")


def show_error(error: C2srtError) -> None:
    """Print an error as one block: what, where, every problem, what to do."""
    block = Text()
    interrupted = isinstance(error, Interrupted)
    block.append("stopped: " if interrupted else "error: ", "bold yellow" if interrupted else "bold red")
    block.append(terminal_text(error.what))
    where, hint = error.where, error.hint
    if where and in_bucket(Path(where)) and address(Path(where)) != where:  # an address that was taken for a path
        where = address(Path(where))
        hint = "in a bucket only photographs are read, by embed and tag: copy this into a folder"
    if where:
        block.append("\n   where: ", "bold").append(terminal_text(where))
    for problem in error.problems:
        block.append("\n       - ").append(terminal_text(problem))
    if hint and "--overwrite" in sys.argv and "same command again" in hint:
        hint += " (without --overwrite, which would discard it)"
    if interrupted and not hint:
        again = [argument for argument in sys.argv[1:] if argument != "--overwrite"]  # it would discard what is done
        hint = f"to continue: {shlex.join(['c2srt', *again])}"
    if hint:
        block.append("\n    next: ", "bold").append(terminal_text(hint))
    stderr().print(block)


@contextmanager
def running(what: str, *, bar_wanted: bool = True) -> Iterator[Progress]:
    """A bar on a terminal, notes on stderr, and Ctrl-C as a wish to stop: a second one stops at once.

    Args:
        what: What the bar says.
        bar_wanted: False where results come out on the same terminal meanwhile.
    """
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    wishes = 0

    def stop(_signal: int, _frame: FrameType | None) -> None:
        nonlocal wishes
        wishes += 1
        if wishes > 1:
            raise KeyboardInterrupt
        bar.console.print("[yellow]stopping after this batch; Ctrl-C again stops at once")

    console = stderr()
    bar = Bar(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        redirect_stdout=False,  # stdout is data, and may be a file while this is a terminal
        redirect_stderr=False,
        disable=not (console.is_terminal and bar_wanted),
    )
    before = signal.signal(signal.SIGINT, stop)
    try:
        with bar:
            task = bar.add_task(what, total=None, rate="", visible=False)

            def advance(done: int, total: int) -> None:
                speed = bar.tasks[0].speed
                rate = f"{speed:,.1f}/s" if speed else ""
                bar.update(task, completed=done, total=total, rate=rate, visible=True)

            yield Progress(
                note=lambda text: bar.console.print(Text(terminal_text(text), "dim")),
                advance=advance,
                stopped=lambda: wishes > 0,
            )
    finally:
        signal.signal(signal.SIGINT, before)


class _Output:
    """A text stream whose faults are told apart from those of files."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with self._faults():
            return self._stream.write(text)

    def flush(self) -> None:
        with self._faults():
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    @contextmanager
    def _faults(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            with suppress(OSError):  # or the interpreter fails again at exit, over what is left in the buffer
                os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())
            if isinstance(error, BrokenPipeError):
                sys.exit(141)
            raise InputError(
                f"cannot be written: {error.strerror or error}",
                where="standard output",
                hint="write to a place with room, then run the same command again",
            ) from None


@contextmanager
def standard_output() -> Iterator[None]:
    """Stdout that ends a run where it cannot be written: quietly, as other programs do, when its reader has gone.

    Raises:
        InputError: the disk behind it is full, or the like.
    """
    before = sys.stdout
    sys.stdout = guarded = _Output(before)
    try:
        yield
    finally:
        try:
            guarded.flush()  # here, not at exit, where the interpreter would complain
        finally:
            sys.stdout = before


def finish(failures: int, *, allowed: bool) -> None:
    """Exit with 5 where items failed, unless that is allowed."""
    from c2srt_cli.errors import SOME_ITEMS_FAILED

    if failures and not allowed:
        sys.exit(SOME_ITEMS_FAILED)
