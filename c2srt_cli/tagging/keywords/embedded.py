"""The keywords that a photograph holds itself, which a sidecar hides from those who read sidecars."""

import codecs
from pathlib import Path

from c2srt_cli.images.metadata import read_metadata
from c2srt_cli.tagging.keywords import iptc
from c2srt_cli.tagging.keywords.contents import Embedded
from c2srt_cli.tagging.keywords.lists import LISTS, SUBJECT, Keyword, keyword_key
from c2srt_cli.tagging.keywords.packet import PacketError
from c2srt_cli.tagging.keywords.state import State, read_state

#: Most bytes of a keyword in IPTC; longer ones are cut off there.
_IPTC_BYTES = 64
_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",  # before that of UTF-16, which it starts with
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


def read_embedded(path: Path) -> Embedded:
    """The keywords in the XMP packets and IPTC blocks of a photograph.

    Raises:
        OSError: it cannot be opened.
        PacketError: it has keywords in XMP that cannot be read.
    """
    metadata = read_metadata(path)
    states = [state for packet in metadata.xmp if (state := _read(packet)) is not None]
    # what c2srt has written is no keyword of the photograph's, should somebody have copied a sidecar into it
    flat = [keyword for state in states for keyword in state.base.get(SUBJECT, ())]
    cut_off = {word for (word,) in flat if len(word.encode()) > _IPTC_BYTES}
    cut_off = {word.encode()[:_IPTC_BYTES].decode(errors="ignore") for word in cut_off}
    flat += [(word,) for block in metadata.iptc for word in iptc.read_keywords(block) if word not in cut_off]
    paths = [
        keyword for keywords in LISTS if keywords.separator for s in states for keyword in s.base.get(keywords, ())
    ]
    lists = frozenset(keywords for state in states for keywords, found in state.base.items() if found)
    distinct: dict[Keyword, Keyword] = {}
    for keyword in [*flat, *paths]:
        distinct.setdefault(keyword_key(keyword), keyword)
    return Embedded(tuple(distinct.values()), lists)


def _read(packet: bytes) -> State | None:
    """A packet; None where it is broken, but for one that may hold keywords."""
    encoding = next((encoding for mark, encoding in _MARKS.items() if packet.startswith(mark)), None)
    if encoding is not None:
        packet = packet.decode(encoding, "replace").encode()
    try:
        return read_state(packet[: packet.rfind(b">") + 1])
    except PacketError as error:
        if any(keywords.local.encode() in packet for keywords in LISTS):
            raise PacketError(f"the keywords in the photograph, which it would hide, cannot be read: {error}") from None
        return None
