"""The keyword lists of photo managers: which there are, in what order readers take them, how each writes a hierarchy.

A keyword is a path, from the top level down; a flat one has one level. A reader shows the first list that it finds and
none of the others, so every list that is there has to hold every keyword:

- digiKam takes the first of all these, in this order (``DMetadataSettingsContainer::defaultTagValues``).
- Immich takes ``digiKam:TagsList``, then ``lr:hierarchicalSubject`` (``getTagList``), in the sidecar before the
  photograph, list by list.
- darktable takes ``lr:hierarchicalSubject``, then ``dc:subject`` (``dt_exif_xmp_read``).
- PhotoPrism takes ``dc:subject``; until its releases of 2025 only from an ``rdf:Seq`` (``XmpDocument.Keywords``).
"""

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from c2srt_cli.tagging.keywords.markup import xml_text
from c2srt_cli.tagging.keywords.packet import PacketError

#: Deeper hierarchies are nobody's.
MAX_LEVELS = 100

#: The levels of a keyword, from the top down; never empty.
Keyword = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class KeywordList:
    """One property that holds keywords.

    Attributes:
        namespace: Of the property.
        prefix: That is written for it where it is new.
        local: Its name.
        separator: Between the levels of a path; empty where entries are single levels.
        container: That is written where the list is new; ``text`` for ACDSee's tree in a literal (see `categories`).
        always: Whether every sidecar with keywords gets it; the others only where somebody uses them.
    """

    namespace: str
    prefix: str
    local: str
    separator: Literal["", "/", "|"]
    container: Literal["Bag", "Seq", "text"]
    always: bool = False

    @property
    def names(self) -> tuple[str, str]:
        """``{namespace}local``; ExifTool and others differ in the slash at the end of some namespaces."""
        bare = self.namespace.removesuffix("/")
        return f"{{{bare}/}}{self.local}", f"{{{bare}}}{self.local}"

    @property
    def qualified(self) -> str:
        """As people know it, ``dc:subject``."""
        return f"{self.prefix}:{self.local}"

    def keyword(self, entry: str) -> Keyword:
        """The keyword that an entry of the list is; without levels where it is none."""
        levels = entry.split(self.separator) if self.separator else [entry]
        if self.separator == "/":  # a level cannot hold its separator: Immich writes | for a slash, and we with it
            levels = [level.replace("|", "/") for level in levels]
        return _keyword(levels)

    def entry(self, keyword: Keyword) -> str:
        """The entry that stands for a keyword; its last level where the list holds single levels."""
        if not self.separator:
            return keyword[-1]
        other = {"/": "|", "|": "/"}[self.separator]
        return self.separator.join(level.replace(self.separator, other) for level in keyword)


SUBJECT = KeywordList("http://purl.org/dc/elements/1.1/", "dc", "subject", "", "Seq", always=True)
TAGS_LIST = KeywordList("http://www.digikam.org/ns/1.0/", "digiKam", "TagsList", "/", "Seq")
LAST_KEYWORD = KeywordList("http://ns.microsoft.com/photo/1.0/", "MicrosoftPhoto", "LastKeywordXMP", "/", "Bag")
HIERARCHY = KeywordList("http://ns.adobe.com/lightroom/1.0/", "lr", "hierarchicalSubject", "|", "Bag", always=True)
CATALOG_SETS = KeywordList("http://ns.iview-multimedia.com/mediapro/1.0/", "mediapro", "CatalogSets", "|", "Bag")
CATEGORIES = KeywordList("http://ns.acdsee.com/iptc/1.0/", "acdsee", "categories", "|", "text")

#: Flat keywords first, then the paths in digiKam's order. Another list is another line here.
LISTS = (SUBJECT, TAGS_LIST, LAST_KEYWORD, HIERARCHY, CATALOG_SETS, CATEGORIES)
LIST_NAMES = {keywords.qualified: keywords for keywords in LISTS}


def label_keywords(labels: Iterable[str]) -> list[Keyword]:
    """The keywords that labels are, each once, in order."""
    return list(dict.fromkeys(keyword for label in labels if (keyword := label_keyword(label))))


def label_keyword(label: str) -> Keyword:
    """The keyword that a label ``parent|child`` is, as XML can hold it; without levels where nothing is left of it."""
    return _keyword(xml_text(label).split("|"))


def _keyword(levels: list[str]) -> Keyword:
    """A keyword of its levels.

    Raises:
        PacketError: there are more than anybody has.
    """
    if len(levels) > MAX_LEVELS:
        raise PacketError(f"it holds a keyword of more than {MAX_LEVELS} levels")
    return tuple(word for level in levels if (word := level.strip()))


@lru_cache(maxsize=1 << 16)
def word_key(word: str) -> str:
    """What makes two words the same: neither case nor Unicode composition nor white space around them."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", word.strip()).casefold())


def keyword_key(keyword: Keyword) -> Keyword:
    """What makes two keywords the same."""
    return tuple(map(word_key, keyword))
