"""safetensors files with a record of ours in their header, and the checksum of their tensors in that record."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from c2srt_cli.artifacts import atomic_write
from c2srt_cli.artifacts.records import Record, Sha256, parse
from c2srt_cli.errors import InputError

#: The one entry of a file's header; several would stand there in any order, and no two runs would write the same bytes.
HEADER = "c2srt"

R = TypeVar("R", bound="TensorRecord")
#: Type, as safetensors calls it, and shape of each tensor, by its name.
Layout = dict[str, tuple[str, tuple[int, ...]]]


class TensorRecord(Record):
    """What stands in every header.

    Attributes:
        sha256: Of the tensors, see `checksum`; None in files of versions that did not write it.
    """

    sha256: Sha256 | None = None


@dataclass(frozen=True, slots=True)
class TensorHeader(Generic[R]):
    """The header of a file: its record, and what tensors it says that it holds."""

    record: R
    layout: Layout


def checksum(tensors: Mapping[str, Tensor]) -> str:
    """sha256 (hex) over the bytes of tensors, in the order of their names."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(tensors[name].contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def write_tensors(path: Path, tensors: dict[str, Tensor], record: Mapping[str, Any]) -> None:
    """Write tensors on the CPU, atomically, with ``record`` and their checksum as JSON in the header.

    Raises:
        OSError: the disk is full, or the like.
    """
    text = json.dumps({**record, "sha256": checksum(tensors)})
    with atomic_write(path) as temporary:
        temporary.write_bytes(save(tensors, {HEADER: text}))  # its save_file has temporary files of its own


def read_header(path: Path, kind: type[R], hint: str | None = None) -> TensorHeader[R]:
    """The header alone.

    Raises:
        InputError: the file is missing, no safetensors file, or its record is not of that kind.
    """
    try:
        with safe_open(path, "pt") as file:
            slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
            layout = {name: (str(part.get_dtype()), tuple(part.get_shape())) for name, part in slices.items()}
            text = (file.metadata() or {}).get(HEADER)
    except (OSError, SafetensorError, ValueError) as error:
        raise _unreadable(path, error, hint) from None
    if text is None:
        raise InputError("holds no record of c2srt", where=str(path), hint=hint)
    return TensorHeader(parse(kind, text, path, hint), layout)


def read_tensors(
    path: Path, sha256: str | None, hint: str | None = None, names: Sequence[str] = ()
) -> dict[str, Tensor]:
    """The tensors, mapped into memory rather than read.

    Args:
        path: The file.
        sha256: What `checksum` must find; None where it is not known, or was found before.
        hint: What to do if they cannot be used.
        names: Of those that are wanted, where not all are.

    Raises:
        InputError: the file is missing or damaged.
    """
    try:
        with safe_open(path, "pt") as file:
            tensors = {name: file.get_tensor(name) for name in names or file.keys()}
    except (OSError, SafetensorError, ValueError, RuntimeError, TypeError) as error:  # torch's, for types it has not
        raise _unreadable(path, error, hint) from None
    if sha256 is not None and checksum(tensors) != sha256:
        raise InputError("is damaged: its checksum is another one", where=str(path), hint=hint)
    return tensors


def _unreadable(path: Path, error: Exception, hint: str | None) -> InputError:
    if isinstance(error, FileNotFoundError):
        return InputError("no such file", where=str(path), hint=hint)
    return InputError(f"cannot be read as safetensors ({error})", where=str(path), hint=hint)
