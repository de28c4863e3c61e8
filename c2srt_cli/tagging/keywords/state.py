"""A packet read for its keywords: where each list lies, what it holds, and what of it c2srt has put in."""

import unicodedata
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from c2srt_cli.tagging.keywords import categories
from c2srt_cli.tagging.keywords.ledger import OWN, Ledger, read_ledger
from c2srt_cli.tagging.keywords.lists import CATEGORIES, LISTS, Keyword, KeywordList, label_keyword
from c2srt_cli.tagging.keywords.packet import Element, PacketError
from c2srt_cli.tagging.keywords.rdf import Values, find_rdf, occurrences


@dataclass(frozen=True)
class State:
    """What a packet holds.

    Attributes:
        data: The packet.
        rdf: Its one rdf:RDF.
        ledger: What c2srt remembers in it.
        found: Where each list lies; those that are not there are left out.
        present: The keywords of each of them.
        base: Those of them that are the user's own.
    """

    data: bytes
    rdf: Element
    ledger: Ledger
    found: Mapping[KeywordList, list[Values]] = field(default_factory=dict)
    present: Mapping[KeywordList, list[Keyword]] = field(default_factory=dict)
    base: Mapping[KeywordList, list[Keyword]] = field(default_factory=dict)

    @property
    def added(self) -> dict[KeywordList, list[Keyword]]:
        """What c2srt has put in, by list."""
        return {
            keywords: recorded_keywords(keywords, self.ledger.added[keywords.qualified])
            for keywords in LISTS
            if keywords.qualified in self.ledger.added
        }


def read_state(data: bytes, vocabulary: str = "") -> State:
    """Read a packet.

    Args:
        data: The packet.
        vocabulary: Name for the labels of a sidecar that was made before vocabularies had names.

    Raises:
        PacketError: it is none, or one of its lists cannot be read.
    """
    rdf = find_rdf(data)
    ledger = read_ledger(rdf, vocabulary) if OWN.encode() in data else Ledger()
    found = {keywords: values for keywords in LISTS if (values := occurrences(rdf, *keywords.names))}
    present, base = {}, {}
    for keywords, values in found.items():
        present[keywords] = _keywords(keywords, values)
        base[keywords] = _without(keywords, values, ledger.added.get(keywords.qualified, ()))
    return State(data, rdf, ledger, found, present, base)


def _keywords(keywords: KeywordList, values: list[Values]) -> list[Keyword]:
    entries = [entry.text for value in values for entry in value.entries]
    if keywords is CATEGORIES:
        if any(value.container for value in values):
            raise PacketError("its acdsee:categories is a list, not a tree in a text")
        return [keyword for text in entries for keyword in categories.read(text)]
    return [keyword for text in entries if (keyword := keywords.keyword(text))]


def _without(keywords: KeywordList, values: list[Values], recorded: tuple[str, ...]) -> list[Keyword]:
    """The keywords of a list without those that were put in, which are as they were put in."""
    counted = Counter(map(plain, recorded))
    if keywords is CATEGORIES:
        found = [(keyword, plain("|".join(keyword))) for keyword in _keywords(keywords, values)]
    else:
        entries = [entry for value in values for entry in value.entries]
        found = [(keywords.keyword(entry.text), plain(entry.text) if entry.element else "") for entry in entries]
    kept = []
    for keyword, entry in found:
        if entry and counted[entry]:
            counted[entry] -= 1
        elif keyword:
            kept.append(keyword)
    return kept


def plain(text: str) -> str:
    """What makes two entries of a list the same, spelling included."""
    return unicodedata.normalize("NFC", text.strip())


def recorded_keywords(keywords: KeywordList, recorded: tuple[str, ...]) -> list[Keyword]:
    """The keywords that a record of entries speaks of."""
    if keywords is CATEGORIES:
        return [label_keyword(entry) for entry in recorded if not entry.endswith(categories.PARENT)]
    return [keyword for entry in recorded if (keyword := keywords.keyword(entry))]
