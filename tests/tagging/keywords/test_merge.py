"""Merging keywords into packets: byte for byte, in every list, and back out again."""

import unicodedata
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from packets import (
    CATALOG_SETS,
    FOREIGN,
    HIERARCHY,
    LABELS,
    LAST_KEYWORD,
    OWN,
    RDF,
    SUBJECT,
    TAGS_LIST,
    any_label,
    bag,
    categories,
    lists,
    packet,
    stripped,
    tagged,
    tags,
    without,
    words,
)

from c2srt_cli.tagging.keywords.add import EMPTY
from c2srt_cli.tagging.keywords.contents import Embedded
from c2srt_cli.tagging.keywords.ledger import Claim
from c2srt_cli.tagging.keywords.lists import LISTS, keyword_key
from c2srt_cli.tagging.keywords.merge import is_settled, merge
from c2srt_cli.tagging.keywords.state import read_state


@pytest.mark.parametrize("name", sorted(FOREIGN))
def test_bytes_of_others_stay(name: str) -> None:
    before = FOREIGN[name]
    merged = tagged(before, LABELS)
    assert stripped(merged) == before
    assert tagged(merged, LABELS) == merged
    assert tagged(tagged(before, ["sea", "animal|horse"]), LABELS) == merged
    assert tagged(merged, []) == before
    # deleting what was put in gives the old file: the new one holds every old byte, in order
    remaining = iter(merged)
    assert name.startswith("empty") or all(byte in remaining for byte in before)  # an empty tag is opened


@pytest.mark.parametrize("name", sorted(FOREIGN))
def test_every_list_holds_everything(name: str) -> None:
    before = lists(FOREIGN[name])
    for labels in (LABELS, ["sea"], ["animal|cat"]):
        for packet_ in (FOREIGN[name], tagged(FOREIGN[name], ["hill", "plant|rose"])):
            after = lists(tagged(packet_, labels))
            assert {"dc:subject", "lr:hierarchicalSubject"} <= after.keys() >= before.keys()
            everyone = {keyword for found in [*before.values()] for keyword in found if len(keyword) > 1}
            everyone |= {keyword_key(tuple(label.split("|"))) for label in labels}
            for qualified, found in after.items():
                if qualified == "dc:subject":
                    assert {level[-1:] for level in everyone} <= found
                    assert {(part,) for label in labels for part in label.split("|")} <= found
                else:
                    assert everyone <= found, qualified
                    assert before.get(qualified, set()) <= found


def test_a_keyword_list_made_by_an_older_version_gets_back_the_user_s() -> None:
    """c2srt had introduced lr:hierarchicalSubject with the user's flat keywords; then the user added pets|Tom."""
    own = "".join(
        bag(f"c2srt:{name}", *entries)
        for name, entries in {
            "tags": ["animal|cat"],
            "addedSubject": ["animal", "cat"],
            "addedHierarchicalSubject": ["Ann", "Rome", "animal|cat"],
        }.items()
    )
    old = packet(
        bag("dc:subject", "Ann", "Rome", "animal", "cat", "pets", "Tom"),
        after='<rdf:Description xmlns:lr="http://ns.adobe.com/lightroom/1.0/" xmlns:c2srt="urn:c2srt:xmp#">'
        f"{bag('lr:hierarchicalSubject', 'Ann', 'Rome', 'animal|cat', 'pets|Tom')}{own}"
        "<c2srt:method>zero-shot</c2srt:method></rdf:Description>",
    )
    merged = tagged(old, ["animal|cat"])
    assert set(words(merged, HIERARCHY)) == {"Ann", "Rome", "animal|cat", "pets|Tom"}
    assert set(words(merged, SUBJECT)) == {"Ann", "Rome", "animal", "cat", "pets", "Tom"}
    assert tagged(merged, ["animal|cat"]) == merged
    assert tags(merged) == ["animal|cat"]
    other = tagged(old, ["sea"])  # the old labels are those of the vocabulary that comes
    assert set(words(other, HIERARCHY)) == {"Ann", "Rome", "sea", "pets|Tom"}
    gone = tagged(old, [])
    assert words(gone, SUBJECT) == ["Ann", "Rome", "pets", "Tom"]
    assert words(gone, HIERARCHY) == ["pets|Tom"]
    assert b"<c2srt:" not in gone


def test_keywords_of_the_user_are_never_retracted() -> None:
    merged = tagged(FOREIGN["darktable"], ["beach", "sea"])
    assert tags(merged) == ["beach", "sea"]
    assert words(merged, f"{OWN}addedSubject") == ["sea"]
    assert words(tagged(merged, ["hill"]), SUBJECT) == ["beach", "Summer 2024", "hill"]
    assert words(tagged(merged, []), SUBJECT) == ["beach", "Summer 2024"]


def test_equal_keywords_in_another_composition_or_case_are_not_doubled() -> None:
    merged = tagged(FOREIGN["digikam"], [unicodedata.normalize("NFC", "zoë"), "KÖLN", "sea"])
    assert words(merged, f"{OWN}addedSubject") == ["sea"]
    assert words(merged, SUBJECT) == ["Köln", "Zoe\u0308", "sea"]
    assert words(merged, TAGS_LIST) == ["Orte/Köln", "Menschen/Zoë", "sea"]
    merged = tagged(packet(bag("dc:subject", "Animal", "Sun|Set") + bag("lr:hierarchicalSubject", "Pets|Tom")),
                    ["animal|cat", "pets|Rex", "sun|set", "set"])  # fmt: skip
    assert words(merged, HIERARCHY) == ["Pets|Tom", "Animal", "Sun|Set", "Animal|cat", "Pets|Rex"]
    assert words(merged, SUBJECT) == ["Animal", "Sun|Set", "Tom", "cat", "Pets", "Rex", "Sun", "set"]
    # the user's spelling comes into the list that c2srt makes
    merged = tagged(packet(bag("dc:subject", "Cat")), ["cat", "dog"])
    assert words(merged, SUBJECT) == ["Cat", "dog"]
    assert words(merged, HIERARCHY) == ["Cat", "dog"]
    assert stripped(merged) == packet(bag("dc:subject", "Cat"))


def test_a_category_below_one_of_ours_keeps_it() -> None:
    merged = tagged(FOREIGN["every list"], ["animal|cat"])
    mark = b"&lt;Category Assigned=&quot;0&quot;&gt;animal"
    theirs = merged.replace(mark, mark + b"&lt;Category Assigned=&quot;1&quot;&gt;bird&lt;/Category&gt;")
    assert sorted(categories(tagged(theirs, []))) == ["People|Ann", "animal|bird"]
    again = tagged(theirs, ["animal|cat", "animal|bird|owl"])
    assert sorted(categories(again)) == ["People|Ann", "Trips|Rome", "animal|bird", "animal|bird|owl", "animal|cat"]
    assert stripped(again) == stripped(theirs)


def test_separators() -> None:
    """A level that holds a list's separator: Immich writes | for a slash in digiKam:TagsList, and reads it back."""
    merged = tagged(packet(bag("digiKam:TagsList", "Music/AC|DC", container="Seq")), ["either/or", "a|b/c"])
    assert words(merged, HIERARCHY) == ["Music|AC/DC", "either/or", "a|b/c"]
    assert words(merged, TAGS_LIST) == ["Music/AC|DC", "either|or", "a/b|c"]
    assert words(merged, SUBJECT) == ["AC/DC", "either/or", "a", "b/c"]


def test_a_list_that_came_after_the_first_run_is_filled_on_the_second() -> None:
    before = packet(bag("dc:subject", "Ann"))
    merged = tagged(before, ["animal|cat"])
    more = bag("digiKam:TagsList", "People/Ann", container="Seq").encode()
    merged = merged.replace(b"</dc:subject>", b"</dc:subject>" + more, 1)
    again = tagged(merged, ["animal|cat"])
    assert words(again, TAGS_LIST) == ["People/Ann", "animal/cat"]
    assert words(again, HIERARCHY) == ["People|Ann", "animal|cat"]
    assert tagged(again, ["animal|cat"]) == again
    assert stripped(again) == before.replace(b"</dc:subject>", b"</dc:subject>" + more, 1)


# what the photograph holds itself


EMBEDDED = Embedded((("Ann",), ("Rome",), ("People", "Ann"), ("Trips", "Rome")))


def test_a_new_sidecar_starts_from_the_photograph() -> None:
    odd = Embedded((("x|y",), ("a/b",)))  # a path written into one word, and a word with a slash
    merged = tagged(b"", ["cat"], embedded=odd)
    assert (words(merged, SUBJECT), words(merged, HIERARCHY)) == (["x|y", "a/b", "cat"], ["x|y", "a/b", "cat"])
    assert is_settled(read_state(merged))
    assert tagged(merged, ["cat"], embedded=None) == merged
    assert words(tagged(without(merged, HIERARCHY, "x|y"), ["cat"], embedded=odd), SUBJECT) == ["a/b", "cat"]

    merged = tagged(b"", ["animal|cat"], embedded=EMBEDDED)
    assert words(merged, SUBJECT) == ["Ann", "Rome", "animal", "cat"]
    assert words(merged, HIERARCHY) == ["People|Ann", "Trips|Rome", "animal|cat"]
    assert tagged(merged, ["animal|cat"], embedded=EMBEDDED) == merged
    assert tagged(merged, ["animal|cat"], embedded=None) == merged  # the photograph is not at hand
    assert tagged(merged, [], embedded=EMBEDDED) == b""
    fewer = Embedded((("Rome",), ("Trips", "Rome")))  # taken out of the photograph itself
    assert words(tagged(merged, ["animal|cat"], embedded=fewer), HIERARCHY) == ["Trips|Rome", "animal|cat"]


def test_every_list_that_the_photograph_has_is_in_the_sidecar() -> None:
    """Immich takes the photograph's digiKam:TagsList before the sidecar's lr:hierarchicalSubject."""
    embedded = Embedded((("People", "Ann"),), frozenset(LISTS))
    merged = tagged(packet(bag("lr:hierarchicalSubject", "Trips|Rome")), ["cat"], embedded=embedded)
    assert words(merged, TAGS_LIST) == ["Trips/Rome", "People/Ann", "cat"]
    assert words(merged, LAST_KEYWORD) == ["Trips/Rome", "People/Ann", "cat"]
    assert words(merged, CATALOG_SETS) == ["Trips|Rome", "People|Ann", "cat"]
    assert sorted(categories(merged)) == ["People|Ann", "Trips|Rome", "cat"]
    assert tagged(merged, ["cat"], embedded=embedded) == merged
    assert tagged(merged, [], embedded=embedded) == packet(bag("lr:hierarchicalSubject", "Trips|Rome"))


def test_keywords_taken_out_of_a_sidecar_that_started_from_the_photograph_stay_out() -> None:
    """A sidecar that holds some of the photograph's keywords was made from them; the others have been taken out."""
    merged = tagged(packet(bag("dc:subject", "Rome")), ["cat"], embedded=EMBEDDED)
    assert words(merged, SUBJECT) == ["Rome", "cat"]
    assert words(merged, HIERARCHY) == ["Rome", "cat"]
    # one that shares none has just not looked at them
    merged = tagged(packet(bag("dc:subject", "Summer")), ["cat"], embedded=EMBEDDED)
    assert words(merged, SUBJECT) == ["Summer", "Ann", "Rome", "cat"]
    assert words(merged, HIERARCHY) == ["Summer", "People|Ann", "Trips|Rome", "cat"]


def test_a_keyword_of_the_photograph_that_is_taken_out_of_the_sidecar_stays_out() -> None:
    merged = tagged(b"", ["cat"], embedded=EMBEDDED)
    changed = without(merged, HIERARCHY, "People|Ann")
    again = tagged(changed, ["cat"], embedded=EMBEDDED)
    assert words(again, SUBJECT) == ["Rome", "cat"]
    assert words(again, HIERARCHY) == ["Trips|Rome", "cat"]
    assert tagged(again, ["cat"], embedded=EMBEDDED) == again
    # without a label left the sidecar stays: Ann would come back from the photograph
    kept = tagged(again, [], embedded=EMBEDDED)
    assert words(kept, HIERARCHY) == ["Trips|Rome"]
    assert tagged(kept, [], embedded=EMBEDDED) == kept


# vocabularies


def test_vocabularies_leave_each_other_s_keywords() -> None:
    first = tagged(FOREIGN["lightroom"], ["sea", "sun"], "holidays")
    both = tagged(first, ["cat", "sun"], "animals")
    assert words(both, SUBJECT) == ["family", "dog", "cat", "sun", "sea"]
    assert tagged(both, ["sea", "sun"], "holidays") == both
    # what both give stays while one does
    assert words(tagged(both, ["sea"], "holidays"), SUBJECT) == ["family", "dog", "cat", "sun", "sea"]
    fewer = tagged(tagged(both, ["sea"], "holidays"), ["cat"], "animals")
    assert words(fewer, SUBJECT) == ["family", "dog", "cat", "sea"]
    # whichever came first
    assert tagged(tagged(FOREIGN["lightroom"], ["cat", "sun"], "animals"), ["sea", "sun"], "holidays") == both
    assert tagged(tagged(both, [], "holidays"), [], "animals") == FOREIGN["lightroom"]


def test_a_sidecar_that_is_c2srt_s_alone_goes_with_the_last_keyword_but_for_refusals() -> None:
    both = tagged(tagged(b"", ["sea"], "a"), ["cat"], "b")
    one = tagged(both, [], "a")
    assert words(one, SUBJECT) == ["cat"]
    assert tagged(one, [], "b") == b""
    refused = tagged(without(one, SUBJECT, "cat"), ["cat"], "b")
    assert words(refused, SUBJECT) == []
    assert words(tagged(refused, [], "b"), f"{OWN}refused") == ["cat"]
    assert tagged(EMPTY, []) == b""
    # a rating makes it the user's
    rated = one.replace(
        b"<dc:subject>", b'<xmp:Rating xmlns:xmp="http://ns.adobe.com/xap/1.0/">3</xmp:Rating><dc:subject>'
    )
    assert b"Rating" in tagged(rated, [], "b")
    assert b"<c2srt:" not in tagged(rated, [], "b")


# what is left alone


def test_tags_written_as_attributes_by_other_programs_are_found() -> None:
    """Adobe's toolkit gathers everything in one description and writes simple properties as attributes."""
    rewritten = b"""<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:own="urn:c2srt:xmp#"
    xmlns:xmp="http://ns.adobe.com/xap/1.0/"
   own:created="True" xmp:Label="own:method='ram'" own:method='mini'>
   <dc:subject><rdf:Bag><rdf:li>mine</rdf:li><rdf:li>sea</rdf:li></rdf:Bag></dc:subject>
   <own:vocabularies><rdf:Bag><rdf:li><rdf:Description own:name="labels" own:method="ram">
    <own:tags><rdf:Bag><rdf:li>sea</rdf:li></rdf:Bag></own:tags></rdf:Description></rdf:li></rdf:Bag></own:vocabularies>
   <own:addedSubject><rdf:Bag><rdf:li>sea</rdf:li></rdf:Bag></own:addedSubject>
  </rdf:Description></rdf:RDF></x:xmpmeta>"""
    bare = stripped(rewritten)
    (description,) = ElementTree.fromstring(bare).iter(f"{RDF}Description")
    assert description.attrib == {f"{RDF}about": "", "{http://ns.adobe.com/xap/1.0/}Label": "own:method='ram'"}
    assert words(bare, SUBJECT) == ["mine"]
    assert read_state(rewritten).ledger.claims == {"labels": Claim(("sea",), provenance={"method": "ram"})}
    # the first description stays where it alone says which resource the packet is about
    introduced = b"<own:introduced><rdf:Bag><rdf:li>dc:subject</rdf:li></rdf:Bag></own:introduced></rdf:Description>"
    ours = rewritten.replace(b"</rdf:Description></rdf:RDF>", introduced + b"</rdf:RDF>").replace(
        b"xmp:Label=", b"own:x="
    )
    ours = ours.replace(b"<rdf:li>mine</rdf:li>", b"")
    assert list(ElementTree.fromstring(stripped(ours)).iter(f"{RDF}Description")) == []
    (description,) = ElementTree.fromstring(stripped(ours.replace(b'about=""', b'about="uuid:1"'))).iter(
        f"{RDF}Description"
    )
    assert (description.attrib, list(description)) == ({f"{RDF}about": "uuid:1"}, [])
    merged = tagged(rewritten, ["hill"])
    assert words(merged, SUBJECT) == ["mine", "hill"]
    assert tagged(merged, ["hill"]) == merged


# any labels


@settings(deadline=None)
@given(
    st.sampled_from([b"", *FOREIGN.values()]),
    st.lists(any_label, max_size=6),
    st.lists(any_label, min_size=1, max_size=6),
    st.dictionaries(st.sampled_from(["method", "run"]), any_label),
)
def test_merge_of_any_labels(foreign: bytes, earlier: list[str], labels: list[str], made: dict[str, str]) -> None:
    claim = Claim(tuple(dict.fromkeys(labels)), provenance=made)
    merged = merge(foreign, "labels", claim, Embedded())
    if not merged:
        return
    assert merge(merged, "labels", claim, Embedded()) == merged
    assert merge(tagged(foreign, earlier), "labels", claim, Embedded()) == merged
    assert stripped(merged) == (foreign or EMPTY) or not foreign
    state = read_state(merged)
    assert is_settled(state)
    found = lists(merged)
    for text in tags(merged):
        keyword = keyword_key(tuple(word for part in text.split("|") if (word := part.strip())))
        if keyword:
            assert {(level,) for level in keyword} <= found["dc:subject"]
            assert len(keyword) == 1 or keyword in found["lr:hierarchicalSubject"]
