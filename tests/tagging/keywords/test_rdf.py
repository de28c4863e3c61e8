"""Keyword lists in every form that RDF/XML has for them."""

from xml.etree import ElementTree

import pytest
from packets import (
    lists,
    packet,
    stripped,
    tagged,
)

from c2srt_cli.tagging.keywords.packet import PacketError
from c2srt_cli.tagging.keywords.state import read_state


@pytest.mark.parametrize(
    ("body", "attributes", "why"),
    [
        ("<dc:subject>one</dc:subject>", "", "dc:subject is a single value"),
        ("", 'dc:subject="one"', "dc:subject is an attribute"),
        ("<dc:subject><rdf:Bag><rdf:_1>one</rdf:_1></rdf:Bag></dc:subject>", "", "numbered entries"),
        ("<dc:subject><rdf:Alt><rdf:li xml:lang='x-default'>one</rdf:li></rdf:Alt></dc:subject>", "", "translations"),
        ("<dc:subject rdf:parseType='Literal'>one</dc:subject>", "", "parseType 'Literal'"),
        ("<dc:subject rdf:parseType='Collection'><rdf:Description/></dc:subject>", "", "parseType 'Collection'"),
        ("<dc:subject rdf:nodeID='x'/>", "", "0 nodes 'x'"),
        ("<dc:subject><rdf:Bag><rdf:li><rdf:Bag/></rdf:li></rdf:Bag></dc:subject>", "", "a list in its list"),
        ("<dc:subject><rdf:Bag><dc:li>one</dc:li></rdf:Bag></dc:subject>", "", "an entry 'li'"),
        ("<dc:subject><rdf:Bag/><rdf:Bag/></dc:subject>", "", "several values"),
        ("<dc:subject dc:x='one'/>", "", "a structure"),
        ("<acdsee:categories>&lt;Categories&gt;</acdsee:categories>", "", "categories cannot be read"),
        ("<acdsee:categories>&#60;Categories/></acdsee:categories>", "", "could not undo"),
        ("<acdsee:categories>&lt;svg/&gt;</acdsee:categories>", "", "no tree of categories"),
        ("<acdsee:categories><![CDATA[<Categories></Categories>]]></acdsee:categories>", "", "nothing can be added to"),
        ("<acdsee:categories><rdf:Bag/></acdsee:categories>", "", "categories is a list"),
    ],
)  # fmt: skip
def test_what_is_not_written_as_a_list_is_left_alone_with_a_reason(body: str, attributes: str, why: str) -> None:
    with pytest.raises(PacketError, match=why):
        tagged(packet(body, attributes), ["cat"])


@pytest.mark.parametrize(
    ("body", "after"),
    [
        ("<dc:subject><rdf:Bag><rdf:li>one</rdf:li><rdf:li>two</rdf:li></rdf:Bag></dc:subject>", ""),
        ("<dc:subject><rdf:Alt><rdf:li>one</rdf:li><rdf:li>two</rdf:li></rdf:Alt></dc:subject>", ""),
        ("<dc:subject><rdf:Seq><rdf:li xml:lang='en'>one</rdf:li><rdf:li rdf:resource='two'/></rdf:Seq>"
         "</dc:subject>", ""),
        ("<dc:subject><rdf:Bag><rdf:li>one</rdf:li></rdf:Bag></dc:subject>"
         "<dc:subject><rdf:Bag><rdf:li>two</rdf:li></rdf:Bag></dc:subject>", ""),
        ("<dc:subject><rdf:Bag><rdf:li>one</rdf:li></rdf:Bag></dc:subject>",
         "<d:Photo xmlns:d='x' rdf:about='' xmlns:s='http://purl.org/dc/elements/1.1/'>"
         "<s:subject><rdf:Bag><rdf:li>two</rdf:li></rdf:Bag></s:subject></d:Photo>"),
        ("<dc:subject rdf:nodeID='n'/>", "<rdf:Bag rdf:nodeID='n'><rdf:li>one</rdf:li><rdf:li>two</rdf:li></rdf:Bag>"),
        ("<dc:subject><rdf:Description><rdf:type rdf:resource='http://www.w3.org/1999/02/22-rdf-syntax-ns#Bag'/>"
         "<rdf:li>one</rdf:li><rdf:li>two</rdf:li></rdf:Description></dc:subject>", ""),
        ("<dc:subject><rdf:Bag><rdf:li rdf:parseType='Resource'><rdf:value>one</rdf:value><xmp:q>1</xmp:q></rdf:li>"
         "<rdf:li><rdf:Description rdf:value='two' xmp:q='2'/></rdf:li></rdf:Bag></dc:subject>", ""),
        ("<dc:subject rdf:parseType='Resource'><rdf:value><rdf:Bag><rdf:li>one</rdf:li><rdf:li>two</rdf:li></rdf:Bag>"
         "</rdf:value><xmp:q>1</xmp:q></dc:subject>", ""),
        ("<dc:subject><rdf:Description><rdf:value><rdf:Bag><rdf:li>one</rdf:li><rdf:li>two</rdf:li></rdf:Bag>"
         "</rdf:value></rdf:Description></dc:subject>", ""),
        ("<q:subject xmlns:q='http://purl.org/dc/elements/1.1/'>"
         "<q:Bag xmlns:q='http://www.w3.org/1999/02/22-rdf-syntax-ns#'>"
         "<z:li xmlns:z='http://www.w3.org/1999/02/22-rdf-syntax-ns#'>one</z:li><q:li>two</q:li></q:Bag>"
         "</q:subject>", ""),
        ("<dc:subject><rdf:Bag><!-- -->\n<rdf:li>o<!-- -->ne</rdf:li><rdf:li><![CDATA[two]]></rdf:li></rdf:Bag>"
         "</dc:subject>", ""),
    ],
)  # fmt: skip
def test_every_form_of_a_list_is_read_and_added_to(body: str, after: str) -> None:
    before = packet(body, after=after)
    merged = tagged(before, ["cat"])
    assert lists(merged) == {name: {("one",), ("two",), ("cat",)} for name in ("dc:subject", "lr:hierarchicalSubject")}
    ElementTree.fromstring(merged)
    assert tagged(merged, ["cat"]) == merged
    assert stripped(merged) == before


def test_attributes_and_literals_are_read() -> None:
    assert lists(packet("<lr:hierarchicalSubject>a|b</lr:hierarchicalSubject>", 'dc:subject="one"')) == {
        "dc:subject": {("one",)},
        "lr:hierarchicalSubject": {("a", "b")},
    }
    numbered = packet("<dc:subject><rdf:Bag rdf:_2='two' rdf:_1='one'><rdf:_3>three</rdf:_3></rdf:Bag></dc:subject>")
    assert [k for found in read_state(numbered).present.values() for k in found] == [("one",), ("two",), ("three",)]
