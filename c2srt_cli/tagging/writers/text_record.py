"""What c2srt has written into the text files of a folder: they hold words and nothing else, so it stands beside.

The record has one line for each vocabulary and each file, in JSON: to a vocabulary some of its labels, hashed; to a
file the sha256 of what was written, what each vocabulary gave, and what somebody has taken out. Lines are appended as
files are written, the last one holds, and at the end of a run each is there once, sorted. Sixty-four digits are the
line of a file written before vocabularies had names: a hash of its name and content.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from c2srt_cli.artifacts import Stamp, atomic_write

_LEGACY = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True)
class Given:
    """What a vocabulary gave a photograph: the lines, what decided them, and for which version of the photograph."""

    lines: tuple[str, ...]
    decision: str = ""
    stamp: Stamp = Stamp(-1, -1, -1)


@dataclass(frozen=True)
class Written:
    """What of a file is c2srt's: what each vocabulary gave, and the words that somebody has taken out."""

    given: Mapping[str, Given] = field(default_factory=dict)
    refused: tuple[str, ...] = ()


class TextRecord:
    """The record of a folder.

    Args:
        folder: Where the text files lie.
        name: Of the record.

    Attributes:
        folder: Where the text files lie.
        files: By name, relative to the folder: everything that a file may hold, by its sha256, the last one last.
        samples: Hashes of some labels of each vocabulary.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self.folder = folder
        self._path = folder / name
        self._legacy: set[str] = set()
        self.files: dict[str, dict[str, Written]] = {}
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
        written = Written(given, tuple(map(str, value.get("refused", ()))))
        self._hold(str(value["file"]), str(value["sha256"]), written)

    def _hold(self, name: str, content: str, written: Written) -> None:
        there = self.files.setdefault(name, {})
        there.pop(content, None)
        there[content] = written

    def last(self, name: str) -> Written:
        """What was written into a file last; nothing where it is not known."""
        return list(self.files[name].values())[-1] if name in self.files else Written()

    def holds(self, name: str, data: bytes) -> bool:
        """Whether a file holds what was written into it last."""
        return name in self.files and sha256(data) == list(self.files[name])[-1]

    def knows(self, name: str, data: bytes, vocabulary: str) -> Written | None:
        """What of a file's content is c2srt's, where it has written just this, or None.

        A file without a name for what it says is the vocabulary's.
        """
        if name in self.files:
            return self.files[name].get(sha256(data))
        mark = hashlib.sha256(name.encode() + b"\0" + data).hexdigest()
        if mark not in self._legacy:
            return None
        self._hold(
            name, sha256(data), Written({vocabulary: Given(tuple(data.decode("utf-8", "replace").splitlines()))})
        )
        return self.last(name)

    def note(self, name: str, data: bytes, written: Written) -> None:
        """Remember what a file is about to hold: a run that is killed in between must know its own file again."""
        if self.holds(name, data) and self.last(name) == written:
            return
        self._hold(name, sha256(data), written)
        self._append(_file_line(name, sha256(data), written))

    def forget(self, name: str, vocabularies: Iterable[str]) -> None:
        """Forget what vocabularies gave a file; and the file, where nothing else is to be remembered of it."""
        there = self.last(name)
        given = {one: what for one, what in there.given.items() if one not in set(vocabularies)}
        if given or there.refused:
            self._hold(name, list(self.files[name])[-1], Written(given, there.refused))
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
        lines += [_file_line(name, list(one)[-1], self.last(name)) for name, one in sorted(self.files.items())]
        data = "".join(lines).encode("ascii")
        if self._path.exists() and self._path.read_bytes() != data:
            with atomic_write(self._path) as temporary:
                temporary.write_bytes(data)


def sha256(data: bytes) -> str:
    """Of what a file holds."""
    return hashlib.sha256(data).hexdigest()


def _sample_line(vocabulary: str, sample: Iterable[str]) -> str:
    return json.dumps({"vocabulary": vocabulary, "sample": list(sample)}) + "\n"


def _file_line(name: str, content: str, written: Written) -> str:
    each = {
        vocabulary: [one.decision, one.stamp.size, one.stamp.mtime_ns, one.stamp.sha256, list(one.lines)]
        for vocabulary, one in sorted(written.given.items())
    }
    refused = {"refused": list(written.refused)} if written.refused else {}
    return json.dumps({"file": name, "sha256": content, "given": each} | refused) + "\n"
