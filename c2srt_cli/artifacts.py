"""What makes an artifact trustworthy: fingerprints, atomic writes, the manifest and the lock.

An artifact is a folder with a payload and a ``manifest.json``. The manifest is written last, so a payload without one
is unfinished. While a stage works on a folder its resolved options stand in ``unfinished.json``, which a resumed run
compares with its own.
"""

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from c2srt_cli import __version__
from c2srt_cli.errors import InputError, UsageError

MANIFEST = "manifest.json"
UNFINISHED = "unfinished.json"
LOCK = ".lock"


def canonical_json(value: object) -> bytes:
    """The one byte string for a JSON value: sorted keys, no spaces, ASCII."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def fingerprint(value: object) -> str:
    """sha256 (hex) over the canonical JSON of ``value``."""
    return hashlib.sha256(canonical_json(value)).hexdigest()


def file_sha256(path: Path) -> str:
    """sha256 (hex) over the bytes of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield a temporary path in the folder of ``path``; on success it is fsynced and renamed to ``path``.

    After a crash either the old file or the new one is there, whole.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:80]}.", suffix=".tmp")
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(path.stat().st_mode & 0o777 if path.exists() else 0o666 & ~umask)
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
        sync_folder(path.parent)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def sync_folder(folder: Path) -> None:
    """Make renames in ``folder`` durable (a no-op where folders cannot be opened)."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_json(path: Path, value: object) -> None:
    """Write ``value`` atomically, indented, with sorted keys."""
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(value, indent=1, sort_keys=True, allow_nan=False) + "\n", encoding="utf-8")


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        InputError: it is missing or not JSON.
    """
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError:
        raise InputError("no such file", where=str(path)) from None
    except (OSError, ValueError) as error:
        raise InputError(f"cannot be read as JSON ({error})", where=str(path)) from None


def manifest(kind: str, schema: int, options: Mapping[str, Any], inputs: Mapping[str, str]) -> dict[str, Any]:
    """The manifest of an artifact: what it is, who wrote it, from what and how.

    Args:
        kind: The artifact's kind, such as ``embeddings``.
        schema: Version of the payload's layout.
        options: The resolved options that decide the payload's values.
        inputs: Fingerprint of each input.
    """
    return {"kind": kind, "schema": schema, "tool": __version__, "options": dict(options), "inputs": dict(inputs)}


def artifact_kind(folder: Path) -> str | None:
    """Kind of the artifact in ``folder``, finished or not; None where there is none."""
    for name in (MANIFEST, UNFINISHED):
        try:
            value = json.loads((folder / name).read_bytes())
        except (OSError, ValueError):
            continue
        if isinstance(value, dict) and isinstance(value.get("kind"), str):
            return str(value["kind"])
    return None


def read_manifest(folder: Path, kind: str, schema: int) -> dict[str, Any]:
    """Read and check the manifest of a finished artifact.

    Raises:
        InputError: there is none, it is unfinished, or it is of another kind or layout.
    """
    path = folder / MANIFEST
    if not path.exists() and (folder / UNFINISHED).exists():
        raise InputError(
            f"the {kind} here are unfinished",
            where=str(folder),
            hint="run the command that wrote them again: it resumes",
        )
    value = read_json(path)
    if not isinstance(value, dict) or value.get("kind") != kind:
        raise InputError(f"is not the manifest of {kind}", where=str(path))
    if value.get("schema") != schema:
        raise InputError(
            f"has layout {value.get('schema')}, this version of c2srt reads layout {schema}",
            where=str(path),
            hint="make it again with this version, or use the version that wrote it",
        )
    return value


def check_same(folder: Path, stored: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """Refuse to continue an artifact under other options.

    Raises:
        InputError: naming every field that differs, its stored and its wanted value.
    """
    differing = [
        f"{key}: {stored.get(key)!r} there, {wanted.get(key)!r} now"
        for key in sorted({*stored, *wanted})
        if stored.get(key) != wanted.get(key)
    ]
    if differing:
        raise InputError(
            "what is there was made with other options",
            where=str(folder),
            problems=differing,
            hint="name another --out, or give --overwrite to start again",
        )


@contextmanager
def lock(path: Path) -> Iterator[None]:
    """Hold the lock file ``path`` against a second writer. The system releases it when its holder dies.

    Raises:
        UsageError: another process holds it.
    """
    from filelock import FileLock, Timeout

    path.parent.mkdir(parents=True, exist_ok=True)
    held = FileLock(path)
    try:
        held.acquire(timeout=0)
    except Timeout:
        raise UsageError(
            "another c2srt is writing here", where=str(path.parent), hint="wait for it, or name another --out"
        ) from None
    try:
        yield
    finally:
        held.release()
