"""Bounds of what is read, and that time grows no faster than the packet."""

import time
from itertools import pairwise

import pytest
from packets import HIERARCHY, bag, packet, tagged, words

from c2srt_cli.tagging.keywords import packet as packets
from c2srt_cli.tagging.keywords.packet import PacketError, edit, parse
from c2srt_cli.tagging.keywords.state import read_state


def test_size_is_bounded() -> None:
    with pytest.raises(PacketError, match="larger than 64 MiB"):
        parse(b" " * (64 << 20) + b"<a/>")


def test_the_number_of_elements_and_attributes_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packets, "MAX_ELEMENTS", 100)
    parse(b"<a>" + b"<b/>" * 99 + b"</a>")
    for data in (b"<a>" + b"<b/>" * 100 + b"</a>", b"<a>" * 101 + b"</a>" * 101):
        with pytest.raises(PacketError, match="more than 100"):
            parse(data)
    with pytest.raises(PacketError, match="more than 100"):
        parse(b"<a" + b"".join(b" a%d=''" % i for i in range(100)) + b"/>")


@pytest.mark.parametrize(
    "data",
    [
        b"<a>" * 30_000 + b"</a>" * 30_000,
        packet("<x:y xmlns:x='x'>" + "<x:z>" * 30_000 + "</x:z>" * 30_000 + "</x:y>"),
        packet("<dc:subject>" + "<rdf:Bag><rdf:li>" * 20_000 + "</rdf:li></rdf:Bag>" * 20_000 + "</dc:subject>"),
        packet("<dc:subject rdf:parseType='Resource'>" + "<rdf:value rdf:parseType='Resource'>" * 20_000
               + "</rdf:value>" * 20_000 + "</dc:subject>"),
        packet("<acdsee:categories>&lt;Categories&gt;" + "&lt;Category Assigned='1'&gt;a" * 20_000
               + "&lt;/Category&gt;" * 20_000 + "&lt;/Categories&gt;</acdsee:categories>"),
        packet(bag("digiKam:TagsList", "a/" * 20_000)),
        packet(bag("dc:subject", "x" * 2_000_000)),
        packet("<!-- " + " " * 2_000_000 + "-->" + "\n" * 1_000_000),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("no_collection")  # which may take longer than all else
def test_depth_and_length_are_a_reason_or_no_matter(data: bytes) -> None:
    start = time.process_time()
    try:
        read_state(tagged(data, ["cat", "animal|dog"]))
    except PacketError as error:
        assert len(str(error)) < 200
    assert time.process_time() - start < 5


@pytest.mark.usefixtures("no_collection")
def test_time_grows_with_the_number_of_keywords_alone() -> None:
    """Ten times the keywords may take some ten times the time, not a hundred times."""
    seconds = []
    for count in (1_000, 10_000):
        data = packet(bag("dc:subject", *(f"word {i}" for i in range(count))) + "<dc:title> x </dc:title>")
        start = time.process_time()
        merged = tagged(data, ["cat", "animal|dog"])
        assert len(words(merged, HIERARCHY)) == count + 2
        assert tagged(merged, ["cat"]) != merged
        seconds.append(time.process_time() - start)
    for fewer, more in pairwise(seconds):
        assert more < 30 * max(fewer, 0.02)


def test_edits() -> None:
    assert edit(b"abcdef", [(4, 5, b""), (1, 1, b"X"), (1, 1, b"Y"), (2, 4, b"")]) == b"aXYbf"
    assert edit(b"abcdef", [(1, 5, b"-"), (2, 3, b"lost"), (5, 5, b"+")]) == b"a-+f"
