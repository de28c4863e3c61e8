"""The files that tagging writes: which may be replaced, and what says that they are finished."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from c2srt_cli.artifacts import atomic_write, file_sha256, manifest, write_json
from c2srt_cli.errors import InputError, UsageError
from c2srt_cli.tagging.record import FailedImage
from c2srt_cli.tagging.writers import Writer

TAGS, EXPLANATIONS = "tags", "explanations"
SCHEMA = 1
#: Journal and failures of formats that write one file an image, in the folder they are written to.
SIDECAR_JOURNAL = ".c2srt-tag.journal"
SIDECAR_FAILURES = "c2srt-failures.jsonl"


def manifest_path(out: Path) -> Path:
    """Where the manifest of a file lies."""
    return out.with_name(f"{out.name}.manifest.json")


def journal_of(writer: Writer, out: Path) -> Path:
    """Where the journal of an unfinished run lies."""
    return out / SIDECAR_JOURNAL if writer.kind == "sidecar" else out.with_name(f".{out.name}.journal")


def failures_of(writer: Writer, out: Path) -> Path:
    """Where the images that could not be tagged are listed."""
    return out / SIDECAR_FAILURES if writer.kind == "sidecar" else out.with_name(f"{out.name}.failures.jsonl")


def check_target(out: Path, option: str, inputs: Iterable[Path], *, replace: bool) -> None:
    """Only a file that a tag run wrote is replaced without being told to, and an input never.

    Args:
        out: The file to write.
        option: That named it.
        inputs: What is read.
        replace: Whatever is there may go.

    Raises:
        InputError: the file is the user's, or a folder.
        UsageError: it is one of the inputs.
    """
    if out.is_dir():
        raise InputError("is a folder; this goes into one file", where=str(out), hint="name a file")
    if not out.exists():
        return
    itself = (out.stat().st_dev, out.stat().st_ino)
    for path in inputs:
        try:
            stat = path.stat()
        except OSError:
            continue
        if (stat.st_dev, stat.st_ino) == itself:
            raise UsageError(
                "is what this run reads, and never written to",
                where=f"{option} {out}",
                hint=f"name another {option}",
            )
    if not (replace or _is_ours(out)):
        raise InputError(
            "was not written by c2srt tag, or has been changed since",
            where=str(out),
            hint=f"name another {option}, or give --overwrite",
        )


def _is_ours(out: Path) -> bool:
    try:
        made = json.loads(manifest_path(out).read_bytes())
        return bool(made["kind"] in (TAGS, EXPLANATIONS) and made["sha256"] == file_sha256(out))
    except (OSError, ValueError, KeyError, TypeError):
        return False


def write_manifest(out: Path, kind: str, options: Mapping[str, Any], inputs: Mapping[str, str]) -> None:
    """Say that a file is finished."""
    write_json(manifest_path(out), manifest(kind, SCHEMA, options, inputs) | {"sha256": file_sha256(out)})


def write_failures(path: Path, failures: list[FailedImage]) -> None:
    """List what could not be tagged; no file where there is nothing to list."""
    if not failures:
        path.unlink(missing_ok=True)
        return
    with atomic_write(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        for failure in failures:
            file.write(json.dumps({"path": failure.path, "reason": failure.reason, "detail": failure.detail}) + "\n")
