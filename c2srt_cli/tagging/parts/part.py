"""Parts of tags: an index, a Parquet file of the tags, and a manifest that says that they are whole."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import JsonValue

from c2srt_cli.artifacts import MANIFEST, Stamp, differences, file_sha256, manifest, read_manifest, write_json
from c2srt_cli.artifacts.hollow import is_hollow
from c2srt_cli.artifacts.records import Count, Record, Sha256, checked
from c2srt_cli.errors import InputError
from c2srt_cli.parts.folder import part_numbers, part_path
from c2srt_cli.parts.index import AGAIN, INDEX, assignment, read_index, rows_of, write_index
from c2srt_cli.tagging.job import what_decides

KIND, PART_KIND = "tags", "part of tags"
#: Layout of tags in parts.
SCHEMA = 1
TAGS = "tags.parquet"
#: Results while the part is worked on.
JOURNAL = "journal"


class _File(Record):
    size: Count
    sha256: Sha256


class _Record(Record):
    options: dict[str, JsonValue]
    tags: _File


@dataclass(frozen=True, slots=True)
class TagPart:
    """A part that is done.

    Attributes:
        folder: Where it lies.
        size: Bytes of its tags.
        sha256: Of its tags.
    """

    folder: Path
    size: int
    sha256: str

    @classmethod
    def open(cls, folder: Path, made: Mapping[str, Any]) -> "TagPart":
        """Read what its manifest says of it.

        Args:
            folder: Its own.
            made: What decides the tags that it must be one of.

        Raises:
            InputError: it is not done, damaged, or one of other tags.
        """
        if not (folder / MANIFEST).exists():
            raise InputError("the part is missing or unfinished", where=str(folder), hint=AGAIN)
        record = checked(_Record, read_manifest(folder, PART_KIND, SCHEMA), folder / MANIFEST, AGAIN)
        if problems := differences(record.options, made):
            raise InputError("the part is one of other tags", where=str(folder), problems=problems, hint=AGAIN)
        return cls(folder, record.tags.size, record.tags.sha256)

    @property
    def path(self) -> Path:
        """Its tags."""
        return self.folder / TAGS

    def index(self) -> pa.Table:
        """Its index, of which every image has its row among the tags.

        Raises:
            InputError: it is damaged.
        """
        table = read_index(self.folder / INDEX)
        rows = table["row"].filter(pc.equal(table["status"], "ok")).to_numpy()
        if len(np.unique(rows)) < len(rows) or pc.any(pc.equal(table["status"], "open")).as_py():
            raise InputError("the index is not that of a part", where=str(self.folder / INDEX), hint=AGAIN)
        return table

    def intact(self) -> bool:
        """Whether its tags are there, and of their size."""
        try:
            return self.path.stat().st_size == self.size
        except OSError:
            return False

    def live(self) -> np.ndarray:
        """Which rows of its tags are of images that have not gone, ``(n,)`` bool, once all of it is read and agrees.

        Raises:
            InputError: tags or index are damaged, or not of each other.
        """
        if not self.intact() or file_sha256(self.path) != self.sha256:
            raise InputError("is damaged: its checksum is another one", where=str(self.path), hint=AGAIN)
        with self.path.open("rb") as stream, pq.ParquetFile(stream) as file:
            there = file.read(columns=["path"])["path"]
        table = self.index()
        rows, names = table["row"].to_numpy(), table["path"]
        ok = pc.equal(table["status"], "ok").to_numpy()
        known = ok & (rows < len(there))
        same = pc.equal(names.filter(pa.array(known)), there.take(pa.array(rows[known]))).to_numpy()
        if not known[ok].all() or not same.all():
            odd = np.flatnonzero(ok & ~known).tolist() or np.flatnonzero(known)[~same].tolist()
            what = f"its index speaks of {names[odd[0]].as_py()!r} in row {rows[odd[0]]}, which its tags do not"
            raise InputError(what, where=str(self.folder), hint=AGAIN)
        live = np.zeros(len(there), bool)
        live[rows[ok]] = True
        return live


@dataclass(frozen=True)
class TagDataset:
    """Finished tags in parts.

    Attributes:
        options: They were given under.
        parts: In their order.
    """

    options: dict[str, Any]
    parts: tuple[TagPart, ...]

    @classmethod
    def open(cls, folder: Path) -> "TagDataset":
        """Open the parts, of which only the manifests are read.

        Raises:
            InputError: there are none, they are unfinished, of another layout or damaged.
        """
        found = read_manifest(folder, KIND, SCHEMA)
        count, there = found.get("parts"), part_numbers(folder)
        if type(count) is not int or there != list(range(count)):
            what = f"its manifest lists {count!r} parts, and there are {len(there)}"
            raise InputError(what, where=str(folder / MANIFEST), hint=AGAIN)
        made = what_decides(found["options"])
        return cls(found["options"], tuple(TagPart.open(part_path(folder, number), made) for number in there))

    @property
    def stamps(self) -> dict[str, Stamp]:
        """Versions of the images that have tags.

        Raises:
            InputError: an index is damaged.
        """
        tables = (part.index() for part in self.parts)
        rows = (row for table in tables for row in rows_of(table.filter(pc.equal(table["status"], "ok"))))
        return {row.path: Stamp(row.size, row.mtime_ns, row.ctime_ns, row.sha256) for row in rows}

    def verify(self) -> int:
        """Read all of it; the number of images that have tags.

        Raises:
            InputError: naming the first part that is damaged.
        """
        return sum(int(part.live().sum()) for part in self.parts)


def publish(folder: Path, table: pa.Table, made: Mapping[str, Any]) -> None:
    """Write index and manifest of a part whose tags are there, in this order."""
    tags = folder / TAGS
    if is_hollow(tags):  # its content lies in a bucket
        known = TagPart.open(folder, made)
        file = {"size": known.size, "sha256": known.sha256}
    else:
        file = {"size": tags.stat().st_size, "sha256": file_sha256(tags)}
    write_index(folder / INDEX, table)
    write_json(folder / MANIFEST, manifest(PART_KIND, SCHEMA, made, {}) | {"tags": file})


def assigned(folder: Path) -> pa.Table:
    """The index of a part that is not done; where it is lost, what its tags say."""
    try:
        return read_index(folder / INDEX)
    except InputError:
        pass
    try:
        with (folder / TAGS).open("rb") as stream, pq.ParquetFile(stream) as file:
            return assignment(file.read(columns=["path"])["path"])
    except (OSError, ValueError, KeyError):
        return assignment(pa.array([], pa.string()))
