"""Where ``c2srt tag`` writes: the format and the stream that its options mean, and what is said of the result."""

import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from c2srt_cli.artifacts import address, disk_errors, open_stream, output_file
from c2srt_cli.cli.console import note, note_failures
from c2srt_cli.errors import UsageError, counted
from c2srt_cli.tagging.writers import WRITERS, Writer

if TYPE_CHECKING:
    from c2srt_cli.tagging.update import TagResult


@contextmanager
def opened(writer: Writer, out: Path | None) -> Iterator[TextIO | Path]:
    """Standard output, or the device, pipe or descriptor that ``out`` names."""
    if out is None:
        if reconfigure := getattr(sys.stdout, "reconfigure", None):
            reconfigure(encoding="utf-8")  # as in files; a pipe of Windows has the system's code page
        yield sys.stdout
        return
    try:
        if writer.kind == "file":
            with output_file(out) as temporary:
                yield temporary
        else:
            with (
                disk_errors(out),
                open_stream(out) as stream,
                io.TextIOWrapper(stream, encoding="utf-8", newline="") as text,
            ):
                yield text
    except BrokenPipeError:  # its reader has gone
        sys.exit(141)


def writer_of(name: str | None, out: Path | None, *, all_scores: bool) -> Writer:
    """The format that is asked for, by its name or by the suffix of ``out``.

    Raises:
        UsageError: there is none, or it does not hold what is asked for.
    """
    suffixes: dict[str, Writer] = {}
    for each in WRITERS.values():
        if each.suffix and each.kind != "sidecar":
            suffixes.setdefault(each.suffix, each)  # .csv is CSV, unless Excel's is asked for
    if name is not None:
        writer = WRITERS[name]
    elif out is not None and (out.is_dir() or not out.suffix):
        writer = WRITERS["parts"]
    elif out is not None:
        if out.suffix.lower() not in suffixes:
            raise UsageError(
                f"the suffix {out.suffix!r} names no format",
                where=f"--out {out}",
                hint=f"use {', '.join(suffixes)}, none for a folder of parts, or give --format",
            )
        writer = suffixes[out.suffix.lower()]
    else:
        writer = WRITERS["table" if sys.stdout.isatty() else "jsonl"]
    if writer.kind in ("file", "parts") and out is None:
        what = "a file" if writer.kind == "file" else "a folder"
        raise UsageError(f"{writer.name} goes into {what}", where="--format", hint=f"give --out tags{writer.suffix}")
    if all_scores and not writer.all_scores:
        raise UsageError(
            f"{writer.name} holds the chosen labels only", where="--all-scores", hint="use jsonl, csv, parquet or parts"
        )
    return writer


def report(result: "TagResult", out: Path | None) -> None:
    """Say what was tagged, and what was not."""
    anew = result.tagged - result.unchanged
    parts = [f"{counted(anew, 'image')} tagged"]
    if result.unchanged or result.gone:
        parts = [f"{parts[0]} anew", f"{result.unchanged:,} unchanged"]
    parts += [f"{result.gone:,} gone"] if result.gone else []
    note(", ".join(parts) + (f" → {address(out)}" if out else ""))
    failures = [f"not tagged: {one.path}: {one.reason}: {one.detail}" for one in result.failures]
    if result.open:
        note(f"{result.open:,} parts are left to other processes of --shard")
    if result.failures_path:
        note_failures(failures, rest=f" in {address(result.failures_path)}")
    else:
        note_failures(failures, most=len(failures))
