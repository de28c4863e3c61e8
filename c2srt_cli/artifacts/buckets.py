"""Buckets: folders that an address names, such as ``s3://bucket/photos``, reached through fsspec and its packages.

Inside the program what lies in a bucket is a `Path` that begins with the protocol, ``s3:/bucket/photos/a.jpg``, as
`Path` makes it of an address; local photographs have absolute paths. A folder is listed once a run: the listing says
which version of each object there is, as ``stat`` does of files.
"""

import hashlib
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any, NoReturn

from c2srt_cli.errors import C2srtError, InputError, ServiceError, UsageError

#: Protocols of buckets, which are the names of the extras that read them.
PROTOCOLS = ["s3", "gs"]
AGAIN = "run the same command again: it goes on with what is done"
#: What says of one object that it may not be read, where other codes say it of whoever asks.
_OF_OBJECT = ("AccessDenied", "AllAccessDisabled", "InvalidObjectState", "403", "")

#: Size, mtime and ctime, as of files: see `stamps.Stamp`.
Version = tuple[int, int, int]
#: Where there is no object.
NONE: Version = (-1, -1, -1)

#: Versions of objects by their full names, and the folders that were listed.
_objects: dict[str, Version] = {}
_listed: set[str] = set()
_listing = Lock()


def is_address(text: str) -> bool:
    """Whether a text is an address, such as ``s3://bucket/photos``, and no file of that name is there."""
    return re.match("[a-z][a-z0-9+.-]*://", text) is not None and not os.path.lexists(text)


def bucket_path(text: str) -> Path:
    """The path that stands for an address.

    Raises:
        UsageError: it is not one of a bucket.
    """
    protocol, _, name = text.partition("://")
    if protocol not in PROTOCOLS:
        what = "is an address; photographs are read from folders, and from buckets by s3:// and gs://"
        raise UsageError(what, where=text, hint="mount it as a folder, or copy it into one")
    parts = name.rstrip("/").split("/")
    if not parts[0] or not {"", ".", ".."}.isdisjoint(parts):
        raise UsageError("is no address of a folder in a bucket", where=text, hint=f"{protocol}://bucket/folder")
    return Path(f"{protocol}:/", *parts)


def in_bucket(path: Path) -> bool:
    """Whether a path stands for something in a bucket."""
    protocol, colon, _ = os.fspath(path).partition(f":{os.sep}")
    return bool(colon) and protocol in PROTOCOLS


def address(path: Path) -> str:
    """How a path is told to people and recorded: one in a bucket as its address."""
    return path.as_posix().replace(":/", "://", 1) if in_bucket(path) else str(path)


def list_objects(folder: Path) -> dict[str, Version]:
    """Everything below a folder of a bucket, by its name below it, which may be any text; the object itself as ``""``.

    Raises:
        InputError: there is no such bucket, or it may not be read.
        ServiceError: it cannot be reached.
    """
    with _told(folder):
        found = _system(folder).find(_key(folder), detail=True)
    key = _key(folder)
    _listed.add(key)
    there = {name.lstrip("/"): _version(facts) for name, facts in found.items() if facts.get("type") != "directory"}
    for gone in [name for name in _objects if _is_below(name, key) and name not in there]:
        del _objects[gone]
    _objects.update(there)
    return {name[len(key) :].removeprefix("/"): one for name, one in there.items()}


def versions(root: Path, names: Sequence[str]) -> list[Version]:
    """Versions of objects as they were listed, which is now where they have not been; `NONE` where there is none.

    Raises:
        InputError: there is no such bucket, or it may not be read.
        ServiceError: it cannot be reached.
    """
    key = _key(root)
    keys = [f"{key}/{name}" for name in names]
    with _listing:
        if any(one not in _objects and not any(_is_below(one, folder) for folder in _listed) for one in keys):
            list_objects(root)
    return [_objects.get(one, NONE) for one in keys]


def version(path: Path) -> Version:
    """The version of one object, likewise."""
    return versions(path.parent, [path.name])[0]


def read_object(path: Path, end: int | None = None) -> bytes:
    """The bytes of an object, up to ``end``. Safe to call from many threads.

    Raises:
        InputError: nothing of the bucket can be read any more.
        OSError: this object is not there, or may not be read.
        ServiceError: the bucket cannot be reached.
    """
    try:
        data: bytes = _system(path).cat_file(_key(path), *(() if end is None else (0, end)))
    except FileNotFoundError:
        raise
    except PermissionError as error:
        if _code(error) in _OF_OBJECT:
            raise
        _tell(path, error)
    except Exception as error:
        _tell(path, error)
    return data


def write_object(file: Path, path: Path) -> None:
    """Put a file into a bucket, whole or not at all.

    Raises:
        InputError: it may not be written.
        ServiceError: the bucket cannot be reached.
    """
    with _told(path):
        _system(path).put_file(str(file), _key(path))


def delete_object(path: Path) -> None:
    """Delete an object, if it is there.

    Raises:
        InputError: it may not be deleted.
        ServiceError: the bucket cannot be reached.
    """
    with _told(path), suppress(FileNotFoundError):
        _system(path).rm_file(_key(path))


def _key(path: Path) -> str:
    return path.as_posix().partition(":/")[2]


def _is_below(name: str, folder: str) -> bool:
    return name == folder or name.startswith(f"{folder}/")


def _version(facts: dict[str, Any]) -> Version:
    """Size, time and, as what no program sets, a number for the version's tag."""
    time = next((facts[name] for name in ("LastModified", "mtime", "updated", "created") if facts.get(name)), None)
    tag = next((facts[name] for name in ("ETag", "etag", "md5Hash", "generation") if facts.get(name)), time)
    seconds = time.timestamp() if isinstance(time, datetime) else -1
    number = -1 if tag is None else int(hashlib.sha256(f"{tag} {time}".encode()).hexdigest()[:15], 16)
    return (int(facts.get("size") or 0), int(seconds * 1e6) * 1000 if seconds >= 0 else -1, number)


@cache
def _of_protocol(protocol: str) -> Any:
    import fsspec

    return fsspec.filesystem(protocol, use_listings_cache=False)


def _system(path: Path) -> Any:
    protocol = path.parts[0].rstrip(":")
    try:
        return _of_protocol(protocol)
    except ImportError as error:
        hint = f"pip install 'c2srt[{protocol}]'"
        raise UsageError(f"a package is missing ({error})", where=address(path), hint=hint) from None
    except Exception as error:
        _tell(path, error)


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Whatever a bucket answers, as an error for the user."""
    try:
        yield
    except C2srtError:
        raise
    except Exception as error:
        _tell(path, error)


def _tell(path: Path, error: Exception) -> NoReturn:
    """Raise what an answer means for the user."""
    said, where = " ".join(str(error).split()) or type(error).__name__, address(path)
    if "Credential" in type(error).__name__ and not isinstance(error, C2srtError):
        ways = "aws configure, AWS_PROFILE or AWS_ACCESS_KEY_ID" if where.startswith("s3") else "gcloud auth login"
        raise InputError(f"there are no credentials for it ({said})", where=where, hint=ways) from error
    if isinstance(error, FileNotFoundError):
        raise InputError("there is no such bucket or folder", where=where, hint="check its name") from error
    if isinstance(error, PermissionError):
        hint = "check the credentials, and what they may do there"
        raise InputError(f"access is denied ({said})", where=where, hint=hint) from error
    raise ServiceError(f"cannot be reached ({said})", where=where, hint=AGAIN) from error


def _code(error: Exception) -> str:
    """The service's own name of an answer; empty where it gives none."""
    response = getattr(error.__cause__, "response", None)
    return str(response["Error"].get("Code", "")) if isinstance(response, dict) and "Error" in response else ""
