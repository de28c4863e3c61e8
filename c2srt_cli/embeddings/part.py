"""Parts of embeddings: an index, shards, and a manifest that says that they are whole."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from operator import attrgetter
from pathlib import Path
from typing import Annotated

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from c2srt_cli.artifacts import MANIFEST, file_sha256, manifest, read_manifest, write_json
from c2srt_cli.artifacts.hollow import is_hollow
from c2srt_cli.artifacts.records import Count, Record, Sha256, checked
from c2srt_cli.embeddings.manifest import EmbeddingOptions, Origin, strangers
from c2srt_cli.embeddings.shards import Shard, header_sha256, read_shard, readable_shard, shard_numbers, shard_path
from c2srt_cli.errors import InputError
from c2srt_cli.parts.index import AGAIN, INDEX, Row, read_index, rows_of, table_of, write_index

KIND = "part"
#: Layout of embeddings and of their parts.
SCHEMA = 2
_TIMES = ("mtime_ns", "ctime_ns")
#: All of a row but the times at which its file was touched.
_IMAGE = attrgetter(*(field.name for field in fields(Row) if field.name not in _TIMES))


class ShardFile(Record):
    """A shard as the manifest of its part has it.

    Attributes:
        size: Bytes of its file.
        sha256: Of its tensors, see `tensors.checksum`.
        header: sha256 of its header as it was when the index of the part agreed with it; None where that is not known.
    """

    size: Count
    sha256: Sha256
    header: Sha256 | None = None


class _Record(Record):
    options: Origin
    index: Sha256 | None = None  # parts of versions before this field are read without it
    shards: dict[Annotated[str, Field(pattern="^[0-9]{1,9}$")], ShardFile]


@dataclass(frozen=True)
class Part:
    """A part that is done.

    Attributes:
        folder: Where it lies.
        shards: Its shards by number.
        published: sha256 of the index that it was published with; None where that is not known.
    """

    folder: Path
    shards: Mapping[int, ShardFile]
    published: str | None = None

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
        shards = {int(number): file for number, file in sorted(record.shards.items(), key=_numeric)}
        return cls(folder, shards, record.index)

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

    @cached_property
    def index_is_published(self) -> bool:
        """Whether its index is, to the byte, the one that it was published with."""
        return self.published is not None and file_sha256(self.folder / INDEX) == self.published

    def is_published(self, number: int) -> bool:
        """Whether index and header of a shard are those that agreed once: seen in much less time than row by row."""
        file, path = self.shards[number], shard_path(self.folder, number)
        known = file.header is not None and _size(path) == file.size and self.index_is_published
        return known and header_sha256(path) == file.header

    def check_shard(self, number: int, index: pa.Table, options: EmbeddingOptions) -> None:
        """Compare the header of a shard with the index and the manifest, row by row.

        Raises:
            InputError: they do not agree, or it is damaged.
        """
        shard = read_shard(self.folder, number, options)
        problems = _contradictions(index, number, shard)
        if shard.sha256 != self.shards[number].sha256:
            problems.append(f"{shard_path(self.folder, number).name}: its checksum is not that of the manifest")
        if problems:
            raise InputError(
                "index and shards contradict each other",
                where=str(self.folder / INDEX),
                problems=problems,
                hint=AGAIN,
            )

    def tidy(self, index: pa.Table) -> bool:
        """Whether there are no shards but those that something is left of, and the manifest is of this index."""
        live = live_shards(index)
        whole = live == self.shards.keys() and live == set(shard_numbers(self.folder))
        return whole and (self.published is None or self.index_is_published)

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


def _contradictions(index: pa.Table, number: int, shard: Shard) -> list[str]:
    """What an index says otherwise of the images of a shard than its header."""
    there = {row.path: row for row in shard.rows}
    problems = []
    own = pc.and_(pc.equal(index["shard"], number), pc.not_equal(index["status"], "removed"))
    for row in rows_of(index.filter(own)):
        header = there.get(row.path)
        if header is None:
            problems.append(f"{row.path!r}: it is not in {shard_path(Path(), number).name}")
        elif not same_image(row, header):
            problems.append(f"{row.path!r}: {_differing(row, header)} in its shard")
    return problems


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
    known: Mapping[int, ShardFile] = {}
    if any(is_hollow(shard_path(folder, number)) for number in live):  # whose content lies in a bucket
        known = Part.open(folder, options).shards
    kept = pc.is_in(table["shard"], pa.array(sorted(live), pa.int64()))
    dead = pc.and_(pc.equal(table["status"], "removed"), pc.invert(kept))
    for name in ("shard", "row"):
        place = table.column_names.index(name)
        table = table.set_column(place, name, pc.if_else(dead, -1, table[name]))
    write_index(folder / INDEX, table)
    files = {number: known.get(number) or _file_of(folder, number, table, options) for number in sorted(live)}
    shards = {str(number): file.model_dump() for number, file in files.items()}
    said = {"shards": shards, "index": file_sha256(folder / INDEX)}
    write_json(folder / MANIFEST, manifest(KIND, SCHEMA, options.origin(), {}) | said)
    for number in shard_numbers(folder):
        if number not in live:
            shard_path(folder, number).unlink()


def _file_of(folder: Path, number: int, table: pa.Table, options: EmbeddingOptions) -> ShardFile:
    path, shard = shard_path(folder, number), read_shard(folder, number, options)
    agreed = not _contradictions(table, number, shard)
    return ShardFile(size=path.stat().st_size, sha256=shard.sha256, header=header_sha256(path) if agreed else None)


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
    return bool(_IMAGE(row) == _IMAGE(other))


def _differing(row: Row, other: Row) -> str:
    """The first field in which two rows differ, beside those times."""
    there, here = asdict(other), asdict(row)
    name = next(name for name in here if name not in _TIMES and here[name] != there[name])
    return f"{name} is {here[name]!r}, {there[name]!r}"


def part_files(folder: Path) -> list[Path]:
    """Index and shards of a part."""
    there = [folder / INDEX] if (folder / INDEX).exists() else []
    return [*there, *(shard_path(folder, number) for number in shard_numbers(folder))]
