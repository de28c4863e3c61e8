"""Results on disk while a run goes on, so that a killed run resumes where it was."""

import base64
import json
import math
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Annotated, Any, BinaryIO

import numpy as np
from pydantic import Field, JsonValue

from c2srt_cli.artifacts import Stamp, check_same, flush, still_holds, sync_folder
from c2srt_cli.artifacts.records import Count, Probability, Record, Text, parse
from c2srt_cli.errors import InputError
from c2srt_cli.tagging.job import what_decides
from c2srt_cli.tagging.record import FailedImage, Tag, TaggedImage
from c2srt_cli.tagging.sources import Item

SCHEMA = 2
#: Seconds between two fsyncs, which take a good part of the time where batches are quick or the disk is a slow one.
SYNC = 1.0
#: Of a tag: which label, its score, probability and share.
_Tag = tuple[Count, Annotated[float, Field(allow_inf_nan=False)], Probability | None, Probability | None]


class _Line(Record):
    """A line of a journal: a result of an image, or the end of a batch."""

    path: Text = ""
    stamp: Stamp = Stamp(-1, -1, -1)
    tags: tuple[_Tag, ...] | None = None
    scores: Text | None = None
    explanation: list[dict[str, JsonValue]] | None = None
    reason: Text = ""
    detail: str = ""
    commit: Count | None = None


@dataclass(frozen=True)
class Header:
    """The first line of a journal.

    Attributes:
        options: Under which it was begun.
        fresh: Whether its run keeps nothing of an earlier result.
    """

    options: dict[str, Any]
    fresh: bool


def read_header(path: Path) -> Header | None:
    """How the journal at ``path`` was begun; None where there is none that can be read."""
    try:
        with path.open("rb") as file:
            first = file.readline()
        value = json.loads(first) if first.endswith(b"\n") else None
    except (OSError, ValueError):
        return None
    if not isinstance(value, dict) or value.get("journal") != SCHEMA or not isinstance(value.get("options"), dict):
        return None
    return Header(value["options"], value.get("fresh") is True)


@dataclass(frozen=True, slots=True)
class Entry:
    """Where an image's result stands in the journal, and the version of the image that it was made from."""

    offset: int
    stamp: Stamp


class Journal:
    """An append-only file of results, committed batch by batch.

    The first line holds the options. A batch is its lines and a ``commit`` line, written at once, and fsynced where
    nothing has been for `SYNC` seconds: a kill costs the batches in flight, a power cut what was done in these seconds
    too. Whatever follows the last commit is cut off when the journal is opened again.

    Args:
        path: The journal's file.
        options: Of the run; a journal of others that decide the results (`job.what_decides`) is refused.
        labels: Names by index.
        fresh: Whether the run keeps nothing of an earlier result.

    Raises:
        InputError: the journal there was written under other options, or is not a journal.
    """

    def __init__(self, path: Path, options: Mapping[str, Any], labels: Sequence[str], *, fresh: bool = False) -> None:
        self.path = path
        self._labels = labels
        self._index = {label: i for i, label in enumerate(labels)}
        #: Whether results have every score, and reasons; None where the options do not say.
        self._every, self._explained = options.get("all_scores"), options.get("explain")
        self.root = Path(str(options.get("root", "")))
        self.entries: dict[str, Entry] = {}
        self._synced = -math.inf
        header = json.dumps({"journal": SCHEMA, "options": options, "fresh": fresh}, sort_keys=True).encode() + b"\n"
        end = self._recover(options) if path.exists() else 0
        self._file: BinaryIO = path.open("r+b" if end else "w+b")
        try:
            self._file.truncate(end)
            if not end:
                self._file.write(header)
                self._sync()
                sync_folder(path.parent)
        except BaseException:
            self._file.close()
            raise

    def _recover(self, options: Mapping[str, Any]) -> int:
        """Read what is committed; the offset where the next line goes."""
        begun = read_header(self.path)
        with self.path.open("rb") as file:
            if not file.readline().endswith(b"\n"):
                return 0  # killed while the header was written
            if begun is None:
                raise InputError(
                    "is not a journal of this version", where=str(self.path), hint="--overwrite starts again"
                )
            check_same(self.path, what_decides(begun.options), what_decides(json.loads(json.dumps(options))))
            self.root = Path(str(begun.options.get("root", "")))
            end = offset = file.tell()
            pending: dict[str, Entry] = {}
            for line in file:
                try:
                    found = parse(_Line, line if line.endswith(b"\n") else b"", self.path)
                    if found.commit is None:
                        pending[self._decode(found).path] = Entry(offset, found.stamp)
                    elif found.commit != len(pending):
                        break
                except (InputError, ValueError):
                    break
                offset += len(line)
                if found.commit is not None:
                    self.entries.update(pending)
                    pending.clear()
                    end = offset
        return end

    def standing(self, items: Iterable[Item], root: Path) -> dict[str, Stamp]:
        """Versions of the images whose results are there and still hold, as they are to be recorded from now on."""
        found: dict[str, Stamp] = {}
        for item in items:
            entry = self.entries.get(item.name)
            stamp = None if entry is None else still_holds(root / item.name, item.stamp, entry.stamp)
            if stamp is not None:
                found[item.name] = stamp
        return found

    def append(self, results: Sequence[tuple[Item, TaggedImage | FailedImage]]) -> None:
        """Commit a batch of results, each with its image."""
        self._file.seek(0, os.SEEK_END)
        offset = self._file.tell()
        lines = []
        for item, result in results:
            line = json.dumps(self._encode(result) | {"stamp": item.stamp}).encode() + b"\n"
            self.entries[item.name] = Entry(offset, item.stamp)
            offset += len(line)
            lines.append(line)
        lines.append(b'{"commit": %d}\n' % len(results))
        self._file.write(b"".join(lines))
        self._file.flush()
        if time.monotonic() >= self._synced + SYNC:
            self._sync()

    def __getitem__(self, name: str) -> TaggedImage | FailedImage:
        """The result of an image."""
        self._file.seek(self.entries[name].offset)
        return self._decode(parse(_Line, self._file.readline(), self.path))

    def _encode(self, result: TaggedImage | FailedImage) -> dict[str, Any]:
        if isinstance(result, FailedImage):
            detail = result.detail.encode(errors="replace").decode()  # what is said of names that are no text
            return {"path": result.path, "reason": result.reason, "detail": detail}
        tags = [[self._index[tag.label], tag.score, tag.probability, tag.share] for tag in result.tags]
        value: dict[str, Any] = {"path": result.path, "tags": tags}
        if result.scores is not None:  # a quarter of the size, and of the time, of numbers in decimal
            value["scores"] = base64.b64encode(np.array(result.scores, "<f4").tobytes()).decode()
        if result.explanation is not None:
            value["explanation"] = result.explanation
        return value

    def _decode(self, line: _Line) -> TaggedImage | FailedImage:
        """The result in a line.

        Raises:
            ValueError: it is none of a run with these labels and options.
        """
        if line.tags is None:
            if not line.reason:
                raise ValueError("neither tags nor a reason why there are none")
            return FailedImage(line.path, line.reason, line.detail)
        count, every = len(self._labels), line.scores is not None
        numbers = np.frombuffer(base64.b64decode(line.scores or ""), "<f4")
        if (
            len({tag[0] for tag in line.tags if tag[0] < count}) < len(line.tags)
            or self._every not in (None, every)
            or (every and (len(numbers) != count or not np.isfinite(numbers).all()))
            or self._explained not in (None, line.explanation is not None)
        ):
            raise ValueError("no result of this run")
        tags = tuple(Tag(self._labels[index], score, chance, share) for index, score, chance, share in line.tags)
        return TaggedImage(line.path, tags, tuple(numbers.tolist()) if every else None, line.explanation)

    def _sync(self) -> None:
        self._file.flush()
        flush(self._file.fileno(), self.path)
        self._synced = time.monotonic()

    def __enter__(self) -> "Journal":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
