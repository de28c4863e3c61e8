"""Parts of embeddings: an index, shards, and a manifest that says that they are whole."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from c2srt_cli.artifacts import MANIFEST, manifest, read_manifest, write_json
from c2srt_cli.artifacts.records import Count, Record, Sha256, checked
from c2srt_cli.embeddings.manifest import EmbeddingOptions, Origin, strangers
from c2srt_cli.embeddings.shards import Shard, read_shard, readable_shard, shard_numbers, shard_path
from c2srt_cli.errors import InputError
from c2srt_cli.parts.index import AGAIN, INDEX, Row, read_index, rows_of, table_of, write_index

KIND = "part"
#: Layout of embeddings and of their parts.
SCHEMA = 2


class ShardFile(Record):
    """A shard as the manifest of its part has it.

    Attributes:
        size: Bytes of its file.
        sha256: Of its tensors, see `tensors.checksum`.
    """

    size: Count
    sha256: Sha256


class _Record(Record):
    options: Origin
    shards: dict[Annotated[str, Field(pattern="^[0-9]{1,9}$")], ShardFile]


@dataclass(frozen=True, slots=True)
class Part:
    """A part that is done.

    Attributes:
        folder: Where it lies.
        shards: Its shards by number.
    """

    folder: Path
    shards: Mapping[int, ShardFile]

    @classmethod
    def open(cls, folder: Path, options: EmbeddingOptions) -> "Part":
        """Read what its manifest says of it.

        Raises:
            InputError: it is not done, damaged, or one of other embeddings.
        """
        if not (folder / MANIFEST).exists():
            raise InputError("the part is missing or unfinished", where=str(folder), hint=AGAIN)
        value = read_manifest(folder, KIND, SCHEMA)
        record = checked(_Record, value, folder / MANIFEST, AGAIN)
        if problems := strangers(record.options, options, "part"):
            raise InputError("the part is one of other embeddings", where=str(folder), problems=problems, hint=AGAIN)
        return cls(folder, {int(number): file for number, file in sorted(record.shards.items(), key=_numeric)})

    def index(self) -> pa.Table:
        """Its index, of which the manifest knows all shards.

        Raises:
            InputError: it is damaged.
        """
        table = read_index(self.folder / INDEX)
        unknown = live_shards(table) - self.shards.keys()
        if unknown or pc.any(pc.equal(table["status"], "open")).as_py():
            what = f"speaks of shard {min(unknown)}, which the part has not" if unknown else "is that of an open part"
            raise InputError(f"the index {what}", where=str(self.folder / INDEX), hint=AGAIN)
        return table

    def checked_shard(self, number: int, index: pa.Table, options: EmbeddingOptions) -> Shard:
        """The header of a shard, once it agrees with the index and the manifest.

        Raises:
            InputError: it does not, or is damaged.
        """
        shard = read_shard(self.folder, number, options)
        name = shard_path(self.folder, number).name
        there = {row.path: row for row in shard.rows}
        problems = []
        own = pc.and_(pc.equal(index["shard"], number), pc.not_equal(index["status"], "removed"))
        for row in rows_of(index.filter(own)):
            header = there.get(row.path)
            if header is None:
                problems.append(f"{row.path!r}: it is not in {name}")
            elif not same_image(row, header):
                problems.append(f"{row.path!r}: {_differing(row, header)} in its shard")
        if shard.sha256 != self.shards[number].sha256:
            problems.append(f"{name}: its checksum is not that of the manifest")
        if problems:
            raise InputError(
                "index and shards contradict each other",
                where=str(self.folder / INDEX),
                problems=problems,
                hint=AGAIN,
            )
        return shard

    def tidy(self, index: pa.Table) -> bool:
        """Whether there are no shards but those that something is left of."""
        live = live_shards(index)
        return live == self.shards.keys() and live == set(shard_numbers(self.folder))

    def intact(self) -> bool:
        """Whether its shards are there, each of its size."""
        return all(_size(shard_path(self.folder, number)) == file.size for number, file in self.shards.items())


def _numeric(item: tuple[str, ShardFile]) -> int:
    return int(item[0])


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return -1


def live_shards(table: pa.Table) -> set[int]:
    """Shards that hold something which an index has not given up."""
    held = table["shard"].filter(pc.not_equal(table["status"], "removed"))
    return set(np.unique(held.to_numpy()).tolist()) - {-1}


def publish(folder: Path, table: pa.Table, options: EmbeddingOptions) -> None:
    """Write index and manifest of a part, and delete the shards that nothing is left of, in this order.

    A part that is done already is so at any moment: its manifest may name shards that its index does not.

    Raises:
        InputError: a shard is damaged.
    """
    live = live_shards(table)
    kept = pc.is_in(table["shard"], pa.array(sorted(live), pa.int64()))
    dead = pc.and_(pc.equal(table["status"], "removed"), pc.invert(kept))
    for name in ("shard", "row"):
        place = table.column_names.index(name)
        table = table.set_column(place, name, pc.if_else(dead, -1, table[name]))
    write_index(folder / INDEX, table)
    shards = {
        str(number): ShardFile(
            size=shard_path(folder, number).stat().st_size, sha256=read_shard(folder, number, options).sha256
        ).model_dump()
        for number in sorted(live)
    }
    write_json(folder / MANIFEST, manifest(KIND, SCHEMA, options.origin(), {}) | {"shards": shards})
    for number in shard_numbers(folder):
        if number not in live:
            shard_path(folder, number).unlink()


def known_rows(folder: Path, options: EmbeddingOptions) -> dict[str, Row]:
    """The newest row of every path of a part: from the shards' headers, with the times of the index."""
    known: dict[str, Row] = {}
    for number in shard_numbers(folder):
        shard = readable_shard(folder, number, options)
        if shard is not None:
            known.update((row.path, row) for row in shard.rows)
    try:
        index = rows_of(read_index(folder / INDEX)) if known else []
    except InputError:
        index = []
    known.update((row.path, row) for row in index if row.path in known and same_image(row, known[row.path]))
    return known


def assigned(folder: Path, options: EmbeddingOptions) -> pa.Table:
    """The index of a part that is not done; where it is lost, what its shards say."""
    try:
        return read_index(folder / INDEX)
    except InputError:
        return table_of(known_rows(folder, options).values())


def same_image(row: Row, other: Row) -> bool:
    """Whether two rows differ in nothing but the times at which the file was touched."""
    return replace(row, mtime_ns=other.mtime_ns, ctime_ns=other.ctime_ns) == other


def _differing(row: Row, other: Row) -> str:
    """The first field in which two rows differ, beside those times."""
    there, here = asdict(other), asdict(row)
    name = next(name for name in here if name not in ("mtime_ns", "ctime_ns") and here[name] != there[name])
    return f"{name} is {here[name]!r}, {there[name]!r}"


def part_files(folder: Path) -> list[Path]:
    """Index and shards of a part."""
    there = [folder / INDEX] if (folder / INDEX).exists() else []
    return [*there, *(shard_path(folder, number) for number in shard_numbers(folder))]
