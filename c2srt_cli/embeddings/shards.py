"""Shards: the tokens of up to 256 images, in a file that says of itself which images these are, and what."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from c2srt_cli.artifacts.records import Sha256
from c2srt_cli.embeddings.manifest import EmbeddingOptions, Origin, strangers
from c2srt_cli.embeddings.tensors import TensorRecord, read_header, read_tensors, write_tensors
from c2srt_cli.errors import InputError
from c2srt_cli.parts.index import AGAIN, Row, row_problems

#: Images of one shard, failures counted in: the most work that a kill can lose.
SHARD = 256
DELETE = f"delete it, then {AGAIN}"


class _Record(TensorRecord):
    rows: tuple[Row, ...]
    complete: bool
    sha256: Sha256
    made: Origin | None = None  # shards of versions before this field are read without it


@dataclass(frozen=True, slots=True)
class Shard:
    """What stands in a shard's header.

    Attributes:
        rows: Its images, failures included.
        complete: False where the user stopped the run within it.
        sha256: Of its tensors, see `tensors.checksum`.
    """

    rows: list[Row]
    complete: bool
    sha256: str


def shard_path(folder: Path, number: int) -> Path:
    """Where shard ``number`` lies."""
    return folder / f"shard-{number:05d}.safetensors"


def shard_numbers(folder: Path) -> list[int]:
    """Numbers of the shards in ``folder``, ascending."""
    names = (re.fullmatch(r"shard-([0-9]{5,9})\.safetensors", path.name) for path in folder.glob("shard-*"))
    return sorted(int(name[1]) for name in names if name and name[0] == shard_path(folder, int(name[1])).name)


def write_shard(
    folder: Path,
    number: int,
    rows: Sequence[Row],
    tensors: dict[str, Tensor],
    origin: dict[str, Any],
    *,
    complete: bool,
) -> None:
    """Write one shard.

    Args:
        folder: Where to.
        number: Of the shard.
        rows: Its images.
        tensors: What is stored of those that are ``ok``, in their order.
        origin: What it is made with, as `EmbeddingOptions.origin` gives it.
        complete: False where the user stopped the run within it.
    """
    record = {"rows": [asdict(row) for row in rows], "complete": complete, "made": origin}
    write_tensors(shard_path(folder, number), tensors, record)


def read_shard(folder: Path, number: int, options: EmbeddingOptions) -> Shard:
    """The header of a shard, once it agrees with itself, with its file and with the manifest.

    Raises:
        InputError: it is missing or damaged, or is one of other embeddings: everything that is wrong is named.
    """
    path = shard_path(folder, number)
    header = read_header(path, _Record, DELETE)
    record = header.record
    problems = [] if record.made is None else strangers(record.made, options)
    problems += row_problems(record.rows)
    good = [row for row in record.rows if row.status == "ok"]
    if any(row.status not in ("ok", "failed") for row in record.rows):
        problems.append("its images are said to be neither read nor failed")
    if any(row.shard != number for row in record.rows):
        problems.append(f"its images are said to be in shard {record.rows[0].shard}")
    if [row.row for row in good] != list(range(len(good))):
        problems.append("its images are not said to be in its rows, one after the other")
    wanted = {name: (dtype, (len(good), *shape)) for name, (dtype, shape) in options.layout.items()} if good else {}
    problems += [
        f"{name}: {_said(header.layout.get(name))} there, {_said(wanted.get(name))} by its header and the manifest"
        for name in sorted(header.layout.keys() | wanted)
        if header.layout.get(name) != wanted.get(name)
    ]
    if problems:
        raise InputError("the shard is not what it should be", where=str(path), problems=problems, hint=DELETE)
    return Shard(list(record.rows), record.complete, record.sha256)


def header_sha256(path: Path) -> str:
    """sha256 (hex) over the header of a shard, which says how long it is."""
    with path.open("rb") as file:
        length = file.read(8)
        return hashlib.sha256(length + file.read(int.from_bytes(length, "little"))).hexdigest()


def _said(tensor: tuple[str, tuple[int, ...]] | None) -> str:
    return "nothing" if tensor is None else f"{tensor[0]} {'x'.join(map(str, tensor[1]))}"


def readable_shard(folder: Path, number: int, options: EmbeddingOptions) -> Shard | None:
    """The header of a shard; None where it is not one of these embeddings, or damaged."""
    try:
        return read_shard(folder, number, options)
    except InputError:
        return None


def shard_tensors(folder: Path, number: int, sha256: str | None) -> dict[str, Tensor]:
    """Tensors of a shard, as `tensors.read_tensors` reads them.

    Raises:
        InputError: the file is missing or damaged.
    """
    return read_tensors(shard_path(folder, number), sha256, DELETE)
