"""What each keyword list of a photograph is to hold, and what the difference to what it holds says.

Pure reckoning over keywords; the bytes are `merge`'s. Three kinds of keywords meet in a sidecar: the user's own, those
brought over from the photograph (``embedded``), and the labels of c2srt's vocabularies. Every list gets all of them,
but what somebody has taken out.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from c2srt_cli.tagging.keywords.lists import SUBJECT, Keyword, KeywordList, keyword_key, label_keyword, word_key

#: The keywords that each list holds.
Present = Mapping[KeywordList, Sequence[Keyword]]


@dataclass(frozen=True)
class Embedded:
    """The keywords that a photograph holds itself, flat ones first, and the lists that it has."""

    keywords: tuple[Keyword, ...] = ()
    lists: frozenset[KeywordList] = frozenset()


@dataclass(frozen=True)
class Refusals:
    """What people have taken out, as `keyword_key`: everywhere, and from single lists."""

    everywhere: frozenset[Keyword] = frozenset()
    by_list: Mapping[KeywordList, frozenset[Keyword]] = field(default_factory=dict)

    def holds(self, keyword: Keyword, keywords: KeywordList) -> bool:
        """Whether a keyword is not to be put into a list."""
        key = keyword_key(keyword)
        return key in self.everywhere or key in self.by_list.get(keywords, ())


def keys(keywords: Iterable[Keyword]) -> set[Keyword]:
    """What the keywords are, whatever their spelling."""
    return {keyword_key(keyword) for keyword in keywords}


def words(keywords: Iterable[Keyword]) -> set[str]:
    """Every flat keyword that hierarchical ones imply: their levels, and the whole written as one word."""
    found: set[str] = set()
    for keyword in keywords:
        if len(keyword) > 1:
            found.update(map(word_key, keyword))
            found.update(word_key(separator.join(keyword)) for separator in "/|")
    return found


def share(some: Iterable[Keyword], others: Iterable[Keyword]) -> bool:
    """Whether two sets of keywords have one in common, by its path or by its last level."""
    some, others = list(some), list(others)
    return bool(keys(some) & keys(others)) or bool(
        {word_key(keyword[-1]) for keyword in some} & {word_key(keyword[-1]) for keyword in others}
    )


def additions(
    present: Present,
    embedded: Sequence[Keyword],
    labels: Sequence[Keyword],
    refusals: Refusals,
    targets: Iterable[KeywordList],
) -> dict[KeywordList, list[Keyword]]:
    """The keywords that each list lacks.

    The user's spelling comes first: a label that one of their keywords equals but for case is theirs, and so is a flat
    label that is a level of one of their paths; one that lies below their ``Animals`` is spelt so.

    Args:
        present: The user's own keywords, by list.
        embedded: Those of the photograph.
        labels: c2srt's, in order.
        refusals: What is not to come back.
        targets: The lists to fill.
    """
    paths = [keyword for keywords in present if keywords.separator for keyword in present[keywords]]
    flat = list(present.get(SUBJECT, ()))
    embedded = _allowed(embedded, refusals)
    implied = words([*paths, *embedded])
    loose = [_as_path(keyword) for keyword in flat if word_key(keyword[0]) not in implied]
    brought = [_as_path(keyword) for keyword in embedded if len(keyword) > 1 or word_key(keyword[0]) not in implied]
    implied |= words([*loose, *brought])
    labels = [*_respelt(labels, [*paths, *loose, *brought])]
    missing = {}
    for keywords in targets:
        have = keys(present.get(keywords, ()))
        if keywords.separator:
            wanted = [*paths, *loose, *brought]
            wanted += [label for label in labels if len(label) > 1 or word_key(label[0]) not in implied]
        else:
            wanted = [*embedded, *paths]
            wanted = [(keyword[-1],) for keyword in wanted if not refusals.holds(keyword, keywords)]
            wanted += [(level,) for label in labels if keyword_key(label) not in refusals.everywhere for level in label]
        lacking = []
        for keyword in wanted:
            if (key := keyword_key(keyword)) not in have and not refusals.holds(keyword, keywords):
                have.add(key)
                lacking.append(keyword)
        if lacking:
            missing[keywords] = lacking
    return missing


def _as_path(keyword: Keyword) -> Keyword:
    """A flat keyword as a path: some programs write all levels into one, ``People|Ann``."""
    return label_keyword(keyword[0]) or keyword if len(keyword) == 1 else keyword


def _respelt(labels: Sequence[Keyword], others: Sequence[Keyword]) -> Iterator[Keyword]:
    """Labels with the levels above them spelt as others have them."""
    spellings: dict[Keyword, Keyword] = {}
    for other in others:
        key = keyword_key(other)
        for depth in range(1, len(other) + 1):
            spellings.setdefault(key[:depth], other[:depth])
    for label in labels:
        key = keyword_key(label)
        depth = next((depth for depth in range(len(label) - 1, 0, -1) if key[:depth] in spellings), 0)
        yield (*spellings[key[:depth]], *label[depth:]) if depth else label


def _allowed(embedded: Sequence[Keyword], refusals: Refusals) -> list[Keyword]:
    """The photograph's keywords without those taken out; with a path goes the flat keyword that it ends in."""
    refused = [keyword for keyword in embedded if keys((keyword, _as_path(keyword))) & refusals.everywhere]
    kept = [keyword for keyword in embedded if not keys((keyword, _as_path(keyword))) & refusals.everywhere]
    ends = {word_key(path[-1]) for path in refused} - {word_key(path[-1]) for path in kept if len(path) > 1}
    return [keyword for keyword in kept if len(keyword) > 1 or word_key(keyword[0]) not in ends]


def taken_out(
    present: Present,
    base: Present,
    added: Present,
    labels: Sequence[Keyword],
    embedded: Sequence[Keyword],
    *,
    all_written: bool,
) -> Refusals:
    """What somebody has removed since c2srt wrote.

    A keyword that was put into a list and is not there any more has been taken out, wherever it was taken out from. So
    has one that is missing in a list that is new, but whose writer has read c2srt's keywords: it holds some that are
    nobody else's. A list that is gone has been emptied: whoever keeps what c2srt remembers keeps lists too.

    Args:
        present: What each list holds.
        base: The part of it that is the user's own.
        added: What c2srt had put in.
        labels: c2srt's keywords.
        embedded: Those brought over from the photograph.
        all_written: Whether c2srt had written all lists that were there, as it has not always done.
    """
    label_keys, label_words = keys(labels), words(labels)
    our_keys = label_keys | keys(embedded) | keys(map(_as_path, embedded))
    by_end: dict[str, set[Keyword]] = {}
    for key in our_keys:
        by_end.setdefault(key[-1], set()).add(key)
    theirs = keys(keyword for found in base.values() for keyword in found)
    seen = keys(
        keyword for keywords in base if keywords in added or not keywords.separator for keyword in base[keywords]
    )
    everywhere: set[Keyword] = set()
    by_list: dict[KeywordList, set[Keyword]] = {}
    for keywords, there in {**dict.fromkeys(added, ()), **present}.items():
        have = keys(there)
        gone = keys(added.get(keywords, ())) - have
        if keywords.separator and keywords not in added and all_written and (label_keys - seen) & have:
            implied = words(there)
            gone = {key for key in label_keys - seen - have if len(key) > 1 or key[0] not in implied}
        for key in gone:
            ours = by_end.get(key[0], set()) if not keywords.separator else our_keys & {key}
            if key in theirs or not (ours or (not keywords.separator and key[0] in label_words)):
                by_list.setdefault(keywords, set()).add(key)
            else:
                everywhere |= ours | {key}
    return Refusals(frozenset(everywhere), {keywords: frozenset(found) for keywords, found in by_list.items()})
