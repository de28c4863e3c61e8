"""An XMP packet as the bytes it is: where its elements lie, and edits that leave every other byte alone.

Serialising a parsed tree would lose what the tree does not model: prefixes, order and quoting of attributes, comments,
the xpacket frame, indentation. Here the parser only finds places, and edits happen in between.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from types import MappingProxyType
from xml.parsers import expat

#: Larger sidecars are refused: real ones stay below some megabytes.
MAX_BYTES = 64 << 20
#: Elements and attributes that are read: each takes some hundred bytes, and 100,000 keywords fill every list there is.
MAX_ELEMENTS = 1_000_000

#: Between namespace and local name, as expat joins them: no namespace can hold it.
_SEPARATOR = "\n"

_TAG = re.compile(rb"""<(?:[^>"']|"[^"]*"|'[^']*')*+>""")
_ATTRIBUTE = re.compile(rb"""\s+([^\s=]+)\s*=\s*("[^"]*"|'[^']*')""")
_SPACE = b" \t\r\n"
#: First byte, byte after the last, and what is to stand there instead.
Edit = tuple[int, int, bytes]

_NONE: Mapping[str, str] = MappingProxyType({})


class PacketError(ValueError):
    """The bytes are no XMP packet that can be read or edited safely."""


@dataclass(slots=True, eq=False)
class Element:
    """One element and its place in the bytes.

    Attributes:
        name: ``{namespace}local``; so are the keys of `attributes`.
        prefix: As written in the file, empty for the default namespace.
        attributes: Values, entities resolved.
        qualified: The attributes' names as written in the file, under the same keys.
        text: Its own character data, without that of its children.
        start: First byte of the start tag.
        inner: First byte after the start tag.
        close: First byte of the end tag; of an empty-element tag the byte after it.
        end: First byte after the element.
    """

    name: str
    prefix: str
    attributes: Mapping[str, str]
    qualified: Mapping[str, str]
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

    @property
    def tag(self) -> str:
        """Its name as written in the file."""
        return sibling_tag(self, self.name.rpartition("}")[2])

    def namespace(self) -> str:
        """Namespace of the element."""
        return self.name[1:].partition("}")[0]


def sibling_tag(element: Element, local: str) -> str:
    """The name to write for another element of its namespace, inside of it."""
    return f"{element.prefix}:{local}" if element.prefix else local


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
    texts: list[list[str]] = []
    count = 0

    def declaration(_version: str, encoding: str | None, _standalone: int) -> None:
        if encoding is not None and encoding.lower() not in ("utf-8", "utf8"):
            raise PacketError(f"encoded as {encoding}, not UTF-8")

    def doctype(*_: object) -> None:
        # entities are declared here: without them nothing expands and nothing outside is read
        raise PacketError("has a document type (DTD)")

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal count
        count += 1 + len(attributes)
        if count > MAX_ELEMENTS:
            raise PacketError(f"has more than {MAX_ELEMENTS:,} elements and attributes")
        place = parser.CurrentByteIndex
        tag = _TAG.match(data, place)
        if tag is None:
            raise PacketError("has a tag that cannot be found again")
        values, qualified = (_attributes(attributes)) if attributes else (_NONE, _NONE)
        element = Element(*_name(name), values, qualified, place, tag.end())
        (stack[-1].children if stack else root).append(element)
        stack.append(element)
        texts.append([])

    def end(_name: str) -> None:
        element = stack.pop()
        element.text = "".join(texts.pop())
        if data[element.inner - 2 : element.inner] == b"/>":
            element.close = element.end = element.inner
        else:
            element.close = parser.CurrentByteIndex
            element.end = data.index(b">", element.close) + 1

    def text(characters: str) -> None:
        texts[-1].append(characters)

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


@lru_cache(maxsize=4096)
def _name(joined: str) -> tuple[str, str]:
    """``{namespace}local`` and prefix of a name as expat joins them."""
    parts = joined.split(_SEPARATOR)
    if len(parts) == 1:
        return parts[0], ""
    return f"{{{parts[0]}}}{parts[1]}", parts[2] if len(parts) > 2 else ""


def _attributes(joined: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """Values and written names of attributes as expat gives them."""
    values, qualified = {}, {}
    for name, value in joined.items():
        key, prefix = _name(name)
        values[key] = value
        local = key.rpartition("}")[2]
        qualified[key] = f"{prefix}:{local}" if prefix else local
    return values, qualified


def descend(element: Element) -> Iterator[Element]:
    """The element and everything in it, in the order of the document."""
    pending = [element]
    while pending:
        found = pending.pop()
        yield found
        pending += reversed(found.children)


def with_space(data: bytes, element: Element) -> tuple[int, int]:
    """Span of an element together with the white space before it."""
    start = element.start
    while start and data[start - 1] in _SPACE:
        start -= 1
    return start, element.end


@dataclass(frozen=True, slots=True)
class Attribute:
    """Where an attribute lies: with the white space before it, and its value without the quotes."""

    span: tuple[int, int]
    value: tuple[int, int]


def find_attributes(data: bytes, element: Element, names: Iterable[str]) -> list[Attribute]:
    """Places of those of the element's attributes that have one of the names, which are ``{namespace}local``."""
    wanted = {element.qualified[name].encode() for name in names if name in element.qualified}
    found = _ATTRIBUTE.finditer(data, element.start, element.inner) if wanted else ()
    return [Attribute(match.span(), (match.start(2) + 1, match.end(2) - 1)) for match in found if match[1] in wanted]


def edit(data: bytes, edits: Iterable[Edit]) -> bytes:
    """The bytes with each span replaced; edits at one place in the order given, those inside a removed span dropped."""
    grown = bytearray()
    place = 0
    for start, end, piece in sorted(edits, key=lambda one: one[0]):
        if start >= place:
            grown += data[place:start] + piece
            place = end
    return bytes(grown + data[place:])
