"""Photographs that a vocabulary had no label for: they get no XMP sidecar, so it stands in a file of their folder.

``.c2srt-xmp`` has a line in JSON for each, and is only there while there are any.
"""

import json
from collections.abc import Callable
from pathlib import Path

from c2srt_cli.artifacts import Stamp, atomic_write

RECORD = ".c2srt-xmp"


class Untagged:
    """The record of a folder.

    Args:
        folder: Where the sidecars lie.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / RECORD
        self._lines: dict[tuple[str, str], tuple[str, Stamp]] = {}
        try:
            lines = self._path.read_bytes().splitlines()
        except OSError:
            lines = []
        for line in lines:
            try:
                value = json.loads(line)
                size, mtime, ctime, sha256 = value["stamp"]
                stamp = Stamp(int(size), int(mtime), int(ctime), str(sha256))
                self._lines[str(value["vocabulary"]), str(value["path"])] = str(value["decision"]), stamp
            except (ValueError, TypeError, KeyError, RecursionError):
                continue  # what is not understood is tagged again
        self._before = dict(self._lines)

    def stamp(self, vocabulary: str, name: str, decision: str) -> Stamp | None:
        """The version of a photograph for which a vocabulary had no label; None where it is not known to have none."""
        made = self._lines.get((vocabulary, name))
        return made[1] if made is not None and decision and made[0] == decision else None

    def note(self, vocabulary: str, name: str, decision: str, stamp: Stamp | None) -> None:
        """Remember that there is no label; forget it where the stamp is None."""
        self._lines.pop((vocabulary, name), None)
        if decision and stamp is not None:
            self._lines[vocabulary, name] = decision, stamp

    def save(self, keep: Callable[[str, str], bool]) -> None:
        """Write what has changed, without the lines that are not to be kept, by vocabulary and path.

        Raises:
            OSError: it cannot be written.
        """
        left = {key: made for key, made in sorted(self._lines.items()) if keep(*key)}
        if left == self._before:
            return
        if not left:
            self._path.unlink(missing_ok=True)
            return
        with atomic_write(self._path) as temporary, temporary.open("w", encoding="ascii") as file:
            for (vocabulary, name), (decision, stamp) in left.items():
                line = {"path": name, "vocabulary": vocabulary, "decision": decision, "stamp": stamp}
                file.write(json.dumps(line) + "\n")
