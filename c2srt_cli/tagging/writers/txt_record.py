"""What c2srt has written into the text sidecars of a folder: they hold labels and nothing else, so it stands beside.

``.c2srt-txt`` in the folder has one line for each vocabulary and each file, in JSON: to a vocabulary some of its
labels, hashed; to a file the sha256 of what was written, and what each vocabulary gave. Lines are appended as files are
written, the last one holds, and at the end of a run each is there once, sorted. Sixty-four digits are the line of a
file written before vocabularies had names: a hash of its name and content.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from c2srt_cli.artifacts import Stamp, atomic_write

RECORD = ".c2srt-txt"

_LEGACY = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True)
class Given:
    """What a vocabulary gave a photograph: the lines, what decided them, and for which version of the photograph."""

    lines: tuple[str, ...]
    decision: str = ""
    stamp: Stamp = Stamp(-1, -1, -1)


@dataclass
class Written:
    """What was written into a file: sha256 of everything it may hold, and what each vocabulary gave."""

    contents: list[str] = field(default_factory=list)
    given: Mapping[str, Given] = field(default_factory=dict)


class TxtRecord:
    """The record of a folder.

    Args:
        folder: Where the sidecars lie.

    Attributes:
        folder: Where the sidecars lie.
        files: By name, relative to the folder.
        samples: Hashes of some labels of each vocabulary.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._path = folder / RECORD
        self._legacy: set[str] = set()
        self.files: dict[str, Written] = {}
        self.samples: dict[str, tuple[str, ...]] = {}
        try:
            lines = self._path.read_bytes().decode("ascii", "replace").splitlines()
        except FileNotFoundError:
            lines = []
        for line in lines:
            if _LEGACY.fullmatch(line):
                self._legacy.add(line)
            else:
                try:
                    self._read(json.loads(line))
                except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
                    continue  # what is not understood vouches for nothing

    def _read(self, value: Any) -> None:
        if "vocabulary" in value:
            self.samples[str(value["vocabulary"])] = tuple(map(str, value["sample"]))
            return
        given = {
            str(name): Given(tuple(map(str, lines)), str(decision), Stamp(int(size), int(mtime), -1, str(sha256)))
            for name, (decision, size, mtime, sha256, lines) in value["given"].items()
        }
        contents = self.files[value["file"]].contents if value["file"] in self.files else []
        self.files[str(value["file"])] = Written([*contents, str(value["sha256"])], given)

    def knows(self, name: str, data: bytes, vocabulary: str) -> bool:
        """Whether c2srt has written just this into a file; without a name for what it says, it is the vocabulary's."""
        if name in self.files:
            return sha256(data) in self.files[name].contents
        mark = hashlib.sha256(name.encode() + b"\0" + data).hexdigest()
        if mark in self._legacy:
            lines = tuple(data.decode("utf-8", "replace").splitlines())
            self.files[name] = Written([sha256(data)], {vocabulary: Given(lines)})
        return mark in self._legacy

    def note(self, name: str, data: bytes, given: Mapping[str, Given]) -> None:
        """Remember what a file is about to hold: a run that is killed in between must know its own file again."""
        there = self.files.get(name, Written())
        if sha256(data) in there.contents and dict(there.given) == dict(given):
            return
        self.files[name] = Written([*there.contents, sha256(data)], given)
        self._append(_file_line(name, sha256(data), given))

    def forget(self, name: str, vocabularies: Iterable[str]) -> None:
        """Forget what vocabularies gave a file; and the file, where no other gave it anything."""
        there = self.files[name]
        given = {one: what for one, what in there.given.items() if one not in set(vocabularies)}
        if given:
            self.files[name] = Written(there.contents, given)
        else:
            del self.files[name]

    def note_sample(self, vocabulary: str, sample: tuple[str, ...]) -> None:
        """Remember labels of a vocabulary."""
        if self.samples.get(vocabulary) != sample:
            self.samples[vocabulary] = sample
            self._append(_sample_line(vocabulary, sample))

    def _append(self, line: str) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a", encoding="ascii") as file:
            file.write(line)

    def tidy(self) -> None:
        """Write every line once, sorted; a record of no file goes."""
        if not self.files and not self._legacy:
            self._path.unlink(missing_ok=True)
            return
        lines = sorted(mark + "\n" for mark in self._legacy)
        lines += [_sample_line(name, sample) for name, sample in sorted(self.samples.items())]
        lines += [_file_line(name, one.contents[-1], one.given) for name, one in sorted(self.files.items())]
        data = "".join(lines).encode("ascii")
        if self._path.exists() and self._path.read_bytes() != data:
            with atomic_write(self._path) as temporary:
                temporary.write_bytes(data)


def sha256(data: bytes) -> str:
    """Of what a file holds."""
    return hashlib.sha256(data).hexdigest()


def _sample_line(vocabulary: str, sample: Iterable[str]) -> str:
    return json.dumps({"vocabulary": vocabulary, "sample": list(sample)}) + "\n"


def _file_line(name: str, content: str, given: Mapping[str, Given]) -> str:
    each = {
        vocabulary: [one.decision, one.stamp.size, one.stamp.mtime_ns, one.stamp.sha256, list(one.lines)]
        for vocabulary, one in sorted(given.items())
    }
    return json.dumps({"file": name, "sha256": content, "given": each}) + "\n"
