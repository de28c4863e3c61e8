"""``embeddings/`` on disk: self-describing shards, and an index that is derived from them.

Every shard carries its own rows in its header and appears whole (temporary name, fsync, rename), so a run that was
killed resumes from the shards alone. A row that a later shard repeats is superseded; an image that vanished loses its
row. What a folder says in two places must agree before anything of it is used.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache, partial
from itertools import groupby
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from c2srt_cli.artifacts import fingerprint, read_manifest
from c2srt_cli.backbone.tower import Tokens
from c2srt_cli.embeddings.index import AGAIN, INDEX, Row, read_index
from c2srt_cli.embeddings.manifest import EmbeddingOptions
from c2srt_cli.embeddings.shards import (
    DELETE,
    SHARD,
    Shard,
    read_shard,
    readable_shard,
    shard_numbers,
    shard_path,
    shard_tensors,
)
from c2srt_cli.embeddings.tensors import read_tensors
from c2srt_cli.errors import InputError

__all__ = ["KIND", "SCHEMA", "SHARD", "TEXT", "Row", "Store", "known_rows", "payload", "same_image"]

KIND = "embeddings"
SCHEMA = 1
TEXT = "text.safetensors"


@dataclass(frozen=True)
class Store:
    """Finished embeddings, open for reading.

    Attributes:
        folder: Where they lie.
        manifest: What they are, and the options they were made with.
        rows: The index, in the order of the images.
        options: The options, as records.
        shards: The headers of the shards that the index speaks of, by number.
    """

    folder: Path
    manifest: dict[str, Any]
    rows: list[Row]
    options: EmbeddingOptions
    shards: Mapping[int, Shard]
    _intact: set[int] = field(default_factory=set)

    @classmethod
    def open(cls, folder: Path) -> "Store":
        """Open finished embeddings. Shards are only checked by their headers: `batches` and `verify` read them.

        Raises:
            InputError: there are none, they are unfinished, of another layout, damaged, or index and shards differ.
        """
        manifest = read_manifest(folder, KIND, SCHEMA)
        options = EmbeddingOptions.of_manifest(folder, manifest, "embed the images again, with --overwrite")
        rows = read_index(folder)
        shards = {number: read_shard(folder, number, options) for number in sorted({row.shard for row in rows} - {-1})}
        there = {(number, row.path): row for number, shard in shards.items() for row in shard.rows}
        problems = []
        for number, row in enumerate(rows):
            own = there.get((row.shard, row.path))
            if row.shard >= 0 and own is None:
                problems.append(f"row {number}, {row.path!r}: it is not in {shard_path(folder, row.shard).name}")
            elif own is not None and not same_image(row, own):
                problems.append(f"row {number}, {row.path!r}: {_differing(row, own)} in its shard")
        if problems:
            raise InputError(
                "index and shards contradict each other",
                where=str(folder / INDEX),
                problems=problems,
                hint=AGAIN,
            )
        return cls(folder, manifest, rows, options, shards)

    def verify(self) -> int:
        """Read every row, and compare each shard with the checksum it was written with.

        Returns:
            The number of images, failures included.

        Raises:
            InputError: naming the first shard that is damaged.
        """
        for number, shard in self.shards.items():
            shard_tensors(self.folder, number, shard.sha256)
        return len(self.rows)

    def batches(
        self, rows: Sequence[Row], size: int, *, checked: bool = True
    ) -> Iterator[tuple[list[Row], Tokens, Tensor]]:
        """Read rows in their order, ``size`` at a time, from whatever shards they lie in.

        Args:
            rows: Some of the store's.
            size: Of a batch.
            checked: Compare the checksum of each shard, for which all of it is read; else only the rows are, and
                must be finite.

        Yields:
            The rows, their tokens ``(n, T, W)`` and global embeddings ``(n, D)``.

        Raises:
            InputError: a shard is damaged.
        """
        shard = lru_cache(maxsize=8)(partial(self._tensors, checked=checked))  # mapped, not read: cheap to hold
        for start in range(0, len(rows), size):
            batch = list(rows[start : start + size])
            runs = [list(run) for _, run in groupby(batch, lambda row: row.shard)]
            parts = [_rows_of(shard(run[0].shard), [row.row for row in run]) for run in runs]
            if not checked:
                for run, part in zip(runs, parts, strict=True):
                    _check_finite(shard_path(self.folder, run[0].shard), *part.values())
            joined = {name: torch.cat([part[name] for part in parts]) for name in parts[0]} if runs[1:] else parts[0]
            yield batch, Tokens(x=joined.get("tokens"), local=joined.get("local")), joined["global"]

    def global_embeddings(self, rows: Sequence[Row]) -> Iterator[tuple[list[int], Tensor]]:
        """Those of some rows, shard by shard, without reading anything else: checksums are not compared.

        Yields:
            Places among the rows, and their global embeddings ``(n, D)``.

        Raises:
            InputError: a shard is damaged.
        """
        places: dict[int, list[int]] = {}
        for place, row in enumerate(rows):
            places.setdefault(row.shard, []).append(place)
        for number, some in places.items():
            path = shard_path(self.folder, number)
            found = read_tensors(path, None, DELETE, names=("global",))["global"]
            _check_finite(path, found)
            yield some, found[[rows[place].row for place in some]]

    def _tensors(self, number: int, *, checked: bool) -> dict[str, Tensor]:
        """Tensors of a shard, whose checksum is compared the first time, if at all."""
        known = number in self._intact or not checked
        tensors = shard_tensors(self.folder, number, None if known else self.shards[number].sha256)
        if checked:
            self._intact.add(number)
        return tensors


def store_fingerprint(store: Store) -> str:
    """sha256 over what was embedded, how, and the checksums of the shards."""
    shards = [[number, shard.sha256] for number, shard in store.shards.items()]
    return fingerprint([store.options.deciding(), shards])


def _check_finite(path: Path, *tensors: Tensor) -> None:
    if not all(tensor.isfinite().all() for tensor in tensors):
        raise InputError("is damaged: not all of its numbers are finite", where=str(path), hint=DELETE)


def _rows_of(tensors: dict[str, Tensor], rows: list[int]) -> dict[str, Tensor]:
    """Some rows of every tensor of a shard: a view where they follow each other."""
    consecutive = rows == list(range(rows[0], rows[0] + len(rows)))
    where = slice(rows[0], rows[0] + len(rows)) if consecutive else torch.tensor(rows)
    return {name: tensor[where] for name, tensor in tensors.items()}


def payload(folder: Path) -> list[Path]:
    """Every file that `embed` wrote into ``folder``, but for the manifest."""
    there = [folder / name for name in (INDEX, TEXT) if (folder / name).exists()]
    return [*there, *(shard_path(folder, number) for number in shard_numbers(folder))]


def same_image(row: Row, other: Row) -> bool:
    """Whether two rows differ in nothing but the times at which the file was touched."""
    return replace(row, mtime_ns=other.mtime_ns, ctime_ns=other.ctime_ns) == other


def _differing(row: Row, other: Row) -> str:
    """The first field in which two rows differ, beside those times."""
    there, here = asdict(other), asdict(row)
    name = next(name for name in here if name not in ("mtime_ns", "ctime_ns") and here[name] != there[name])
    return f"{name} is {here[name]!r}, {there[name]!r}"


def known_rows(folder: Path, options: EmbeddingOptions) -> dict[str, Row]:
    """The newest row of every path: from the shards' headers, with the times of the index."""
    known: dict[str, Row] = {}
    for number in shard_numbers(folder):
        shard = readable_shard(folder, number, options)
        if shard is not None:
            known.update((row.path, row) for row in shard.rows)
    try:
        index = read_index(folder)
    except InputError:
        index = []
    known.update((row.path, row) for row in index if row.path in known and same_image(row, known[row.path]))
    return known
