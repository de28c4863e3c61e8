"""``embeddings/`` on disk: self-describing shards, and an index that is derived from them.

Every shard carries its own rows in its header and appears whole (temporary name, fsync, rename), so a run that was
killed resumes from the shards alone. A row that a later shard repeats is superseded; an image that vanished loses its
row.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import lru_cache, partial
from itertools import groupby
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from c2srt_cli.artifacts import atomic_write, fingerprint, read_manifest
from c2srt_cli.backbone.tower import Tokens
from c2srt_cli.errors import InputError

KIND = "embeddings"
SCHEMA = 1
INDEX = "index.parquet"
TEXT = "text.safetensors"
#: Photographs of one shard, failures counted in: the most work that a kill can lose.
SHARD = 256
#: The one entry of a file's header; several would stand there in any order, and no two runs would write the same bytes.
HEADER = "c2srt"
AGAIN = "run the same c2srt embed again: it makes what is missing or cannot be read"


@dataclass(frozen=True, slots=True)
class Row:
    """One photograph in the index.

    Attributes:
        path: Relative to the root.
        size: Bytes of the file.
        mtime_ns: Its modification time, which programs may set.
        sha256: Of its bytes; empty where they could not be read.
        width: Of the upright picture, in pixels.
        height: Likewise.
        shard: Number of the shard that holds it.
        row: Its row there; -1 for a failure.
        status: ``ok`` or ``failed``.
        reason: Why it failed, a code of `errors.ImageError`.
        detail: The same in one line for people.
        ctime_ns: When the system last saw the file change, which no program sets; -1 where that is not known.
    """

    path: str
    size: int
    mtime_ns: int
    sha256: str
    width: int
    height: int
    shard: int
    row: int
    status: str
    reason: str = ""
    detail: str = ""
    ctime_ns: int = -1


def shard_path(folder: Path, number: int) -> Path:
    """Where shard ``number`` lies."""
    return folder / f"shard-{number:05d}.safetensors"


def shard_numbers(folder: Path) -> list[int]:
    """Numbers of the shards in ``folder``, ascending."""
    names = (re.fullmatch(r"shard-([0-9]{5,})\.safetensors", path.name) for path in folder.glob("shard-*"))
    return sorted(int(name[1]) for name in names if name)


def write_tensors(path: Path, tensors: dict[str, Tensor], header: dict[str, Any]) -> None:
    """Write a safetensors file, atomically, with ``header`` as JSON in its metadata.

    Raises:
        OSError: the disk is full, or the like.
    """
    with atomic_write(path) as temporary:
        try:
            save_file(tensors, temporary, metadata={HEADER: json.dumps(header)})
        except SafetensorError as error:
            raise OSError(str(error)) from error


@dataclass(frozen=True, slots=True)
class Shard:
    """What stands in a shard's header.

    Attributes:
        rows: Its photographs, failures included.
        complete: False where the user stopped the run within it.
        sha256: Of its tensors, see `checksum`.
    """

    rows: list[Row]
    complete: bool
    sha256: str


def checksum(tensors: dict[str, Tensor]) -> str:
    """sha256 (hex) over the bytes of tensors, in the order of their names."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(tensors[name].contiguous().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def write_shard(folder: Path, number: int, rows: Sequence[Row], tensors: dict[str, Tensor], *, complete: bool) -> None:
    """Write one shard; ``complete`` is False where the user stopped the run within it."""
    header = {"rows": [asdict(row) for row in rows], "complete": complete, "sha256": checksum(tensors)}
    write_tensors(shard_path(folder, number), tensors, header)


def read_shard(folder: Path, number: int) -> Shard | None:
    """The header of a shard; None where the file is damaged."""
    try:
        with safe_open(shard_path(folder, number), "pt") as file:
            header = json.loads((file.metadata() or {})[HEADER])
        rows = [Row(**row) for row in header["rows"]]
        return Shard(rows, bool(header["complete"]), str(header["sha256"]))
    except (OSError, SafetensorError, KeyError, TypeError, ValueError):
        return None


def read_tensors(folder: Path, number: int) -> dict[str, Tensor]:
    """Tensors of a shard, mapped into memory rather than read.

    Raises:
        InputError: the file is missing or damaged.
    """
    path = shard_path(folder, number)
    try:
        with safe_open(path, "pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    except (OSError, SafetensorError) as error:
        raise InputError(
            f"the shard cannot be read ({error})",
            where=str(path),
            hint=AGAIN,
        ) from None


def write_index(folder: Path, rows: Iterable[Row]) -> None:
    """Write ``index.parquet``, one line a photograph."""
    table = pd.DataFrame([asdict(row) for row in rows], columns=[field.name for field in fields(Row)])
    with atomic_write(folder / INDEX) as temporary:
        table.to_parquet(temporary, index=False)


def read_index(folder: Path) -> list[Row]:
    """Read ``index.parquet``.

    Raises:
        InputError: it is missing or damaged.
    """
    try:
        table = pd.read_parquet(folder / INDEX)
        return [Row(**{str(key): value for key, value in record.items()}) for record in table.to_dict("records")]
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f"the index cannot be read ({error})", where=str(folder / INDEX), hint=AGAIN) from None


@dataclass(frozen=True)
class Store:
    """Finished embeddings, open for reading.

    Attributes:
        folder: Where they lie.
        manifest: What they are, and the options they were made with.
        rows: The index, in the order of the photographs.
    """

    folder: Path
    manifest: dict[str, Any]
    rows: list[Row]

    @classmethod
    def open(cls, folder: Path) -> "Store":
        """Open finished embeddings.

        Raises:
            InputError: there are none, they are unfinished, of another layout, or damaged.
        """
        manifest = read_manifest(folder, KIND, SCHEMA)
        return cls(folder, manifest, read_index(folder))

    def verify(self) -> int:
        """Read every row, and compare each shard with the index and with the checksum it was written with.

        Returns:
            The number of photographs, failures included.

        Raises:
            InputError: naming the first shard that is missing, damaged, or not the one that the index speaks of.
        """
        wanted: dict[int, list[Row]] = {}
        for row in self.rows:
            if row.shard >= 0:
                wanted.setdefault(row.shard, []).append(row)
        for number, rows in wanted.items():
            tensors = read_tensors(self.folder, number)
            shard = read_shard(self.folder, number)
            there = {row.path: row for row in shard.rows} if shard else {}
            if (
                shard is None
                or checksum(tensors) != shard.sha256
                or any(row.path not in there or not same_photograph(row, there[row.path]) for row in rows)
            ):
                raise InputError(
                    "the shard is damaged", where=str(shard_path(self.folder, number)), hint=f"delete it, then {AGAIN}"
                )
        return len(self.rows)

    def batches(self, rows: Sequence[Row], size: int) -> Iterator[tuple[list[Row], Tokens, Tensor]]:
        """Read rows in their order, ``size`` at a time, from whatever shards they lie in.

        Yields:
            The rows, their tokens ``(n, T, W)`` and global embeddings ``(n, D)``.
        """
        shard = lru_cache(maxsize=8)(partial(read_tensors, self.folder))  # mapped, not read: cheap to hold
        for start in range(0, len(rows), size):
            batch = list(rows[start : start + size])
            runs = [list(run) for _, run in groupby(batch, lambda row: row.shard)]
            parts = [_rows_of(shard(run[0].shard), [row.row for row in run]) for run in runs]
            joined = {name: torch.cat([part[name] for part in parts]) for name in parts[0]} if runs[1:] else parts[0]
            yield batch, Tokens(x=joined.get("tokens"), local=joined.get("local")), joined["global"]


def store_fingerprint(store: Store) -> str:
    """sha256 over what was embedded, how, and the checksums of the shards."""
    shards = [
        [number, shard.sha256] for number in shard_numbers(store.folder) if (shard := read_shard(store.folder, number))
    ]
    return fingerprint([store.manifest["options"], shards])


def _rows_of(tensors: dict[str, Tensor], rows: list[int]) -> dict[str, Tensor]:
    """Some rows of every tensor of a shard: a view where they follow each other."""
    consecutive = rows == list(range(rows[0], rows[0] + len(rows)))
    where = slice(rows[0], rows[0] + len(rows)) if consecutive else torch.tensor(rows)
    return {name: tensor[where] for name, tensor in tensors.items()}


def payload(folder: Path) -> list[Path]:
    """Every file that `embed` wrote into ``folder``, but for the manifest."""
    there = [folder / name for name in (INDEX, TEXT) if (folder / name).exists()]
    return [*there, *(shard_path(folder, number) for number in shard_numbers(folder))]


def same_photograph(row: Row, other: Row) -> bool:
    """Whether two rows differ in nothing but the times at which the file was touched."""
    return replace(row, mtime_ns=other.mtime_ns, ctime_ns=other.ctime_ns) == other


def known_rows(folder: Path) -> dict[str, Row]:
    """The newest row of every path: from the shards' headers, with the times of the index."""
    known: dict[str, Row] = {}
    for number in shard_numbers(folder):
        shard = read_shard(folder, number)
        if shard is not None:
            known.update((row.path, row) for row in shard.rows)
    try:
        index = read_index(folder)
    except InputError:
        index = []
    known.update((row.path, row) for row in index if row.path in known and same_photograph(row, known[row.path]))
    return known
