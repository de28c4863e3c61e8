"""XMP sidecars: keywords that photo managers read, merged into what is there.

`strip` takes out everything that c2srt put in earlier, `add` puts this run's keywords in. The first undoes the second
to the byte, so a rerun changes nothing, tags no longer held disappear, and whatever anybody else wrote stays as it was.
What c2srt put in stands in the packet itself, in a namespace of its own: ``addedSubject`` and
``addedHierarchicalSubject`` list the keywords that were not there before, ``tags`` all labels of the image.

- A label ``animal|dog`` is the flat keywords ``animal`` and ``dog`` in ``dc:subject``, as Lightroom exports them, and
  the path ``animal|dog`` in ``lr:hierarchicalSubject``.
- Where a packet has ``lr:hierarchicalSubject``, darktable and Immich do not read ``dc:subject``. Once it exists it
  therefore holds every label, flat ones at the top level, and where c2srt introduces it, the keywords that were there
  before too.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from c2srt_cli.artifacts import atomic_write
from c2srt_cli.tagging.record import FailedImage, TaggedImage
from c2srt_cli.tagging.writers.context import WriteContext
from c2srt_cli.tagging.writers.escape import xml_escape, xml_text
from c2srt_cli.tagging.writers.packet import (
    Element,
    PacketError,
    attribute_spans,
    cut,
    insert,
    open_tag,
    parse,
    with_space,
)
from c2srt_cli.tagging.writers.sidecar import checked, sidecar_path

RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
DC = "http://purl.org/dc/elements/1.1/"
LR = "http://ns.adobe.com/lightroom/1.0/"
OWN = "urn:c2srt:xmp#"

SUBJECT = f"{{{DC}}}subject"
HIERARCHY = f"{{{LR}}}hierarchicalSubject"
ADDED = {SUBJECT: f"{{{OWN}}}addedSubject", HIERARCHY: f"{{{OWN}}}addedHierarchicalSubject"}

_CONTAINERS = {f"{{{RDF}}}{name}" for name in ("Bag", "Seq", "Alt")}
_PROPERTY = re.compile("[A-Za-z][A-Za-z0-9_-]*")
_ABOUT = (f"{{{RDF}}}about", "about")  # the second is the spelling of the first RDF drafts

#: A new packet.
EMPTY = f"""<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="c2srt">
 <rdf:RDF xmlns:rdf="{RDF}">
 </rdf:RDF>
</x:xmpmeta>
<?xpacket end="w"?>
""".encode()


def write_xmp(rows: Iterable[TaggedImage], folder: Path, context: WriteContext) -> list[FailedImage]:
    """Write or merge ``a.jpg.xmp`` (``ext``) or ``a.xmp`` (``stem``) for each image.

    An image without labels gets no new sidecar. A sidecar that cannot be merged safely is left as it is; one that would
    not change is not touched.

    Returns:
        The images whose sidecar could not be written, with reason ``sidecar``.

    Raises:
        InputError: two images would share a sidecar; nothing has been written.
    """
    failed = []
    for row in checked(rows, ".xmp", context):
        name = sidecar_path(row.path, ".xmp", context)
        path = folder / name
        try:
            old = path.read_bytes() if path.exists() else b""
            new = merge(old, [tag.label for tag in row.tags], context.provenance)
            if new != old:
                with atomic_write(path) as temporary:
                    temporary.write_bytes(new)
        except PacketError as error:
            failed.append(FailedImage(row.path, "sidecar", f"{name} was left as it is: {error}"))
        except OSError as error:
            failed.append(FailedImage(row.path, "sidecar", f"{name}: {error.strerror or error}"))
    return failed


def merge(packet: bytes, labels: Iterable[str], provenance: Mapping[str, str]) -> bytes:
    """The packet with these labels in place of those that an earlier merge put in.

    Args:
        packet: The sidecar as it is; empty where there is none.
        labels: Best first.
        provenance: Property to value, in c2srt's namespace.

    Raises:
        PacketError: it cannot be merged safely.
    """
    cleaned = list(dict.fromkeys(xml_text(label) for label in labels))
    base = strip(packet) if OWN.encode() in packet or cleaned else packet
    return add(base, cleaned, provenance) if cleaned else base


def strip(packet: bytes) -> bytes:
    """The packet without anything that c2srt put in, and without keyword lists and descriptions that hold nothing.

    Raises:
        PacketError: it cannot be edited safely.
    """
    if not packet.strip():
        return EMPTY
    rdf = _rdf(packet)
    spans = []
    for name, record in ADDED.items():
        recorded = Counter(_key(item) for item in _items(rdf, record))
        for item in _items(rdf, name):
            if recorded[_key(item)] and not item.children:
                recorded[_key(item)] -= 1
                spans.append(with_space(packet, item))
    for description in rdf.children:
        spans += attribute_spans(packet, description, OWN)
        spans += [with_space(packet, child) for child in description.children if child.namespace() == OWN]
    packet = cut(packet, spans)
    rdf = _rdf(packet)
    lists = [
        element for name in ADDED for element, container in _lists(rdf, name) if not (container and container.children)
    ]
    packet = cut(packet, [with_space(packet, element) for element in lists])
    rdf = _rdf(packet)
    packet = cut(packet, [with_space(packet, child) for child in rdf.children if _is_bare(packet, rdf, child)])
    return open_tag(packet, _rdf(packet))


def add(packet: bytes, labels: list[str], provenance: Mapping[str, str]) -> bytes:
    """The stripped packet with these labels and their record."""
    rdf = _rdf(packet)
    paths = [[level for part in label.split("|") if (level := part.strip())] or [label] for label in labels]
    wanted = {SUBJECT: [level for path in paths for level in path], HIERARCHY: ["|".join(path) for path in paths]}
    present = {name: list(_items(rdf, name)) for name in ADDED}
    if not present[HIERARCHY]:
        mirrored = [word for item in present[SUBJECT] if (word := xml_text(item.text.strip()))]
        nested = any(len(path) > 1 for path in paths)
        wanted[HIERARCHY] = [*mirrored, *wanted[HIERARCHY]] if nested else []

    pieces = []
    added = {}
    introduced = {}
    for name, items in present.items():
        known = {_key(item) for item in items}
        added[name] = _distinct(wanted[name], known)
        if not items:
            introduced[name] = added[name]
        elif added[name]:
            last = items[-1]
            gap = packet[slice(with_space(packet, last)[0], last.start)]
            tag = f"{last.prefix}:li" if last.prefix else "li"
            pieces.append((last.end, b"".join(gap + _element(tag, word) for word in added[name])))
    pieces.append(_own(rdf, labels, introduced, added, provenance))
    return insert(packet, pieces)


def _own(
    rdf: Element,
    labels: list[str],
    introduced: Mapping[str, list[str]],
    added: Mapping[str, list[str]],
    provenance: Mapping[str, str],
) -> tuple[int, bytes]:
    """Place and text of the description that records this run and holds the lists that the packet lacked."""
    prefix = rdf.prefix or "rdf"
    first = rdf.children[0].attributes if rdf.children else {}
    about = next((first[name] for name in _ABOUT if name in first), "")
    spaces = {"dc": DC, "lr": LR, "c2srt": OWN} | ({} if rdf.prefix else {"rdf": RDF})
    names = {SUBJECT: "dc:subject", HIERARCHY: "lr:hierarchicalSubject"}
    lists = {names[name]: words for name, words in introduced.items()}
    lists |= {"c2srt:tags": labels}
    lists |= {"c2srt:" + ADDED[name].rpartition("}")[2]: words for name, words in added.items()}

    lines = [f' <{prefix}:Description {prefix}:about="{xml_escape(about)}"']
    lines += [f'   xmlns:{short}="{space}"' for short, space in spaces.items()]
    lines[-1] += ">"
    for name, words in lists.items():
        if words:
            items = [f"    {_element(f'{prefix}:li', word).decode()}" for word in words]
            lines += [f"  <{name}>", f"   <{prefix}:Bag>", *items, f"   </{prefix}:Bag>", f"  </{name}>"]
    for name in provenance:
        if not _PROPERTY.fullmatch(name) or f"c2srt:{name}" in lists:
            raise ValueError(f"{name!r} cannot be a property of c2srt's namespace")
    lines += [f"  {_element(f'c2srt:{name}', value).decode()}" for name, value in sorted(provenance.items())]
    block = "\n" + "\n".join([*lines, f" </{prefix}:Description>"])
    return (rdf.children[-1].end if rdf.children else rdf.inner), block.encode()


def _rdf(packet: bytes) -> Element:
    """The one rdf:RDF element of a packet."""
    found = []
    open_elements = [parse(packet)]
    while open_elements:
        element = open_elements.pop()
        if element.name == f"{{{RDF}}}RDF":
            found.append(element)
        else:
            open_elements += element.children
    if len(found) != 1:
        raise PacketError(f"has {len(found)} rdf:RDF elements instead of one")
    return found[0]


def _lists(rdf: Element, name: str) -> Iterator[tuple[Element, Element | None]]:
    """Each property of that name with its container; None where the property is empty."""
    for description in rdf.children:
        if name in description.attributes:
            raise PacketError(f"{name.rpartition('}')[2]} is not a list")
        for element in description.children:
            if element.name != name:
                continue
            if not element.children and not element.text.strip() and not element.attributes:
                yield element, None
            elif len(element.children) == 1 and element.children[0].name in _CONTAINERS and not element.text.strip():
                yield element, element.children[0]
            else:
                raise PacketError(f"{name.rpartition('}')[2]} is not a list")


def _items(rdf: Element, name: str) -> Iterator[Element]:
    """The entries of every list of that name, in order."""
    for _, container in _lists(rdf, name):
        if container is not None:
            yield from container.children


def _is_bare(packet: bytes, rdf: Element, description: Element) -> bool:
    """Whether a description says nothing: no property, no comment, nor alone which resource the packet is about."""
    abouts = [description.attributes.get(name, "") for name in _ABOUT]
    return (
        description.name == f"{{{RDF}}}Description"
        and not packet[description.inner : description.close].strip()
        and not description.attributes.keys() - set(_ABOUT)
        and not (any(abouts) and description is rdf.children[0])
    )


def _key(item: Element) -> str:
    """What makes two entries the same keyword."""
    return unicodedata.normalize("NFC", item.text.strip())


def _distinct(words: Iterable[str], known: set[str]) -> list[str]:
    """The words that are not known yet, each once, in order."""
    new: dict[str, str] = {}
    for word in words:
        new.setdefault(unicodedata.normalize("NFC", word), word)
    return [word for key, word in new.items() if key not in known]


def _element(name: str, text: str) -> bytes:
    return f"<{name}>{xml_escape(text)}</{name}>".encode()
