"""A packet without anything that c2srt put in: the bytes that were there before."""

import re
from bisect import bisect_left
from collections import Counter

from c2srt_cli.tagging.keywords import categories
from c2srt_cli.tagging.keywords.ledger import OWN, Opened
from c2srt_cli.tagging.keywords.lists import CATEGORIES, KeywordList
from c2srt_cli.tagging.keywords.packet import Edit, Element, edit, find_attributes, with_space
from c2srt_cli.tagging.keywords.rdf import RDF, Values, descriptions
from c2srt_cli.tagging.keywords.state import State, plain

_ABOUT = (f"{{{RDF}}}about", "about")  # the second is the spelling of the first RDF drafts
_ATTRIBUTE_NAME = re.compile(rb"""\s([^\s=]+)\s*=\s*(?:"[^"]*"|'[^']*')""")


def strip(state: State) -> bytes:
    """The packet without what its ledger records, the ledger itself, and the descriptions that then say nothing."""
    data = state.data
    edits: list[Edit] = []
    for keywords, values in state.found.items():
        edits += _tree_edits(state, values) if keywords is CATEGORIES else _list_edits(state, keywords, values)
    for node in descriptions(state.rdf):
        own = [name for name in node.attributes if name.startswith(f"{{{OWN}}}")]
        edits += [(*found.span, b"") for found in find_attributes(data, node, own)]
        edits += [(*with_space(data, child), b"") for child in node.children if child.namespace() == OWN]
    edits.sort(key=lambda one: one[0])
    starts = [one[0] for one in edits]
    bare: list[Edit] = []
    for node in descriptions(state.rdf):
        inside = edits[bisect_left(starts, node.start) : bisect_left(starts, node.end)]
        if inside and _says_nothing(data, node, inside, first=node is state.rdf.children[0]):
            bare.append((*with_space(data, node), b""))
    edits += bare
    if Opened.RDF in state.ledger.opened and not _left(data, state.rdf.inner, state.rdf.close, edits):
        edits = [*(one for one in edits if one[0] < state.rdf.start), (state.rdf.inner - 1, state.rdf.end, b"/>")]
    return edit(data, edits)


def _list_edits(state: State, keywords: KeywordList, values: list[Values]) -> list[Edit]:
    """What takes c2srt's entries out of a list, and the list with them where it is c2srt's own."""
    ledger, data = state.ledger, state.data
    counted = Counter(map(plain, ledger.added.get(keywords.qualified, ())))
    edits: list[Edit] = []
    for value in values:
        cut: list[Edit] = []
        for entry in value.entries:
            if entry.element is not None and counted[name := plain(entry.text)]:
                counted[name] -= 1
                cut.append((*with_space(data, entry.element), b""))
        edits += cut
        element, container = value.element, value.container
        if element is None or len(cut) < len(value.entries):
            continue
        if keywords.qualified in ledger.introduced or (ledger.legacy and cut):
            edits.append((*with_space(data, element), b""))
        elif container is not None and cut:
            if Opened.LIST_TAG + keywords.qualified in ledger.opened:
                edits.append((container.inner - 1, container.end, b"/>"))
            elif Opened.TAG + keywords.qualified in ledger.opened:
                edits.append((element.inner - 1, element.end, b"/>"))
            elif Opened.ELEMENT + keywords.qualified in ledger.opened:
                edits.append((container.start, container.end, b""))
    return edits


def _tree_edits(state: State, values: list[Values]) -> list[Edit]:
    """The same for ACDSee's tree."""
    ledger, data, name = state.ledger, state.data, CATEGORIES.qualified
    edits: list[Edit] = []
    for value in values:
        element, text = value.element, value.text
        if element is None:
            (place,) = find_attributes(data, value.holder, [value.name])
            whole, span = place.span, place.value
        else:
            whole, span = with_space(data, element), (element.inner, element.close)
        cut, emptied = categories.without(data, span, text, ledger.added.get(name, ()))
        if emptied and name in ledger.introduced:
            edits.append((*whole, b""))
        elif emptied and cut and Opened.TAG + name in ledger.opened and element is not None:
            edits.append((element.inner - 1, element.end, b"/>"))
        elif emptied and cut and Opened.ELEMENT + name in ledger.opened:
            edits.append((*span, b""))
        else:
            edits += cut
    return edits


def _says_nothing(data: bytes, node: Element, edits: list[Edit], *, first: bool) -> bool:
    """Whether a description has no property left, no comment, nor alone says which resource the packet is about."""
    abouts = {node.qualified[name].encode(): node.attributes[name] for name in _ABOUT if name in node.attributes}
    tag = _left(data, node.start, node.inner, edits)
    said = [name for name in _ATTRIBUTE_NAME.findall(tag) if name not in abouts and not name.startswith(b"xmlns")]
    return (
        node.name == f"{{{RDF}}}Description"
        and not said
        and not _left(data, node.inner, node.close, edits).strip()
        and not (first and any(abouts.values()))
    )


def _left(data: bytes, start: int, end: int, edits: list[Edit]) -> bytes:
    """What stays of a span."""
    inside = [(one[0] - start, one[1] - start, one[2]) for one in edits if start <= one[0] and one[1] <= end]
    return edit(data[start:end], inside)
