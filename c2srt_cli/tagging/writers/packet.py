"""An XMP packet as the bytes it is: where its elements lie, and edits that leave every other byte alone.

Serialising a parsed tree would lose what the tree does not model: prefixes, order and quoting of attributes, comments,
the xpacket frame, indentation. Here the parser only finds places, and edits happen in between.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from xml.parsers import expat

#: Larger sidecars are refused: real ones stay below some megabytes.
MAX_BYTES = 64 << 20

#: Between namespace and local name, as expat joins them: no namespace can hold it.
_SEPARATOR = "\n"

_TAG = re.compile(rb"""<(?:[^>"']|"[^"]*"|'[^']*')*+>""")
_ATTRIBUTE = re.compile(rb"""\s+([^\s=]+)\s*=\s*("[^"]*"|'[^']*')""")
_SPACE = b" \t\r\n"


class PacketError(ValueError):
    """The bytes are no XMP packet that can be edited safely."""


@dataclass(slots=True, eq=False)
class Element:
    """One element and its place in the bytes.

    Attributes:
        name: ``{namespace}local``; so are the keys of `attributes`.
        prefix: As written in the file, empty for the default namespace.
        qualified: The attributes' names as written in the file, under the same keys.
        text: Its own character data, without that of its children.
        start: First byte of the start tag.
        inner: First byte after the start tag.
        close: First byte of the end tag; of an empty-element tag the byte after it.
        end: First byte after the element.
    """

    name: str
    prefix: str
    attributes: dict[str, str]
    qualified: dict[str, str]
    start: int
    inner: int
    close: int = 0
    end: int = 0
    text: str = ""
    children: list["Element"] = field(default_factory=list)

    @property
    def self_closed(self) -> bool:
        """Whether it is written as one tag, ``<a/>``."""
        return self.inner == self.end

    def namespace(self) -> str:
        """Namespace of the element."""
        return self.name[1:].partition("}")[0]


def parse(data: bytes) -> Element:
    """The root element of a UTF-8 document.

    Raises:
        PacketError: not well-formed, not UTF-8, too large, or with a document type.
    """
    if len(data) > MAX_BYTES:
        raise PacketError(f"larger than {MAX_BYTES >> 20} MiB")
    # expat follows a UTF-16 mark or guesses it from zero bytes; what is put in between here is UTF-8
    if b"\0" in data or not _is_utf8(data):
        raise PacketError("not UTF-8")
    parser = expat.ParserCreate("utf-8", _SEPARATOR)
    parser.namespace_prefixes = True
    parser.buffer_text = True
    root: list[Element] = []
    stack: list[Element] = []

    def declaration(_version: str, encoding: str | None, _standalone: int) -> None:
        if encoding is not None and encoding.lower() not in ("utf-8", "utf8"):
            raise PacketError(f"encoded as {encoding}, not UTF-8")

    def doctype(*_: object) -> None:
        # entities are declared here: without them nothing expands and nothing outside is read
        raise PacketError("has a document type (DTD)")

    def start(name: str, attributes: dict[str, str]) -> None:
        place = parser.CurrentByteIndex
        tag = _TAG.match(data, place)
        if tag is None:
            raise PacketError("has a tag that cannot be found again")
        element = Element(*_name(name), {}, {}, place, tag.end())
        for joined, value in attributes.items():
            key, prefix = _name(joined)
            element.attributes[key] = value
            element.qualified[key] = f"{prefix}:{key.rpartition('}')[2]}"
        (stack[-1].children if stack else root).append(element)
        stack.append(element)

    def end(_name: str) -> None:
        element = stack.pop()
        if data[element.inner - 2 : element.inner] == b"/>":
            element.close = element.end = element.inner
        else:
            element.close = parser.CurrentByteIndex
            element.end = data.index(b">", element.close) + 1

    def text(characters: str) -> None:
        stack[-1].text += characters

    parser.XmlDeclHandler = declaration
    parser.StartDoctypeDeclHandler = doctype
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = text
    try:
        parser.Parse(data, True)
    except expat.ExpatError as error:
        raise PacketError(f"not well-formed XML ({error})") from None
    return root[0]


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _name(joined: str) -> tuple[str, str]:
    """``{namespace}local`` and prefix of a name as expat joins them."""
    parts = joined.split(_SEPARATOR)
    if len(parts) == 1:
        return parts[0], ""
    return f"{{{parts[0]}}}{parts[1]}", parts[2] if len(parts) > 2 else ""


def with_space(data: bytes, element: Element) -> tuple[int, int]:
    """Span of an element together with the white space before it."""
    return len(data[: element.start].rstrip(_SPACE)), element.end


def attribute_spans(data: bytes, element: Element, namespace: str) -> list[tuple[int, int]]:
    """Spans of the element's attributes in a namespace, each with the white space before it."""
    wanted = {name.encode() for key, name in element.qualified.items() if key.startswith(f"{{{namespace}}}")}
    found = _ATTRIBUTE.finditer(data, element.start, element.inner)
    return [match.span() for match in found if match[1] in wanted]


def cut(data: bytes, spans: Iterable[tuple[int, int]]) -> bytes:
    """The bytes without these spans, which do not overlap."""
    kept = bytearray()
    place = 0
    for start, end in sorted(spans):
        kept += data[place:start]
        place = end
    return bytes(kept + data[place:])


def insert(data: bytes, pieces: Iterable[tuple[int, bytes]]) -> bytes:
    """The bytes with each piece put in before its place."""
    grown = bytearray()
    last = 0
    for place, piece in sorted(pieces):
        grown += data[last:place] + piece
        last = place
    return bytes(grown + data[last:])


def open_tag(data: bytes, element: Element) -> bytes:
    """The bytes with ``<a/>`` written ``<a></a>``, so that something can be put in."""
    if not element.self_closed:
        return data
    local = element.name.rpartition("}")[2]
    tag = f"{element.prefix}:{local}" if element.prefix else local
    return data[: element.inner - 2] + f"></{tag}>".encode() + data[element.end :]
