"""What people have said of photographs stands: a tag that they refused is not given again, a confirmed one is."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from c2srt_cli.labels import LabelSet
from c2srt_cli.predict.profile import Verdict


class Verdicts:
    """Verdicts of some labels, by photograph.

    A photograph is known by its bytes wherever it is now, and by its place whatever other programs have written into
    it. Of verdicts that contradict each other the last holds.

    Args:
        labels: Those that are asked for.
        verdicts: What was said.
        judged: The folder that their paths were relative to.
        root: The folder that the photographs' names are relative to.
    """

    def __init__(self, labels: LabelSet, verdicts: Iterable[Verdict], judged: Path, root: Path) -> None:
        self._root, self._count = root.absolute(), len(labels)
        verdicts = tuple(verdicts)
        names = list(dict.fromkeys(one.label for one in verdicts))
        place = dict(zip(names, labels.match(LabelSet.of(names)), strict=True))
        self._by_sha256: dict[str, dict[int, int]] = {}
        self._by_place: dict[Path, dict[int, int]] = {}
        for one in verdicts:
            if place[one.label] >= 0:
                value = 1 if one.verdict == "yes" else -1
                self._by_sha256.setdefault(one.sha256, {})[place[one.label]] = value
                self._by_place.setdefault(judged.absolute() / one.path, {})[place[one.label]] = value

    def of(self, name: str, sha256: str) -> np.ndarray | None:
        """What was said of a photograph, ``(L,)``: 1 shows it, -1 does not, 0 nothing; None where nothing was said."""
        known = self._by_sha256.get(sha256) or self._by_place.get(self._root / name)
        if not known:
            return None
        found = np.zeros(self._count, np.int8)
        found[list(known)] = list(known.values())
        return found
