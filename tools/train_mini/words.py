"""Words: those of the captions, and the names that labels are made of."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path

STOP = frozenset(
    """
a an the and or of in on at to with by for from is are was were be been being his her its their there it he she they
them this that these those as while into onto over under up down out off near next behind through one two three four
five several some many other another each both all very who which has have having it's s not no what looking look
looks sits sitting stands standing stand sit is's him himself about during after before something someone holding
holds wearing wears together top side front back around across along between against above below outside inside lot
bunch couple group piece pair different like just so can get getting going go large small little big various where
when you your we i my me that's old young new
""".split()  # noqa: SIM905
)


def tokens(caption: str) -> list[str]:
    """The words of a caption, lower case."""
    return re.findall(r"[a-z]+", caption.lower())


class Vocabulary:
    """Words and two-word phrases of captions, singular, with the photographs that have them.

    Attributes:
        words: The vocabulary, most frequent first.
    """

    def __init__(self, captions: Sequence[Sequence[str]], *, least: int = 8, least_phrases: int = 25) -> None:
        plain = Counter(word for texts in captions for text in texts for word in set(tokens(text)))
        self._known = plain
        singles: Counter[str] = Counter()
        phrases: Counter[str] = Counter()
        for texts in captions:
            found = [self._parts(text) for text in texts]
            singles.update({word for one, _ in found for word in one})
            phrases.update({phrase for _, two in found for phrase in two})
        kept = [(n, word) for word, n in singles.items() if n >= least]
        kept += [(n, word) for word, n in phrases.items() if n >= least_phrases]
        self.words = [word for _, word in sorted(kept, key=lambda pair: (-pair[0], pair[1]))]
        self._index = {word: i for i, word in enumerate(self.words)}

    def of(self, captions: Iterable[str]) -> list[int]:
        """Ids of the words of a photograph's captions."""
        parts = [part for text in captions for both in self._parts(text) for part in both]
        return sorted({self._index[part] for part in parts if part in self._index})

    def _parts(self, caption: str) -> tuple[list[str], list[str]]:
        words = [self.singular(word) for word in tokens(caption)]
        singles = [word for word in words if word not in STOP and len(word) > 2]
        pairs = pairwise(words)
        phrases = [f"{a} {b}" for a, b in pairs if a not in STOP and b not in STOP and len(a) > 2 and len(b) > 2]
        return singles, phrases

    def singular(self, word: str) -> str:
        """``dogs`` to ``dog`` where captions have both."""
        for end, instead in (("ies", "y"), ("es", ""), ("s", "")):
            stem = word.removesuffix(end) + instead
            if word.endswith(end) and len(stem) > 2 and not word.endswith("ss") and self._known[stem] >= 3:
                if end == "es" and self._known[word[:-1]] > self._known[stem]:
                    continue
                return stem
        return word


def read_names(wordnet: Path, shared: Path, everyday: Path) -> list[str]:
    """Names that labels are made of, unique, lower case: WordNet, Open Images, NUS-WIDE tags, LVIS, COCO, ImageNet."""
    names: dict[str, None] = {}
    for line in wordnet.read_text(encoding="utf-8").splitlines():
        names |= dict.fromkeys(part.strip().lower() for part in line.split("\t")[1].split(","))
    for line in (shared / "open-images/class-descriptions.csv").read_text(encoding="utf-8").splitlines():
        names[line.split(",", 1)[1].strip('" ').lower()] = None
    for part in ("nus-wide/Concepts81.txt", "nus-wide/TagList1k.txt", "coco/names80.txt", "clip-text-b32/lvis1203.txt"):
        for line in (shared / part).read_text(encoding="utf-8").splitlines():
            names[re.sub(r"[_()]+", " ", line).strip().lower()] = None
    for line in (shared / "teachers/imagenet1k-labels.txt").read_text(encoding="utf-8").splitlines():
        names |= dict.fromkeys(part.strip().lower() for part in line.split(","))
    names |= dict.fromkeys(line.strip().lower() for line in everyday.read_text(encoding="utf-8").splitlines())
    return [name for name in names if name and not name.startswith("#")]
