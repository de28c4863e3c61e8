"""Keywords put into a packet: into the lists that are there, the rest in a description of c2srt's own."""

from collections.abc import Mapping
from dataclasses import replace

from c2srt_cli.tagging.keywords import categories
from c2srt_cli.tagging.keywords.ledger import OWN, Ledger, Opened, ledger_lines, list_lines
from c2srt_cli.tagging.keywords.lists import CATEGORIES, LISTS, Keyword, KeywordList
from c2srt_cli.tagging.keywords.markup import xml_element, xml_escape
from c2srt_cli.tagging.keywords.packet import Edit, Element, PacketError, edit, find_attributes, sibling_tag, with_space
from c2srt_cli.tagging.keywords.rdf import RDF, Values, descriptions
from c2srt_cli.tagging.keywords.state import State

_ABOUT = (f"{{{RDF}}}about", "about")

#: A new packet.
EMPTY = f"""<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="c2srt">
 <rdf:RDF xmlns:rdf="{RDF}">
 </rdf:RDF>
</x:xmpmeta>
<?xpacket end="w"?>
""".encode()


def add(state: State, additions: Mapping[KeywordList, list[Keyword]], ledger: Ledger) -> bytes:
    """A packet that holds nothing of c2srt's, with keywords and their ledger.

    Args:
        state: Of the packet.
        additions: What each list lacks.
        ledger: What to remember beside what is added.

    Raises:
        PacketError: a list is written in a way that nothing can be added to.
    """
    edits: list[Edit] = []
    added: dict[str, tuple[str, ...]] = {}
    fresh: list[str] = []
    introduced, opened = [], []
    prefix = state.rdf.prefix or "rdf"
    for keywords, lacking in additions.items():
        name = keywords.qualified
        entries = [keywords.entry(keyword) for keyword in lacking]
        if keywords not in state.found:
            introduced.append(name)
            if keywords is CATEGORIES:
                text, entries = categories.write(lacking)
                fresh.append("  " + xml_element(name, text))
            else:
                fresh += list_lines(name, entries, prefix, keywords.container)
        elif keywords is CATEGORIES:
            (place,) = _places(keywords, state.found[keywords][:1])
            more, entries, way = _tree_additions(state.data, place, lacking)
            edits += more
            opened += [way + name] if way else []
        else:
            one, way = _list_addition(state.data, keywords, _places(keywords, state.found[keywords])[-1], entries)
            edits.append(one)
            opened += [way + name] if way else []
        added[name] = tuple(entries)
    opened += [Opened.RDF] if state.rdf.self_closed else []
    ledger = replace(ledger, added=added, introduced=tuple(introduced), opened=tuple(opened))
    block = "\n".join(["", *_opening(state.rdf, additions, prefix), *fresh, *ledger_lines(ledger, prefix)])
    edits.append(_appended(state.rdf, f"{block}\n </{prefix}:Description>".encode()))
    return edit(state.data, edits)


def _places(keywords: KeywordList, found: list[Values]) -> list[Values]:
    """Those occurrences of a list that can take more, the best last."""
    if keywords is CATEGORIES:
        return found
    usable = [value for value in found if not value.obstacle]
    if not usable:
        raise PacketError(f"its {keywords.qualified} is {found[-1].obstacle}, which takes no more keywords")
    return sorted(usable, key=lambda value: (value.container is not None, bool(value.entries)))


def _list_addition(data: bytes, keywords: KeywordList, place: Values, entries: list[str]) -> tuple[Edit, str]:
    """An edit that puts entries at the end of a list, and how the list was written where it was empty."""
    element, container = place.element, place.container
    assert element is not None
    if container is None:
        name = f"rdf:{keywords.container}"
        items = "".join(xml_element("rdf:li", entry) for entry in entries)
        inner = f'<{name} xmlns:rdf="{RDF}">{items}</{name}>'
        return _filled(element, inner), Opened.TAG if element.self_closed else Opened.ELEMENT
    tag = sibling_tag(container, "li")
    if not container.children:
        inner = "".join(xml_element(tag, entry) for entry in entries)
        return _filled(container, inner), Opened.LIST_TAG if container.self_closed else ""
    last = container.children[-1]
    gap = data[with_space(data, last)[0] : last.start]
    return (last.end, last.end, b"".join(gap + xml_element(tag, entry).encode() for entry in entries)), ""


def _tree_additions(data: bytes, place: Values, lacking: list[Keyword]) -> tuple[list[Edit], list[str], str]:
    """Edits that put keywords into ACDSee's tree, their record, and how it was written where it was empty."""
    element = place.element
    way = "" if place.text.strip() else Opened.ELEMENT
    if element is None:
        (attribute,) = find_attributes(data, place.holder, [place.name])
        span = attribute.value
    elif element.self_closed:
        text, record = categories.write(lacking)
        return [_filled(element, xml_escape(text))], record, Opened.TAG
    else:
        span = (element.inner, element.close)
    edits, record = categories.additions(data, span, place.text, lacking)
    return edits, record, way


def _filled(element: Element, inner: str) -> Edit:
    """An edit that puts markup first into an element without children."""
    if element.self_closed:
        return element.inner - 2, element.inner, f">{inner}</{element.tag}>".encode()
    return element.inner, element.inner, inner.encode()


def _opening(rdf: Element, additions: Mapping[KeywordList, list[Keyword]], prefix: str) -> list[str]:
    """Start tag of c2srt's description, which speaks of the same resource as the first one."""
    first = next((node.attributes for node in descriptions(rdf)), {})
    about = next((first[name] for name in _ABOUT if name in first), "")
    spaces = {keywords.prefix: keywords.namespace for keywords in LISTS if keywords.always or keywords in additions}
    spaces |= {"c2srt": OWN} | ({} if rdf.prefix else {"rdf": RDF})
    lines = [f' <{prefix}:Description {prefix}:about="{xml_escape(about)}"']
    lines += [f'   xmlns:{short}="{space}"' for short, space in spaces.items()]
    lines[-1] += ">"
    return lines


def _appended(rdf: Element, block: bytes) -> Edit:
    """An edit that puts a description after the last one."""
    if rdf.self_closed:
        return rdf.inner - 2, rdf.inner, b">" + block + f"</{rdf.tag}>".encode()
    place = rdf.children[-1].end if rdf.children else rdf.inner
    return place, place, block
