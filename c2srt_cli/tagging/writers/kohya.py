"""Captions as kohya's trainers read them: the words of a photograph on the first line of its ``.txt``, with commas.

A caption is shared with whoever wrote it. Their words stay as they are, and come first: trainers keep the first words
where they shuffle the others. Behind them are ours, best first; where somebody has put words of ours before their own,
every word keeps its place. A word of ours that somebody has taken out stays out. Lines after the first, other captions
to some trainers, are left as they are.
"""

from collections.abc import Iterable

from c2srt_cli.artifacts import fingerprint
from c2srt_cli.errors import UsageError
from c2srt_cli.tagging.keywords.lists import word_key
from c2srt_cli.tagging.record import TaggedImage
from c2srt_cli.tagging.writers.context import WriteContext
from c2srt_cli.tagging.writers.escape import one_line
from c2srt_cli.tagging.writers.text_files import Change, LeftAsItIsError, TextForm
from c2srt_cli.tagging.writers.text_record import Given, Written


def caption_word(label: str) -> str:
    """A label as a caption holds it: the last level of ``parent|child``, without commas, which end a word."""
    return " ".join(one_line(label.rpartition("|")[2]).replace(",", " ").split())


def _words(row: TaggedImage, context: WriteContext) -> list[str]:
    undesired = {word_key(caption_word(label)) for label in context.captions.undesired}
    words = _each_once(word for tag in row.tags if (word := caption_word(tag.label)))
    return [word for key, word in words.items() if key not in undesired]


def _each_once(words: Iterable[str]) -> dict[str, str]:
    """Words by what makes them the same, as they are first written."""
    found: dict[str, str] = {}
    for word in words:
        found.setdefault(word_key(word), word)
    return found


def _decision(context: WriteContext) -> str:
    if not context.decision or not context.captions.undesired:
        return context.decision
    return fingerprint([context.decision, sorted(map(word_key, context.captions.undesired))])


def _change(old: bytes | None, known: Written | None, last: Written, given: Given, context: WriteContext) -> Change:
    """What stands there without the words of ours that are no longer given, and then those that are new."""
    line, end, rest = _parts(old)
    there = set(map(_key, line))
    written = known or last
    before = {word_key(word): word for one in written.given.values() for word in one.lines}
    gone = [word for key, word in before.items() if key not in there and known is None and old is not None]
    refused = tuple(dict.fromkeys((*written.refused, *gone)))
    stated = Written({name: _without(one, gone) for name, one in written.given.items()}, refused)
    if context.restore:
        asked = set(map(word_key, given.lines))
        refused = tuple(word for word in refused if word_key(word) not in asked)
    people = {key for part in line if (key := _key(part)) and key not in before}
    if context.captions.replace:
        line, people, rest = [part for part in line if _key(part) in before], set[str](), ""
    mine = _without(given, (*refused, *people))
    everything = {**stated.given, context.vocabulary: mine}
    wanted = _each_once(word for _, one in sorted(everything.items()) for word in one.lines)
    keys = [key for part in line if (key := _key(part))]
    behind = people.isdisjoint(keys[next((i for i, key in enumerate(keys) if key not in people), len(keys)) :])
    kept = people if behind else people | wanted.keys()
    stay = [part for part in line if not (key := _key(part)) or key in kept]
    new = [word for key, word in wanted.items() if key not in set(map(_key, stay))]
    text = _joined(line, stay, new)
    end = end or ("\n" if text and not old else "")
    return Change(
        (text + end + rest).encode() if text.strip() or rest.strip() else b"", Written(everything, refused), stated
    )


def _parts(old: bytes | None) -> tuple[list[str], str, str]:
    """The words of the first line as they stand, its end, and the lines after it."""
    try:
        text = (old or b"").decode("utf-8")
    except UnicodeDecodeError:
        raise LeftAsItIsError("is no UTF-8; it was left as it is") from None
    line, end, rest = text.partition("\n")
    if line.endswith("\r"):
        line, end = line[:-1], f"\r{end}"
    return (line.split(",") if line else []), end, rest


def _joined(line: list[str], stay: list[str], new: list[str]) -> str:
    """The words of a line, new ones before the commas that end it, as whoever wrote the others has spaced them."""
    last = len(stay)
    while last and not stay[last - 1].strip():
        last -= 1
    words = [*stay[:last], *(f" {word}" for word in new), *stay[last:]]
    if words and words[:1] != line[:1]:
        words[0] = words[0].lstrip()
    return ",".join(words)


def _settled(data: bytes, written: Written, context: WriteContext) -> bool:
    ours = {word_key(word) for one in written.given.values() for word in one.lines}
    line, _, rest = _parts(data)
    replaced = not rest and all(_key(part) in ours for part in line)
    return (not context.captions.replace or replaced) and not (context.restore and written.refused)


def _without(given: Given, words: Iterable[str]) -> Given:
    out = set(map(word_key, words))
    return Given(tuple(word for word in given.lines if word_key(word) not in out), given.decision, given.stamp)


def _key(part: str) -> str:
    return word_key(part.removeprefix("\ufeff"))


def _check(context: WriteContext) -> None:
    if context.sidecar_name == "ext":
        raise UsageError(
            "kohya's trainers find the caption of a.jpg in a.txt alone", where="--sidecar-name", hint="leave it out"
        )


KOHYA = TextForm(
    record=".c2srt-kohya",
    naming="stem",
    words=_words,
    decision=_decision,
    change=_change,
    settled=_settled,
    check=_check,
)
