"""Properties of the photograph in RDF/XML, in every form that the grammar allows for a value or a list of values.

One keyword list can be written as a container (Bag, Seq, Alt, or a node typed as one) with ``rdf:li`` or numbered
entries, as several of them in several descriptions, elsewhere in the packet under a ``nodeID``, as a single literal or
an attribute; an entry can carry ``xml:lang``, or its value under ``rdf:value`` beside qualifiers. What is none of that,
or could be read in two ways, is a `PacketError`.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from c2srt_cli.tagging.keywords.packet import Element, PacketError, descend, parse

RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_XML = "http://www.w3.org/XML/1998/namespace"

_CONTAINERS = {f"{{{RDF}}}{name}" for name in ("Bag", "Seq", "Alt")}
_ITEM = f"{{{RDF}}}li"
_NUMBERED = re.compile(re.escape(f"{{{RDF}}}_") + "([1-9][0-9]*)")
_PARSE_TYPE, _NODE_ID, _RESOURCE, _VALUE, _TYPE = (
    f"{{{RDF}}}{name}" for name in ("parseType", "nodeID", "resource", "value", "type")
)
#: Deeper chains of rdf:value are nobody's.
_MAX_DEPTH = 16


@dataclass(frozen=True, slots=True)
class Entry:
    """One value of a property, and the element that holds nothing but it, where there is one."""

    text: str
    element: Element | None = None


@dataclass(slots=True)
class Values:
    """One occurrence of a property.

    Attributes:
        name: Of the property.
        holder: The description it stands in.
        element: The property; None where it is an attribute of the holder.
        container: The Bag, Seq or Alt with its entries, where it is written as one.
        entries: Its values, in order.
        extensible: Whether another ``rdf:li`` at the end of the container is another value; elsewhere `obstacle` says
            why not.
        obstacle: Why nothing can be added.
        text: The whole, where it is written as a literal, entities resolved.
    """

    name: str
    holder: Element
    element: Element | None = None
    container: Element | None = None
    entries: list[Entry] = field(default_factory=list)
    obstacle: str = ""
    text: str = ""


def find_rdf(data: bytes) -> Element:
    """The one rdf:RDF element of a packet.

    Raises:
        PacketError: it cannot be parsed, or there is none or more than one.
    """
    found = []
    pending = [parse(data)]
    while pending:
        element = pending.pop()
        if element.name == f"{{{RDF}}}RDF":
            found.append(element)
        else:
            pending += element.children
    if len(found) != 1:
        raise PacketError(f"has {len(found)} rdf:RDF elements instead of one")
    return found[0]


def descriptions(rdf: Element) -> list[Element]:
    """The nodes whose properties are the photograph's."""
    return [node for node in rdf.children if node.name not in _CONTAINERS]


def occurrences(rdf: Element, *names: str) -> list[Values]:
    """Every occurrence of a property of the photograph under any of its names, in order.

    Raises:
        PacketError: its value is none that is read.
    """
    found = []
    for holder in descriptions(rdf):
        for name in names:
            text = holder.attributes.get(name)
            if text is None:
                continue
            entries = [Entry(text)] if text.strip() else []
            found.append(Values(name, holder, entries=entries, obstacle="an attribute", text=text))
        for element in holder.children:
            if element.name in names:
                values = Values(element.name, holder, element)
                _read(values, element, rdf)
                found.append(values)
    return found


def _read(values: Values, element: Element, rdf: Element, depth: int = 0) -> None:
    """Fill in what a property element (or the ``rdf:value`` in its place) says."""
    node = _node(values.name, element, rdf, depth)
    if isinstance(node, str):
        values.text = node
        if node.strip():
            values.entries.append(Entry(node))
            values.obstacle = "a single value"
        elif depth:
            values.obstacle = "an empty qualified value"
    elif _is_container(node):
        _read_items(values, node, rdf)
    else:
        _read(values, node, rdf, depth + 1)


def _node(name: str, element: Element, rdf: Element, depth: int) -> str | Element:
    """A property's value: a literal, a container, or the ``rdf:value`` of a node that qualifies it."""
    attributes = element.attributes
    kind = attributes.get(_PARSE_TYPE, "")
    if depth > _MAX_DEPTH or kind not in ("", "Resource"):
        raise _unreadable(name, "values nested too deep" if depth > _MAX_DEPTH else f"rdf:parseType {kind!r}")
    if kind == "Resource":
        return _value(name, element)
    if _NODE_ID in attributes:
        return _value_or_container(name, _identified(name, attributes[_NODE_ID], element, rdf))
    if _RESOURCE in attributes:
        return attributes[_RESOURCE]
    if not element.children:
        if _VALUE in attributes:
            return attributes[_VALUE]
        if any(not key.startswith((f"{{{_XML}}}", f"{{{RDF}}}")) and key.startswith("{") for key in attributes):
            raise _unreadable(name, "a structure")
        return element.text
    if len(element.children) > 1 or element.text.strip():
        raise _unreadable(name, "several values without a list")
    return _value_or_container(name, element.children[0])


def _value_or_container(name: str, node: Element) -> str | Element:
    return node if _is_container(node) else _value(name, node)


def _value(name: str, node: Element) -> str | Element:
    """The ``rdf:value`` among the properties of a node."""
    if _VALUE in node.attributes:
        return node.attributes[_VALUE]
    values = [child for child in node.children if child.name == _VALUE]
    if len(values) != 1:
        raise _unreadable(name, "a structure")
    return values[0]


def _identified(name: str, identity: str, reference: Element, rdf: Element) -> Element:
    """The node of that ``rdf:nodeID``."""
    found = [
        element
        for element in descend(rdf)
        if element is not reference and element.attributes.get(_NODE_ID) == identity and element.children
    ]
    if len(found) != 1:
        raise _unreadable(name, f"a reference to {len(found)} nodes {identity!r}")
    return found[0]


def _is_container(node: Element) -> bool:
    return node.name in _CONTAINERS or _type(node) in _CONTAINERS


def _type(node: Element) -> str:
    """What ``rdf:type`` says that a node is, as a name."""
    uri = node.attributes.get(_TYPE, "")
    for child in node.children:
        if child.name == _TYPE:
            uri = child.attributes.get(_RESOURCE, uri)
    return f"{{{RDF}}}{uri.removeprefix(RDF)}" if uri.startswith(RDF) else ""


def _read_items(values: Values, container: Element, rdf: Element) -> None:
    """Fill in the entries of a container."""
    values.container = container
    numbered = sorted(
        (int(match[1]), value) for key, value in container.attributes.items() if (match := _NUMBERED.fullmatch(key))
    )
    values.entries += [Entry(text) for _, text in numbered if text.strip()]
    for item in container.children:
        number = _NUMBERED.fullmatch(item.name)
        if item.name == _TYPE:
            continue
        if item.name != _ITEM and number is None:
            raise _unreadable(values.name, f"an entry {item.name.rpartition('}')[2]!r} in its list")
        text = _text(values.name, item, rdf)
        plain = not item.children and not item.attributes.keys() - {f"{{{_XML}}}lang", f"{{{_XML}}}space"}
        values.entries.append(Entry(text, item if plain else None))
        if number is not None:
            values.obstacle = "a list with numbered entries"
        elif container.name.endswith("}Alt") and f"{{{_XML}}}lang" in item.attributes:
            values.obstacle = "a list of translations"
    if numbered:
        values.obstacle = "a list with numbered entries"


def _text(name: str, item: Element, rdf: Element) -> str:
    """The literal that an entry of a list is."""
    node: str | Element = item
    depth = 0
    while not isinstance(node, str):
        node = _node(name, node, rdf, depth)
        depth += 1
        if isinstance(node, Element) and _is_container(node):
            raise _unreadable(name, "a list in its list")
    return node


def _unreadable(name: str, why: str) -> PacketError:
    return PacketError(f"its {name.rpartition('}')[2]} holds {why}, which is not read")


def fields(item: Element) -> Iterator[tuple[str, str | Element]]:
    """The fields of a structure in an ``rdf:li``, however it is written: each a text or the property's element."""
    for node in (item, *(child for child in item.children if child.name == f"{{{RDF}}}Description")):
        yield from node.attributes.items()
        yield from ((child.name, child) for child in node.children if child.name != f"{{{RDF}}}Description")
