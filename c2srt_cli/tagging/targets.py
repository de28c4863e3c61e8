"""The files that tagging writes: which may be replaced, and what says that they are finished."""

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from c2srt_cli.artifacts import Stamp, atomic_write, file_sha256, put, remove_leftovers, sync_folder, write_json
from c2srt_cli.errors import InputError, UsageError
from c2srt_cli.tagging.record import FailedImage
from c2srt_cli.tagging.writers import Writer
from c2srt_cli.text import json_text

TAGS, EXPLANATIONS = "tags", "explanations"
SCHEMA = 2
#: Journal and failures of formats that write one file an image, in the folder they are written to.
SIDECAR_JOURNAL = ".c2srt-tag.journal"
SIDECAR_FAILURES = "c2srt-failures.jsonl"


def manifest_path(out: Path) -> Path:
    """Where the manifest of a file lies."""
    return out.with_name(f"{out.name}.manifest.json")


def _pending_path(out: Path) -> Path:
    """Where the next manifest lies until its file is in place."""
    return out.with_name(f".{out.name}.manifest.json")


def journal_of(writer: Writer, out: Path) -> Path:
    """Where the journal of an unfinished run lies."""
    return out / SIDECAR_JOURNAL if writer.kind == "sidecar" else out.with_name(f".{out.name}.journal")


def failures_of(writer: Writer, out: Path) -> Path:
    """Where the images that could not be tagged are listed."""
    return out / SIDECAR_FAILURES if writer.kind == "sidecar" else out.with_name(f"{out.name}.failures.jsonl")


@dataclass(frozen=True)
class Finished:
    """A file that a tag run has finished, unchanged since.

    Attributes:
        path: The file.
        options: It was made with.
        images: Version of the image of each row, in the order of the rows; empty where an earlier version wrote it.
    """

    path: Path
    options: dict[str, Any]
    images: dict[str, Stamp]


def finished(out: Path) -> Finished | None:
    """The file that is there, if a manifest says so; also one that a kill has kept from its place."""
    made = _speaking_of(out, manifest_path(out)) or _speaking_of(out, _pending_path(out))
    if made is None:
        return None
    try:
        lines = [line.split(" ", 4) for line in made["images"]] if made["schema"] == SCHEMA else []
        images = {name: Stamp(int(size), int(mtime), int(ctime), sha256) for size, mtime, ctime, sha256, name in lines}
        return Finished(out, dict(made["options"]), images)
    except (LookupError, TypeError, ValueError, AttributeError):
        return None


def finished_options(out: Path) -> dict[str, Any] | None:
    """The options that the manifest of ``out`` speaks of, whether or not the file is still the same."""
    try:
        return dict(json.loads(manifest_path(out).read_bytes())["options"])
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return None


def _speaking_of(out: Path, path: Path) -> dict[str, Any] | None:
    """The manifest at ``path``, where it is that of ``out`` as it is."""
    try:
        made = json.loads(path.read_bytes())
        ours = made["kind"] in (TAGS, EXPLANATIONS) and made["sha256"] == file_sha256(out)
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return None
    return dict(made) if ours else None


@contextmanager
def finished_file(out: Path, made: Callable[[], tuple[dict[str, Any], Mapping[str, Stamp]]]) -> Iterator[Path]:
    """Yield a temporary path to write to; then put the file in place, and its manifest.

    A kill between the two leaves the manifest where `finished` and `tidy` find it.

    Args:
        out: The file.
        made: Gives, once all is written, the manifest and the version of the image of each row, in their order.
    """
    pending = _pending_path(out)
    with atomic_write(out) as temporary:
        yield temporary
        facts, images = made()
        lines = [" ".join([*map(str, stamp[:3]), stamp.sha256, name]) for name, stamp in images.items()]
        write_json(pending, facts | {"schema": SCHEMA, "images": lines, "sha256": file_sha256(temporary)})
    put(pending, manifest_path(out))
    sync_folder(out.parent)


def tidy(out: Path) -> None:
    """Remove what a killed run has begun to write for a file; a manifest that it has finished comes to its place."""
    remove_leftovers(out)
    remove_leftovers(manifest_path(out))
    remove_leftovers(pending := _pending_path(out))
    if _speaking_of(out, manifest_path(out)) is None and _speaking_of(out, pending) is not None:
        put(pending, manifest_path(out))
    pending.unlink(missing_ok=True)


def check_target(out: Path, option: str, inputs: Iterable[Path], *, replace: bool) -> Finished | None:
    """Only a file that a tag run wrote is replaced without being told to, and an input never.

    Args:
        out: The file to write.
        option: That named it.
        inputs: What is read.
        replace: Whatever is there may go.

    Returns:
        What is there, if a tag run has finished it.

    Raises:
        InputError: the file is the user's, or a folder.
        UsageError: it is one of the inputs.
    """
    if out.is_dir():
        raise InputError("is a folder; this goes into one file", where=str(out), hint="name a file")
    if not out.exists():
        return None
    itself = out.stat()
    for path in inputs:
        try:
            stat = path.stat()
        except OSError:
            continue
        # some file systems number no file
        if os.path.samestat(stat, itself) and (itself.st_ino or path.resolve() == out.resolve()):
            raise UsageError(
                "is what this run reads, and never written to",
                where=f"{option} {out}",
                hint=f"name another {option}",
            )
    there = finished(out)
    if there is None and not replace:
        raise InputError(
            "was not written by c2srt tag, or has been changed since",
            where=str(out),
            hint=f"name another {option}, or give --overwrite",
        )
    return there


def write_failures(path: Path, failures: list[FailedImage]) -> None:
    """List what could not be tagged; no file where there is nothing to list."""
    if not failures:
        path.unlink(missing_ok=True)
        return
    with atomic_write(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        for failure in failures:
            file.write(json_text({"path": failure.path, "reason": failure.reason, "detail": failure.detail}) + "\n")
