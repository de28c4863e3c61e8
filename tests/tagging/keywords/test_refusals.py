"""What people have taken out of a sidecar stays out of it."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from packets import (
    CATALOG_SETS,
    FOREIGN,
    HIERARCHY,
    LAST_KEYWORD,
    OWN,
    SUBJECT,
    TAGS_LIST,
    any_label,
    bag,
    categories,
    lists,
    packet,
    tagged,
    without,
    words,
)

from c2srt_cli.tagging.keywords.merge import is_settled
from c2srt_cli.tagging.keywords.state import read_state


@pytest.mark.parametrize("place", [SUBJECT, HIERARCHY, TAGS_LIST, LAST_KEYWORD, CATALOG_SETS])
def test_a_keyword_taken_out_of_any_list_stays_out_of_all(place: str) -> None:
    entry = {SUBJECT: "dog", TAGS_LIST: "animal/dog", LAST_KEYWORD: "animal/dog"}.get(place, "animal|dog")
    merged = tagged(FOREIGN["every list"], ["animal|dog", "animal|cat", "sea"])
    again = tagged(without(merged, place, entry), ["animal|dog", "animal|cat", "sea"])
    assert all(not any("dog" in level for k in found for level in k) for found in lists(again).values())
    assert words(again, f"{OWN}refused") in (["animal|dog"], ["animal|dog", "dog"])
    for found in lists(again).values():
        assert {("sea",)} <= found
    assert tagged(again, ["animal|dog", "animal|cat", "sea"]) == again
    # another vocabulary does not bring it back either, nor a run in between that does not give it
    assert "animal|dog" not in words(tagged(again, ["animal|dog"], "other"), HIERARCHY)
    later = tagged(tagged(again, ["sea"]), ["animal|dog", "sea"])
    assert "animal|dog" not in words(later, HIERARCHY)
    # asked for, it does come back, in all of them
    back = tagged(again, ["animal|dog", "animal|cat", "sea"], restored=("animal|dog",))
    assert lists(back) == lists(merged)
    assert words(back, f"{OWN}refused") == []


def test_a_category_taken_out_stays_out() -> None:
    merged = tagged(FOREIGN["every list"], ["animal|dog", "sea"])
    changed = merged.replace(b"&lt;Category Assigned=&quot;1&quot;&gt;dog&lt;/Category&gt;", b"")
    assert changed != merged
    again = tagged(changed, ["animal|dog", "sea"])
    assert "animal|dog" not in words(again, HIERARCHY)
    assert sorted(categories(again)) == ["People|Ann", "Trips|Rome", "sea"]


def test_a_level_taken_out_of_the_flat_list_stays_out_of_it() -> None:
    merged = tagged(b"", ["animal|dog"])
    again = tagged(without(merged, SUBJECT, "animal"), ["animal|dog"])
    assert words(again, SUBJECT) == ["dog"]
    assert words(again, HIERARCHY) == ["animal|dog"]
    assert words(tagged(again, ["animal|dog"], restored=("animal|dog",)), SUBJECT) == ["animal", "dog"]


def test_a_refused_keyword_put_back_by_hand_is_the_user_s() -> None:
    merged = tagged(b"", ["dog", "sea"])
    refused = tagged(without(merged, SUBJECT, "dog"), ["dog", "sea"])
    assert words(refused, HIERARCHY) == ["sea"]
    by_hand = refused.replace(b"<dc:subject>", b"<dc:subject>", 1).replace(
        b"<rdf:li>sea</rdf:li>", b"<rdf:li>Dog</rdf:li><rdf:li>sea</rdf:li>", 1
    )
    again = tagged(by_hand, ["dog", "sea"])
    assert words(again, SUBJECT) == ["Dog", "sea"]
    assert words(again, HIERARCHY) == ["Dog", "sea"]
    assert words(again, f"{OWN}refused") == []
    assert words(tagged(again, []), SUBJECT) == ["Dog"]


def test_a_keyword_of_the_user_s_taken_out_of_a_list_that_c2srt_brought_it_to_stays_out_of_that_list() -> None:
    merged = tagged(packet(bag("dc:subject", "Ann", "Rome")), ["sea"])
    assert words(merged, HIERARCHY) == ["Ann", "Rome", "sea"]
    again = tagged(without(merged, HIERARCHY, "Ann"), ["sea"])
    assert words(again, SUBJECT) == ["Ann", "Rome", "sea"]  # theirs
    assert words(again, HIERARCHY) == ["Rome", "sea"]
    assert words(tagged(again, ["sea", "ann"]), HIERARCHY) == ["Rome", "sea"]
    # the same where a label says it too
    merged = tagged(packet(bag("dc:subject", "Ann", "Rome")), ["sea", "ann"])
    again = tagged(without(merged, HIERARCHY, "Ann"), ["sea", "ann"])
    assert (words(again, SUBJECT), words(again, HIERARCHY)) == (["Ann", "Rome", "sea"], ["Rome", "sea"])


def test_a_list_written_by_a_program_that_has_read_ours_says_what_was_taken_out() -> None:
    """Immich reads lr:hierarchicalSubject and writes digiKam:TagsList, without what was taken out there."""
    merged = tagged(b"", ["animal|dog", "sea", "sofa"])
    written = bag("digiKam:TagsList", "sea", "Zoo", container="Seq").replace(
        "<digiKam:TagsList>", '<digiKam:TagsList xmlns:digiKam="http://www.digikam.org/ns/1.0/">'
    )
    again = tagged(
        merged.replace(b"<dc:subject>", written.encode() + b"<dc:subject>", 1), ["animal|dog", "sea", "sofa"]
    )
    assert words(again, TAGS_LIST) == ["sea", "Zoo"]
    assert words(again, HIERARCHY) == ["sea", "Zoo"]
    assert words(again, SUBJECT) == ["sea", "Zoo"]


@pytest.mark.parametrize(
    "mine", [b"<rdf:li><rdf:Description><rdf:value>sea</rdf:value></rdf:Description></rdf:li>", b"<rdf:li>Sea</rdf:li>"]
)
def test_a_keyword_of_ours_that_somebody_has_taken_in_hand_is_theirs(mine: bytes) -> None:
    merged = tagged(packet(bag("dc:subject", "Ann")), ["sea"])
    changed = merged.replace(b"<rdf:li>sea</rdf:li>", mine, 1)
    assert changed != merged
    gone = tagged(changed, [])
    assert lists(gone)["dc:subject"] == {("ann",), ("sea",)}
    assert lists(tagged(changed, ["sea"])) == lists(merged)


def test_a_list_that_holds_what_was_the_user_s_before_says_nothing_of_ours() -> None:
    merged = tagged(packet(bag("dc:subject", "sea")), ["sea", "dog"])
    more = bag("digiKam:TagsList", "sea", container="Seq").encode()
    again = tagged(merged.replace(b"<dc:subject>", more + b"<dc:subject>", 1), ["sea", "dog"])
    assert words(again, TAGS_LIST) == ["sea", "dog"]


def test_respelling_is_no_removal() -> None:
    merged = tagged(b"", ["dog", "sea"])
    again = tagged(merged.replace(b"<rdf:li>dog</rdf:li>", b"<rdf:li>Dog</rdf:li>", 1), ["dog", "sea"])
    assert words(again, SUBJECT) == ["Dog", "sea"]
    assert words(again, f"{OWN}refused") == []
    assert words(tagged(again, []), SUBJECT) == ["Dog"]


@settings(deadline=None, max_examples=60)
@given(st.sampled_from(sorted(FOREIGN)), st.lists(any_label, min_size=1, max_size=5), st.data())
def test_whatever_is_taken_out_of_a_merge_stays_out(name: str, labels: list[str], data: st.DataObject) -> None:
    merged = tagged(FOREIGN[name], labels)
    place = data.draw(st.sampled_from([SUBJECT, HIERARCHY, TAGS_LIST]))
    if not (ours := words(merged, f"{OWN}added{place.rpartition('}')[2][0].upper()}{place.rpartition('}')[2][1:]}")):
        return
    gone = data.draw(st.sampled_from(ours))
    again = tagged(without(merged, place, gone), labels)
    assert gone not in words(again, place)
    assert tagged(again, labels) == again
    assert is_settled(read_state(again))
