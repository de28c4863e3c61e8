"""``embeddings/`` on disk: parts of self-describing shards with indexes that are derived from them, and one reader.

Every shard carries its own rows in its header and appears whole (temporary name, fsync, rename), so a run that was
killed resumes from the shards alone. What a folder says in two places must agree before anything of it is used: index
and header of a shard are compared when it is read first, by their checksums where both are as they were published, else
row by row.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from torch import Tensor

from c2srt_cli.artifacts import MANIFEST, fingerprint, read_manifest
from c2srt_cli.backbone.tower import Tokens
from c2srt_cli.embeddings.manifest import EmbeddingOptions
from c2srt_cli.embeddings.part import SCHEMA, Part, ShardFile, live_shards, part_files
from c2srt_cli.embeddings.shards import DELETE, read_shard, shard_path, shard_tensors
from c2srt_cli.embeddings.tensors import read_tensors
from c2srt_cli.errors import InputError
from c2srt_cli.parts.folder import part_numbers, part_path
from c2srt_cli.parts.index import AGAIN, INDEX, Row, read_index, rows_of
from c2srt_cli.parts.problems import PROBLEMS, read_problems
from c2srt_cli.threads import WORKERS, side_by_side

__all__ = ["KIND", "READABLE", "SCHEMA", "TEXT", "Row", "Store", "payload", "store_fingerprint"]

KIND = "embeddings"
#: Layouts that are read: the first has no parts.
READABLE = (1, SCHEMA)
TEXT = "text.safetensors"
#: Parts whose indexes are kept in memory.
_INDEXES = 4


@dataclass(frozen=True, eq=False)
class Store:
    """Finished embeddings, open for reading: of images by their places, 0 to ``len(store) - 1``.

    Attributes:
        folder: Where they lie.
        manifest: What they are, and the options they were made with.
        options: The options, as records.
        parts: In their order.
        failures: Images that have no embeddings.
        paths: Of the images that have, in their order.
        part: Place among the parts of each image, ``(N,)``.
        shard: Its shard there, ``(N,)``.
        row: Its row there, ``(N,)``.
    """

    folder: Path
    manifest: dict[str, Any]
    options: EmbeddingOptions
    parts: tuple[Part, ...]
    failures: tuple[Row, ...]
    paths: pa.LargeStringArray
    part: np.ndarray
    shard: np.ndarray
    row: np.ndarray
    _table: Callable[[int], pa.Table]
    _checked: set[tuple[int, int]] = field(default_factory=set)
    _intact: set[tuple[int, int]] = field(default_factory=set)

    @classmethod
    def open(cls, folder: Path) -> "Store":
        """Open finished embeddings, of which only the indexes are read.

        Raises:
            InputError: there are none, they are unfinished, of another layout or damaged.
        """
        manifest = read_manifest(folder, KIND, *READABLE)
        options = EmbeddingOptions.of_manifest(folder, manifest, "embed the images again, with --overwrite")
        parts = _parts(folder, manifest, options)
        paths, numbers, failures = [pa.array([], pa.large_string())], [np.empty((3, 0), np.int32)], list[Row]()
        tables = lru_cache(maxsize=_INDEXES)(lambda place: parts[place].index())
        with closing(side_by_side(tables, range(len(parts)), WORKERS, "read")) as read:
            for place, table in enumerate(read):
                failures += rows_of(table.filter(pc.equal(table["status"], "failed")))
                ok = table.filter(pc.equal(table["status"], "ok"))
                paths += ok["path"].cast(pa.large_string()).chunks
                own = [np.full(len(ok), place), ok["shard"].to_numpy(), ok["row"].to_numpy()]
                numbers.append(np.stack(own).astype(np.int32))
        failures += read_problems(folder)
        part, shard, row = np.concatenate(numbers, 1)
        del numbers  # before names take twice their memory
        store = cls(
            folder, manifest, options, parts, tuple(failures), pa.concat_arrays(paths), part, shard, row, tables
        )
        if len(store):  # whether the manifest speaks of these shards is seen in any
            read_shard(parts[store.part[0]].folder, int(store.shard[0]), options)
        return store

    def __len__(self) -> int:
        return len(self.paths)

    def take(self, places: np.ndarray) -> "Store":
        """Some of the images, in that order, without the failures."""
        some = {name: getattr(self, name)[places] for name in ("part", "shard", "row")}
        return replace(self, failures=(), paths=self.paths.take(pa.array(places)), **some)

    def find(self, paths: Sequence[str] | pa.LargeStringArray) -> np.ndarray:
        """Places of images by their paths; -1 where there is none."""
        wanted = paths if isinstance(paths, pa.Array) else pa.array(paths, pa.large_string())
        found = pc.index_in(self.paths, value_set=wanted).fill_null(-1).to_numpy(False)
        places = np.full(len(paths), -1, np.int64)
        there = np.flatnonzero(found >= 0)
        places[found[there]] = there
        return places

    def on_disk(self, places: np.ndarray) -> np.ndarray:
        """The order in which images lie on the disk: an index into ``places``."""
        return np.lexsort([numbers[places] for numbers in (self.row, self.shard, self.part)])

    def columns(self, *names: str) -> pa.Table:
        """Columns of the indexes, a row for each image.

        Raises:
            InputError: an index is damaged.
        """
        by_part = np.argsort(self.part, kind="stable")
        bounds = np.searchsorted(self.part[by_part], np.arange(len(self.parts) + 1))
        tables = [pa.table({name: [] for name in names})] if not len(self) else []
        for place, (start, stop) in enumerate(pairwise(bounds.tolist())):
            if start == stop:
                continue
            mine, table = by_part[start:stop], self._table(place)
            table = table.filter(pc.equal(table["status"], "ok"))
            own = np.stack([table["shard"].to_numpy(), table["row"].to_numpy()])
            order = np.lexsort(own[::-1])
            keys = own[0, order] << 31 | own[1, order]
            at = order[np.searchsorted(keys, self.shard[mine].astype(np.int64) << 31 | self.row[mine])]
            tables.append(table.select(names).take(pa.array(at)))
        places = np.empty(len(self), np.int64)
        places[by_part] = np.arange(len(self))
        found = pa.concat_tables(tables)
        return found if (np.diff(places) == 1).all() else found.take(pa.array(places))

    def verify(self) -> int:
        """Read every row, and compare each shard with the checksum it was written with.

        Returns:
            The number of images, failures included.

        Raises:
            InputError: naming the first shard that is damaged.
        """
        for place, part in enumerate(self.parts):
            for number in part.shards:
                part.check_shard(number, self._table(place), self.options)
                shard_tensors(part.folder, number, part.shards[number].sha256)
        return len(self) + len(self.failures)

    def batches(
        self, places: Sequence[int] | np.ndarray, size: int, *, checked: bool = True
    ) -> Iterator[tuple[np.ndarray, Tokens, Tensor]]:
        """Read images in their order, ``size`` at a time, from whatever shards they lie in.

        Args:
            places: Which.
            size: Of a batch.
            checked: Compare the checksum of each shard, for which all of it is read; else only the rows are, and
                must be finite.

        Yields:
            Their places, their tokens ``(n, T, W)`` and global embeddings ``(n, D)``.

        Raises:
            InputError: a shard is damaged.
        """
        tensors = lru_cache(maxsize=8)(lambda part, shard: self._tensors(part, shard, checked=checked))  # mapped: cheap
        places = np.asarray(places, np.int64)
        for start in range(0, len(places), size):
            batch = places[start : start + size]
            keys = zip(self.part[batch].tolist(), self.shard[batch].tolist(), self.row[batch].tolist(), strict=True)
            pieces = []
            for (part, shard), run in groupby(keys, lambda key: key[:2]):
                piece = _rows_of(tensors(part, shard), [row for _, _, row in run])
                if not checked:
                    _check_finite(shard_path(self.parts[part].folder, shard), *piece.values())
                pieces.append(piece)
            joined = {name: torch.cat([piece[name] for piece in pieces]) for name in pieces[0]}
            joined = joined if pieces[1:] else pieces[0]
            yield batch, Tokens(x=joined.get("tokens"), local=joined.get("local")), joined["global"]

    def global_embeddings(self) -> Iterator[tuple[np.ndarray, Tensor]]:
        """Those of all images, shard by shard, without reading anything else: checksums are not compared.

        Yields:
            Places, and their global embeddings ``(n, D)``.

        Raises:
            InputError: a shard is damaged.
        """
        order = self.on_disk(np.arange(len(self)))
        keys = np.stack([self.part[order], self.shard[order]])
        bounds = [0, *(np.flatnonzero((np.diff(keys) != 0).any(0)) + 1).tolist(), len(order)] if len(order) else [0]
        for start, stop in pairwise(bounds):
            part, shard = keys[:, start].tolist()
            self._check(part, shard)
            path = shard_path(self.parts[part].folder, shard)
            found = read_tensors(path, None, DELETE, names=("global",))["global"]
            _check_finite(path, found)
            yield order[start:stop], found[torch.from_numpy(self.row[order[start:stop]]).long()]

    def _check(self, part: int, number: int) -> None:
        """Compare the header of a shard with the index, once."""
        if (part, number) not in self._checked:
            if not self.parts[part].is_published(number):
                self.parts[part].check_shard(number, self._table(part), self.options)
            self._checked.add((part, number))

    def _tensors(self, part: int, number: int, *, checked: bool) -> dict[str, Tensor]:
        """Tensors of a shard, whose checksum is compared the first time, if at all."""
        self._check(part, number)
        known, folder = (part, number) in self._intact or not checked, self.parts[part].folder
        tensors = shard_tensors(folder, number, None if known else self.parts[part].shards[number].sha256)
        if checked:
            self._intact.add((part, number))
        return tensors


def _parts(folder: Path, manifest: dict[str, Any], options: EmbeddingOptions) -> tuple[Part, ...]:
    if manifest["schema"] != SCHEMA:
        shards = live_shards(read_index(folder / INDEX))
        sizes = {n: (shard_path(folder, n), read_shard(folder, n, options).sha256) for n in sorted(shards)}
        return (Part(folder, {n: ShardFile(size=p.stat().st_size, sha256=sha) for n, (p, sha) in sizes.items()}),)
    count, there = manifest.get("parts"), part_numbers(folder)
    if type(count) is not int or there != list(range(count)):
        what = f"lists {count!r} parts, and there are {len(there)}"
        raise InputError(f"its manifest {what}", where=str(folder / MANIFEST), hint=AGAIN)
    return tuple(Part.open(part_path(folder, number), options) for number in there)


def store_fingerprint(store: Store) -> str:
    """sha256 over what was embedded, how, and the checksums of the shards."""
    shards = [[number, shard.sha256] for part in store.parts for number, shard in part.shards.items()]
    return fingerprint([store.options.deciding(), shards])


def _check_finite(path: Path, *tensors: Tensor) -> None:
    # a sum is finite in a third of the time, where its terms are
    if not all(tensor.sum().isfinite() or tensor.isfinite().all() for tensor in tensors):
        raise InputError("is damaged: not all of its numbers are finite", where=str(path), hint=DELETE)


def _rows_of(tensors: dict[str, Tensor], rows: list[int]) -> dict[str, Tensor]:
    """Some rows of every tensor of a shard: a view where they follow each other."""
    consecutive = rows == list(range(rows[0], rows[0] + len(rows)))
    where = slice(rows[0], rows[0] + len(rows)) if consecutive else torch.tensor(rows)
    return {name: tensor[where] for name, tensor in tensors.items()}


def payload(folder: Path) -> list[Path]:
    """Every file that `embed` wrote into ``folder``, but for the manifest."""
    there = [folder / name for name in (TEXT, PROBLEMS) if (folder / name).exists()]
    parts = [path for number in part_numbers(folder) for path in part_files(part_path(folder, number))]
    return [*part_files(folder), *there, *parts]
