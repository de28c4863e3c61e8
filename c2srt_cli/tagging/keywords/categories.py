"""ACDSee's keyword list: a tree in XML, kept as the text of one property, ``acdsee:categories``.

``<Categories><Category Assigned="0">People<Category Assigned="1">Ann</Category></Category></Categories>`` gives a
photograph the keyword ``People|Ann``. What is put in lies in between the bytes of the text as it is written in the
packet, entities and all, so that it can be taken out again.
"""

import re
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import takewhile

from c2srt_cli.tagging.keywords.lists import MAX_LEVELS, Keyword, word_key
from c2srt_cli.tagging.keywords.markup import xml_escape
from c2srt_cli.tagging.keywords.packet import Edit, Element, PacketError, parse

#: Bytes of markup that stand for one character: a reference, a line break, or the character in UTF-8.
_CHARACTER = re.compile(rb"&([^;]*);|\r\n|[\x00-\x7f]|[\xc0-\xff][\x80-\xbf]*")
_NAMED = {b"lt", b"gt", b"amp", b"quot", b"apos"}
#: Ends the record of a category that was made for the sake of those below it.
PARENT = "|"


@dataclass(frozen=True, slots=True)
class Category:
    """One category of the tree."""

    path: Keyword
    assigned: bool
    element: Element


def read(text: str) -> list[Keyword]:
    """The keywords of a tree.

    Raises:
        PacketError: it is none.
    """
    return [category.path for category in _walk(_tree(text)) if category.assigned] if text.strip() else []


def write(keywords: Iterable[Keyword]) -> tuple[str, list[str]]:
    """A tree with these keywords, and the record of its categories, for `without`."""
    markup, record = _branches((), sorted(keywords))
    return f"<Categories>{markup}</Categories>", record


def additions(
    data: bytes, span: tuple[int, int], text: str, keywords: Iterable[Keyword]
) -> tuple[list[Edit], list[str]]:
    """Edits that put keywords into the tree that is written in a span of a packet, and the record of what they add.

    Raises:
        PacketError: the text is no tree, or not written as plain characters and references.
    """
    if not text.strip():
        markup, record = write(keywords)
        return [(span[1], span[1], xml_escape(markup).encode())], record
    root = _tree(text)
    places = _places(data, span, text)
    branches: dict[int, tuple[Element, Keyword, list[Keyword]]] = {}
    for keyword in keywords:
        parent, above = _deepest(root, keyword)
        branches.setdefault(id(parent), (parent, above, []))[2].append(keyword[len(above) :])
    edits, added = [], []
    for parent, above, below in branches.values():
        markup, record = _branches(above, sorted(below))
        added += record
        if parent.self_closed:
            added += [PARENT] if parent is root else []
            markup = f">{markup}</{parent.tag}>"
            edits.append((places[parent.inner - 2], places[parent.inner], xml_escape(markup).encode()))
        else:
            edits.append((places[parent.close], places[parent.close], xml_escape(markup).encode()))
    return edits, added


def without(data: bytes, span: tuple[int, int], text: str, record: Iterable[str]) -> tuple[list[Edit], bool]:
    """Edits that take out what `additions` recorded, as far as it is still there, and whether nothing is left."""
    if not text.strip():
        return [], True
    recorded = Counter(record)
    root = _tree(text)
    gone: set[int] = set()
    found = list(_walk(root))
    for category in reversed(found):  # the deepest first
        name = "|".join(category.path) + ("" if category.assigned else PARENT)
        if recorded[name] and all(id(child) in gone for child in category.element.children):
            recorded[name] -= 1
            gone.add(id(category.element))
    elements = [category.element for category in found if id(category.element) in gone]
    places = _places(data, span, text) if elements else array("Q")
    edits = [(places[element.start], places[element.end], b"") for element in elements]
    if recorded[PARENT] and elements and len(gone) == len(found):  # the tree was one empty tag
        edits = [(places[root.inner - 1], places[root.end], xml_escape("/>").encode())]
    return edits, len(gone) == len(found)


def _tree(text: str) -> Element:
    try:
        root = parse(text.encode())
    except PacketError as error:
        raise PacketError(f"its acdsee:categories cannot be read: {error}") from None
    if root.name != "Categories":
        raise PacketError("its acdsee:categories is no tree of categories")
    return root


def _walk(root: Element) -> Iterator[Category]:
    """Every category below the root, parents first."""
    pending: list[tuple[Keyword, Element]] = [((), child) for child in reversed(root.children)]
    while pending:
        above, element = pending.pop()
        if len(above) > MAX_LEVELS:
            raise PacketError(f"its acdsee:categories is deeper than {MAX_LEVELS} levels")
        if element.name == "Category" and (word := element.text.strip()):
            path = (*above, word)
            yield Category(path, element.attributes.get("Assigned") == "1", element)
            pending += [(path, child) for child in reversed(element.children)]


def _deepest(root: Element, keyword: Keyword) -> tuple[Element, Keyword]:
    """The category furthest down the way to a keyword, and its own path; never the keyword's own."""
    parent: Element = root
    above: Keyword = ()
    for level in keyword[:-1]:
        for child in parent.children:
            if child.name == "Category" and word_key(child.text) == word_key(level):
                parent, above = child, (*above, child.text.strip())
                break
        else:
            break
    return parent, above


def _branches(above: Keyword, keywords: list[Keyword]) -> tuple[str, list[str]]:
    """Markup of sorted keywords below a category, and the record of each category in it."""
    markup, record = [], []
    last: Keyword = ()
    for keyword in dict.fromkeys(keywords):
        shared = len(list(takewhile(lambda pair: pair[0] == pair[1], zip(last, keyword, strict=False))))
        markup.append("</Category>" * (len(last) - shared))
        for depth in range(shared, len(keyword)):
            assigned = depth == len(keyword) - 1
            markup.append(f'<Category Assigned="{int(assigned)}">{xml_escape(keyword[depth])}')
            record.append("|".join((*above, *keyword[: depth + 1])) + ("" if assigned else PARENT))
        last = keyword
    return "".join(markup) + "</Category>" * len(last), record


def _places(data: bytes, span: tuple[int, int], text: str) -> "array[int]":
    """Where each byte of the text lies in the packet, and at the end where the text ends there.

    Raises:
        PacketError: the text is written in a way that does not say (a CDATA section, comments in between).
    """
    places = array("Q")
    for match in _CHARACTER.finditer(data, *span):
        reference = match[1]
        if reference is None:
            length = 1 if len(match[0]) == 2 and match[0] == b"\r\n" else len(match[0])
        elif reference in _NAMED:
            length = 1
        else:
            length = len(chr(int(reference[2:], 16) if reference[1:2] in b"xX" else int(reference[1:])).encode())
        places.extend([match.start()] * length)
    places.append(span[1])
    if len(places) != len(text.encode()) + 1 or b"<" in data[slice(*span)]:
        raise PacketError("its acdsee:categories is written in a form that nothing can be added to")
    return places
