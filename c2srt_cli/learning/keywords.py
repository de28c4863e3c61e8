"""Keywords that people have given their photographs: in sidecars, and in XMP and IPTC within."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from c2srt_cli.labels import Label, LabelSet
from c2srt_cli.progress import Progress
from c2srt_cli.tagging.keywords.embedded import read_embedded
from c2srt_cli.tagging.keywords.lists import Keyword, keyword_key, label_keyword, word_key
from c2srt_cli.tagging.keywords.packet import PacketError
from c2srt_cli.tagging.keywords.state import read_state
from c2srt_cli.tagging.record import FailedImage
from c2srt_cli.tagging.writers.context import WriteContext
from c2srt_cli.tagging.writers.shared_file import read
from c2srt_cli.tagging.writers.sidecar import Sidecars
from c2srt_cli.tagging.writers.xmp import SUFFIX
from c2srt_cli.text import fault, normalise

#: Photographs that a keyword needs to become a label by itself.
LEAST = 3
#: Photographs after which somebody is told how far it is.
_STEP = 100


def read_keywords(
    root: Path, names: Sequence[str], progress: Progress
) -> tuple[dict[str, list[Keyword]], list[FailedImage]]:
    """The keywords of photographs that are people's own: what c2srt has given is none.

    Args:
        root: What the names are relative to.
        names: The photographs.
        progress: Told how far it is.

    Returns:
        By name, of those that have any; and the photographs whose keywords cannot be read.
    """
    sidecars = Sidecars(names, SUFFIX, root, WriteContext(root, ()))
    found: dict[str, list[Keyword]] = {}
    failures = []
    for number, name in enumerate(names, 1):
        try:
            own = [] if name in sidecars.problems else _of_sidecar(root / sidecars[name])
            own += read_embedded(root / name).keywords if (root / name).is_file() else ()
        except (PacketError, OSError) as error:
            failures.append(FailedImage(name, "keywords", f"they cannot be read: {error}"))
            continue
        if own:
            found[name] = own
        if number % _STEP == 0:
            progress.advance(number, len(names))
    return found, failures


def _of_sidecar(path: Path) -> list[Keyword]:
    packet = read(path)
    if not packet or not packet.strip():
        return []
    return [keyword for keywords in read_state(packet).base.values() for keyword in keywords]


def labels_of(keywords: Mapping[str, Sequence[Keyword]]) -> LabelSet:
    """The labels that keywords are: words that at least `LEAST` photographs have, in alphabetical order."""
    counts: dict[str, int] = {}
    spelt: dict[str, str] = {}
    for own in keywords.values():
        words: dict[str, str] = {}
        for word in (keyword[-1] for keyword in own):  # flat ones, and the last level of paths
            words.setdefault(word_key(word), word)
        for key, word in words.items():
            name = normalise(word)
            if not name or fault(word) or "|" in name or name.startswith("#"):
                continue
            counts[key] = counts.get(key, 0) + 1
            spelt.setdefault(key, name)
    labels = {spelt[key].casefold(): spelt[key] for key in sorted(counts) if counts[key] >= LEAST}
    return LabelSet(tuple(map(Label, labels.values())))


def matched(keywords: Mapping[str, Sequence[Keyword]], labels: LabelSet) -> tuple[list[str], np.ndarray]:
    """Which labels the keywords of photographs are.

    A label is meant by its whole path, by its last level or by one of its synonyms, regardless of case.

    Returns:
        The photographs that have one of them, and ``(N, L)`` bool.
    """
    paths: dict[Keyword, int] = {}
    words: dict[str, int] = {}
    for column, label in enumerate(labels):
        paths.setdefault(keyword_key(label_keyword(label.name)), column)
        for wording in label.wordings:
            words.setdefault(word_key(wording), column)
    names, rows = [], []
    for name, own in keywords.items():
        row = np.zeros(len(labels), bool)
        for keyword in own:
            meant = paths.get(keyword_key(keyword), words.get(word_key(keyword[-1])))
            if meant is not None:
                row[meant] = True
        if row.any():
            names.append(name)
            rows.append(row)
    return names, np.array(rows, bool).reshape(len(names), len(labels))
