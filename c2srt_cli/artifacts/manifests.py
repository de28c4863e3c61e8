"""What makes an artifact trustworthy: fingerprints and the manifest.

An artifact is a folder with a payload and a ``manifest.json``. The manifest is written last, so a payload without one
is unfinished. While a stage works on a folder its resolved options stand in ``unfinished.json``, which a resumed run
compares with its own.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from c2srt_cli import __version__
from c2srt_cli.artifacts.files import atomic_write
from c2srt_cli.errors import InputError, nearby

MANIFEST = "manifest.json"
UNFINISHED = "unfinished.json"

#: What is made by a command of its own.
_MAKERS = {"annotations": "prepare", "embeddings": "embed", "profile": "learn", "tags": "tag"}


def canonical_json(value: object) -> bytes:
    """The one byte string for a JSON value: sorted keys, no spaces, ASCII."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def fingerprint(value: object) -> str:
    """sha256 (hex) over the canonical JSON of ``value``."""
    return hashlib.sha256(canonical_json(value)).hexdigest()


def write_json(path: Path, value: object) -> None:
    """Write ``value`` atomically, indented, with sorted keys."""
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(value, indent=1, sort_keys=True, allow_nan=False) + "\n", encoding="utf-8")


def read_json(path: Path, hint: str | None = None) -> Any:
    """Read a JSON file: no NaN, no infinity, nothing nested 200 levels deep, no text that UTF-8 cannot hold.

    Args:
        path: The file.
        hint: What to do if it cannot be read.

    Raises:
        InputError: it is missing, no file, larger than `records.MAX_BYTES`, or not such JSON.
    """
    from pydantic_core import from_json

    from c2srt_cli.artifacts.records import read_bytes

    data = read_bytes(path, hint)
    try:
        value = from_json(data.removeprefix(b"\xef\xbb\xbf"), allow_inf_nan=False)
        json.dumps(value, allow_nan=False)  # 1e999 becomes infinite without being written so
    except ValueError as error:
        raise InputError(f"cannot be read as JSON ({error})", where=str(path), hint=hint) from None
    return value


def manifest(kind: str, schema: int, options: Mapping[str, Any], inputs: Mapping[str, str]) -> dict[str, Any]:
    """The manifest of an artifact: what it is, who wrote it, from what and how.

    Args:
        kind: The artifact's kind, such as ``embeddings``.
        schema: Version of the payload's layout.
        options: The resolved options that decide the payload's values.
        inputs: Fingerprint of each input.
    """
    return {"kind": kind, "schema": schema, "tool": __version__, "options": dict(options), "inputs": dict(inputs)}


def peek_manifest(folder: Path) -> dict[str, Any] | None:
    """The manifest of the artifact in ``folder``, finished or not; None where there is none that can be read.

    Its options and inputs are objects; what stands in them is for their readers to check.
    """
    return next((value for value in _manifests(folder) if not _faults(value)), None)


def _manifests(folder: Path) -> Iterator[dict[str, Any]]:
    """What says in ``folder`` of what kind it is."""
    for name in (MANIFEST, UNFINISHED):
        try:
            value = read_json(folder / name)
        except InputError:
            continue
        if isinstance(value, dict) and isinstance(value.get("kind"), str):
            yield value


def _faults(value: Mapping[str, Any]) -> list[str]:
    """What every manifest has, as far as this one has it not."""
    faults = [f"{name}: is missing" for name in ("options", "inputs") if name not in value]
    faults += [
        f"{name}: must be an object" for name in ("options", "inputs") if not isinstance(value.get(name, {}), dict)
    ]
    if not faults:
        faults += [f"inputs.{name}: must be text" for name, one in value["inputs"].items() if not isinstance(one, str)]
    return faults


def previous_manifest(out: Path, kind: str, *, overwrite: bool = False) -> dict[str, Any] | None:
    """The manifest of the artifact that is to be written or gone on with in ``out``.

    None where nothing is there, or only a damaged one that is to be overwritten.

    Raises:
        InputError: something else is there, or an artifact of that kind whose manifest is damaged.
    """
    there, previous = artifact_kind(out), peek_manifest(out)
    if there not in (None, kind):
        raise InputError(f"holds {there}, no {kind}", where=str(out), hint="name another --out")
    if there is not None:
        _check_files(out)
        if previous is None and not overwrite:
            raise InputError("its manifest is damaged", where=str(out), hint="give --overwrite to start again")
        return previous
    if out.is_file():
        raise InputError("is a file", where=str(out), hint="name another --out")
    foreign = sorted(path.name for path in out.iterdir() if not path.name.startswith(".")) if out.is_dir() else []
    if foreign:
        raise InputError(
            f"the folder is not empty ({foreign[0]}, …) and holds no {kind}",
            where=str(out),
            hint="name another --out",
        )
    return None


def artifact_kind(folder: Path) -> str | None:
    """Kind of the artifact in ``folder``, finished or not, whole or not; None where there is none."""
    return next((str(value["kind"]) for value in _manifests(folder)), None)


def read_manifest(folder: Path, kind: str, *schemas: int) -> dict[str, Any]:
    """Read and check the manifest of a finished artifact.

    Args:
        folder: The artifact's.
        kind: That it must be of.
        schemas: Layouts that are read, the last of which is written.

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
    hint = f"c2srt {_MAKERS[kind]} makes them" if kind in _MAKERS else "name another folder"
    if not path.exists():
        what = f"holds no {kind}" if folder.is_dir() else "is a file" if folder.exists() else "there is no such folder"
        if not folder.exists() and (guess := nearby(folder)):
            hint = f"did you mean {guess}?"
        raise InputError(what, where=str(folder), hint=hint)
    value = read_json(path, "make it again")
    if not isinstance(value, dict) or value.get("kind") != kind:
        other = artifact_kind(folder)
        raise InputError(f"holds {other or 'something else'}, no {kind}", where=str(folder), hint=hint)
    if type(value.get("schema")) is not int or value["schema"] not in schemas:
        raise InputError(
            f"has layout {value.get('schema')}, this version of c2srt reads layout {schemas[-1]}",
            where=str(path),
            hint="make it again with this version, or use the version that wrote it",
        )
    if faults := _faults(value):
        raise InputError("cannot be used", where=str(path), problems=faults, hint="make it again")
    _check_files(folder)
    return value


def _check_files(folder: Path) -> None:
    """Refuse an artifact in which something is no file: a pipe would be waited for, and a device has no end.

    Raises:
        InputError: naming it.
    """
    for parent, _, names in os.walk(folder):
        odd = [path for name in names if (path := Path(parent, name)).exists() and not path.is_file()]
        if odd:
            raise InputError("is no file, and has no place in an artifact", where=str(odd[0]), hint="take it away")


def check_same(folder: Path, stored: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """Refuse to continue an artifact under other options.

    Raises:
        InputError: naming every field that differs, its stored and its wanted value.
    """
    differing = differences(stored, wanted)
    if differing:
        raise InputError(
            "what is there was made with other options",
            where=str(folder),
            problems=differing,
            hint="name another --out, or give --overwrite to start again",
        )


def differences(stored: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    """Each field in which two manifests differ, with its stored and its wanted value."""
    there, now = _flat(stored), _flat(wanted)
    return [
        f"{key}: {there.get(key)!r} there, {now.get(key)!r} now"
        for key in sorted({*there, *now})
        if there.get(key) != now.get(key)
    ]


def _flat(value: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested fields under dotted names: ``runtime.batch``."""
    flat: dict[str, Any] = {}
    for key, field in value.items():
        flat |= _flat(field, f"{prefix}{key}.") if isinstance(field, Mapping) else {f"{prefix}{key}": field}
    return flat
