"""What c2srt has put into a packet, for whom, and what people have taken out again: its own namespace in the packet.

``vocabularies`` holds a structure for each: its name, the labels that it gave the photograph (``tags``), what decided
them, the version of the photograph, and some of its labels, hashed, by which a later run knows it again. ``added…`` has
the entries of each keyword list that were not there before, ``embedded…`` the keywords that were brought over from the
photograph, ``refused`` and ``refused…`` what somebody has taken out, everywhere or from one list. ``introduced`` and
``opened`` say which lists and tags c2srt made, ``created`` that the sidecar itself is its own.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from c2srt_cli.artifacts import Stamp
from c2srt_cli.tagging.keywords.lists import LISTS, Keyword, KeywordList, label_keyword, label_keywords, word_key
from c2srt_cli.tagging.keywords.markup import xml_element, xml_text
from c2srt_cli.tagging.keywords.packet import Element
from c2srt_cli.tagging.keywords.rdf import descriptions, fields, occurrences

OWN = "urn:c2srt:xmp#"

_PROPERTY = re.compile("[A-Za-z][A-Za-z0-9_-]*")
_STAMP = re.compile("([0-9]+) ([0-9]+)(?: ([0-9a-f]{64}))?")
#: Labels of a vocabulary that are remembered, hashed: enough to tell whether half of them are left.
SAMPLE = 64
_FIELDS = ("name", "tags", "sample", "decision", "photograph", "file")


class Opened(StrEnum):
    """What was empty before something was put in, and how it was written; the list's name follows."""

    RDF = "rdf:RDF"
    TAG = "tag "
    ELEMENT = "element "
    LIST_TAG = "list "


@dataclass(frozen=True)
class Claim:
    """What one vocabulary says of the photograph.

    Attributes:
        labels: That it gave, best first.
        sample: Hashes of its labels.
        decision: Fingerprint of what decided them beside the photograph; empty where it is not known.
        stamp: Version of the photograph; None where it is not known.
        file: Name of the photograph, where that of the sidecar does not say it.
        provenance: Method, backbone and so on.
    """

    labels: tuple[str, ...]
    sample: tuple[str, ...] = ()
    decision: str = ""
    stamp: Stamp | None = None
    file: str = ""
    provenance: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Ledger:
    """Everything that c2srt remembers in a packet.

    Attributes:
        claims: By vocabulary.
        added: The entries that c2srt put into a list, by `KeywordList.qualified`.
        refused: Keywords that somebody has taken out, ``|`` between levels.
        refused_in: Keywords of the user's that were taken out of a list which c2srt had brought them to, likewise.
        embedded: Keywords of the photograph's that the sidecar takes over, flat ones first.
        introduced: Lists that c2srt made.
        opened: Empty lists of the user's that c2srt put something in, see `Opened`.
        created: Whether c2srt made the packet.
        legacy: Whether it was written before vocabularies had names: it says nothing of introduced lists then, and
            c2srt knew two lists only.
    """

    claims: Mapping[str, Claim] = field(default_factory=dict)
    added: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    refused: tuple[str, ...] = ()
    refused_in: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    embedded: tuple[Keyword, ...] = ()
    introduced: tuple[str, ...] = ()
    opened: tuple[str, ...] = ()
    created: bool = False
    legacy: bool = False


def label_hash(label: str) -> str:
    """By which a label is known again, in little room."""
    return hashlib.sha256("|".join(map(word_key, label_keyword(label))).encode()).hexdigest()[:8]


def sample_of(labels: Iterable[str]) -> tuple[str, ...]:
    """Some labels of a vocabulary, hashed; by their lowest hashes, which is a sample as good as any."""
    return tuple(sorted(set(map(label_hash, labels)))[:SAMPLE])


def read_ledger(rdf: Element, vocabulary: str) -> Ledger:
    """What c2srt has written into a packet.

    Args:
        rdf: Of the packet.
        vocabulary: Name for the labels of a sidecar that was made before vocabularies had names.

    Raises:
        PacketError: it has been changed beyond recognition.
    """
    own: dict[str, str | Element] = {
        **{name: value for node in descriptions(rdf) for name, value in node.attributes.items() if _is_own(name)},
        **{child.name: child for node in descriptions(rdf) for child in node.children if child.namespace() == OWN},
    }
    if not own:
        return Ledger()

    def words(name: str) -> tuple[str, ...]:
        return tuple(entry.text for found in occurrences(rdf, f"{{{OWN}}}{name}") for entry in found.entries)

    claims = {}
    if f"{{{OWN}}}tags" in own:
        made = {name: value for name, value in own.items() if name.rpartition("}")[2] not in {"tags", *_LEDGER}}
        texts = {name.rpartition("}")[2]: v if isinstance(v, str) else v.text.strip() for name, v in made.items()}
        tags = words("tags")
        claims[vocabulary] = Claim(tags, sample_of(tags), provenance=texts)
    listing = own.get(f"{{{OWN}}}vocabularies")
    if isinstance(listing, Element):
        for item in (item for container in listing.children for item in container.children):
            name, claim = _read_claim(item)
            claims[name] = claim
    return Ledger(
        claims=claims,
        added={keywords.qualified: found for keywords in LISTS if (found := words(_part("added", keywords)))},
        refused=words("refused"),
        refused_in={keywords.qualified: found for keywords in LISTS if (found := words(_part("refused", keywords)))},
        embedded=(*((word,) for word in words("embeddedSubject")), *label_keywords(words("embedded"))),
        introduced=words("introduced"),
        opened=words("opened"),
        created=words("created") == ("True",),
        legacy=f"{{{OWN}}}tags" in own,
    )


def _is_own(name: str) -> bool:
    return name.startswith(f"{{{OWN}}}")


def _part(prefix: str, keywords: KeywordList) -> str:
    """Name of the property that speaks of one keyword list: ``addedTagsList``."""
    return prefix + keywords.local[0].upper() + keywords.local[1:]


_LEDGER = {"vocabularies", "refused", "embedded", "embeddedSubject", "introduced", "opened", "created"} | {
    _part(prefix, keywords) for prefix in ("added", "refused") for keywords in LISTS
}


def _read_claim(item: Element) -> tuple[str, Claim]:
    """Name and claim of one structure."""
    texts, lists = {}, {}
    for name, value in fields(item):
        if not _is_own(name):
            continue
        local = name.rpartition("}")[2]
        if isinstance(value, str):
            texts[local] = value
        elif value.children:
            lists[local] = tuple(entry.text.strip() for child in value.children for entry in child.children)
        else:
            texts[local] = value.text.strip()
    stamp = _STAMP.fullmatch(texts.get("photograph", ""))
    return texts.get("name", ""), Claim(
        labels=lists.get("tags", ()),
        sample=tuple(texts.get("sample", "").split()),
        decision=texts.get("decision", ""),
        stamp=Stamp(int(stamp[1]), int(stamp[2]), -1, stamp[3] or "") if stamp else None,
        file=texts.get("file", ""),
        provenance={name: text for name, text in texts.items() if name not in _FIELDS},
    )


def ledger_lines(ledger: Ledger, prefix: str) -> list[str]:
    """The properties of a ledger as lines of a description; ``prefix`` is that of RDF's namespace there."""
    lines = [line for name in sorted(ledger.claims) for line in _claim_lines(name, ledger.claims[name], prefix)]
    if lines:
        lines = [
            "  <c2srt:vocabularies>",
            f"   <{prefix}:Bag>",
            *lines,
            f"   </{prefix}:Bag>",
            "  </c2srt:vocabularies>",
        ]
    parts = {_part("added", keywords): ledger.added.get(keywords.qualified, ()) for keywords in LISTS}
    parts |= {"refused": ledger.refused}
    parts |= {_part("refused", keywords): ledger.refused_in.get(keywords.qualified, ()) for keywords in LISTS}
    parts["embeddedSubject"] = tuple(keyword[0] for keyword in ledger.embedded if len(keyword) == 1)
    parts["embedded"] = tuple("|".join(keyword) for keyword in ledger.embedded if len(keyword) > 1)
    parts |= {"introduced": ledger.introduced, "opened": ledger.opened}
    for name, words in parts.items():
        lines += list_lines(f"c2srt:{name}", words, prefix, "Bag") if words else []
    return lines + (["  <c2srt:created>True</c2srt:created>"] if ledger.created else [])


def _claim_lines(name: str, claim: Claim, prefix: str) -> list[str]:
    for made in claim.provenance:
        if not _PROPERTY.fullmatch(made) or made in _FIELDS:
            raise ValueError(f"{made!r} cannot be a property of c2srt's namespace")
    stamp = claim.stamp
    texts = {
        "sample": " ".join(claim.sample),
        "decision": claim.decision,
        "photograph": "" if stamp is None else f"{stamp.size} {stamp.mtime_ns} {stamp.sha256}".strip(),
        "file": claim.file,
        **dict(sorted(claim.provenance.items())),
    }
    return [
        f'    <{prefix}:li {prefix}:parseType="Resource">',
        "     " + xml_element("c2srt:name", name),
        *list_lines("c2srt:tags", claim.labels, prefix, "Bag", "     "),
        *("     " + xml_element(f"c2srt:{local}", text) for local, text in texts.items() if text),
        f"    </{prefix}:li>",
    ]


def list_lines(name: str, words: Iterable[str], prefix: str, container: str, indent: str = "  ") -> list[str]:
    """A property with a list of texts."""
    items = [f"{indent}  {xml_element(f'{prefix}:li', xml_text(word))}" for word in words]
    inner = [f"{indent} <{prefix}:{container}>", *items, f"{indent} </{prefix}:{container}>"] if items else []
    return [f"{indent}<{name}>", *inner, f"{indent}</{name}>"]
