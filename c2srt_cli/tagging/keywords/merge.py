"""A sidecar with what a vocabulary says of its photograph, in place of what it said before.

`strip` gives back the bytes that were there before c2srt came, `add` puts in what every list lacks; the first undoes
the second to the byte. So a rerun changes nothing, keywords no longer given disappear, and whatever anybody else wrote
stays as it was. What somebody has taken out since is remembered and stays out.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from c2srt_cli.tagging.keywords.add import EMPTY, add
from c2srt_cli.tagging.keywords.contents import Embedded, Refusals, additions, keys, share, taken_out
from c2srt_cli.tagging.keywords.ledger import Claim, Ledger
from c2srt_cli.tagging.keywords.lists import LISTS, Keyword, KeywordList, keyword_key, label_keywords
from c2srt_cli.tagging.keywords.packet import PacketError
from c2srt_cli.tagging.keywords.state import State, read_state
from c2srt_cli.tagging.keywords.strip import strip


def merge(
    packet: bytes,
    vocabulary: str,
    claim: Claim,
    embedded: Embedded | None,
    restored: Iterable[str] = (),
) -> bytes:
    """The packet with this claim in place of the vocabulary's earlier one.

    Args:
        packet: The sidecar as it is; empty where there is none.
        vocabulary: Whose claim it is.
        claim: The labels it gives.
        embedded: What the photograph holds itself; None where that is not known, for what was known last.
        restored: Labels that are written again though somebody has taken them out.

    Returns:
        The sidecar; empty where there is to be none.

    Raises:
        PacketError: it cannot be merged safely.
    """
    state = read_state(packet if packet.strip() else EMPTY, vocabulary)
    ledger = state.ledger
    known = ledger != Ledger()
    if embedded is None:
        embedded = Embedded(
            ledger.embedded,
            frozenset(keywords for keywords in LISTS if keywords.qualified in ledger.introduced),
        )
    base = read_state(strip(state)) if known else state
    claim = replace(claim, labels=tuple("|".join(keyword) for keyword in label_keywords(claim.labels)))
    claims = {**ledger.claims, vocabulary: claim}
    refusals = refusals_of(state, restored)
    own = [keyword for found in base.present.values() for keyword in found]
    if not ledger.embedded and share(own, embedded.keywords):
        embedded = replace(embedded, keywords=())  # whoever wrote the sidecar has brought them over, and some out again
    ledger = Ledger(
        claims=claims,
        refused=_recorded(refusals.everywhere),
        refused_in={keywords.qualified: _recorded(found) for keywords, found in refusals.by_list.items()},
        embedded=embedded.keywords,
        created=ledger.created or not packet.strip() or packet == EMPTY,
    )
    lacking = lacking_keywords(base, ledger, refusals, embedded)
    if not lacking and not refusals.everywhere and not refusals.by_list and not any(c.labels for c in claims.values()):
        return b"" if base.data == EMPTY or (ledger.created and _is_bare(base)) else base.data
    merged = add(base, lacking, ledger)
    if packet.strip() and strip(read_state(merged)) != base.data:
        raise PacketError("it is written in a way that c2srt could not undo")
    return merged


def is_settled(state: State) -> bool:
    """Whether a merge would change nothing, were the vocabularies to say what they have said and the photograph too.

    It would where somebody has since taken a keyword out or put one back, or brought a list that lacks some.
    """
    ledger, refusals = state.ledger, refusals_of(state)
    lacking = lacking_keywords(state, ledger, refusals, Embedded(ledger.embedded))
    return (
        not ledger.legacy
        and ledger.refused == _recorded(refusals.everywhere)
        and ledger.refused_in == {keywords.qualified: _recorded(found) for keywords, found in refusals.by_list.items()}
        and {keywords: keys(found) for keywords, found in lacking.items()}
        == {keywords: keys(found) for keywords, found in state.added.items()}
    )


def refusals_of(state: State, restored: Iterable[str] = ()) -> Refusals:
    """What people have taken out of a sidecar, before and since c2srt wrote, but what they have put back."""
    ledger = state.ledger
    labels = label_keywords(label for claim in ledger.claims.values() for label in claim.labels)
    new = taken_out(
        state.present,
        state.base,
        state.added,
        labels,
        ledger.embedded,
        all_written=not ledger.legacy,
    )
    back = keys(keyword for found in state.base.values() for keyword in found)
    for keyword in keys(label_keywords(restored)):
        back |= {keyword, *((level,) for level in keyword)}
    by_list = {
        keywords: (keys(label_keywords(ledger.refused_in.get(keywords.qualified, ()))) - keys(found))
        | new.by_list.get(keywords, frozenset())
        for keywords, found in {**dict.fromkeys(LISTS, ()), **state.present}.items()
    }
    return Refusals(
        frozenset((keys(label_keywords(ledger.refused)) | new.everywhere) - back),
        {keywords: frozenset(found) for keywords, found in by_list.items() if found},
    )


def lacking_keywords(
    base: State, ledger: Ledger, refusals: Refusals, embedded: Embedded
) -> Mapping[KeywordList, list[Keyword]]:
    """What each list lacks; nothing where neither a vocabulary nor somebody's refusal has anything to say."""
    labels = label_keywords(label for name in sorted(ledger.claims) for label in ledger.claims[name].labels)
    labels = [label for label in labels if keyword_key(label) not in refusals.everywhere]
    if not labels and not keys(embedded.keywords) & refusals.everywhere:
        return {}
    targets = [
        keywords for keywords in LISTS if keywords.always or keywords in base.found or keywords in embedded.lists
    ]
    return additions(base.base, embedded.keywords, labels, refusals, targets)


def _recorded(keywords: Iterable[Keyword]) -> tuple[str, ...]:
    return tuple(sorted("|".join(keyword) for keyword in keywords))


def _is_bare(state: State) -> bool:
    """Whether a packet says nothing at all."""
    return not state.rdf.children and b"<!--" not in state.data
