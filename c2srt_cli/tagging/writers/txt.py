"""Text files of labels: one a line, and nothing else. What somebody else has written is left alone."""

from c2srt_cli.errors import UsageError
from c2srt_cli.tagging.keywords.lists import word_key
from c2srt_cli.tagging.record import TaggedImage
from c2srt_cli.tagging.writers.context import WriteContext
from c2srt_cli.tagging.writers.escape import one_line
from c2srt_cli.tagging.writers.text_files import Change, LeftAsItIsError, TextForm
from c2srt_cli.tagging.writers.text_record import Given, Written


def _words(row: TaggedImage, _: WriteContext) -> dict[str, None]:
    return dict.fromkeys(line for tag in row.tags if (line := one_line(tag.label)))


def _change(old: bytes | None, known: Written | None, last: Written, given: Given, context: WriteContext) -> Change:
    """Each vocabulary's lines, in the order of their names; nothing where somebody has changed the file."""
    everything = {**(known or last).given, context.vocabulary: given}
    lines: dict[str, str] = {}
    for _name, one in sorted(everything.items()):
        for line in one.lines:
            lines.setdefault(word_key(line), line)
    new = "".join(line + "\n" for line in lines.values()).encode()
    if old and old != new and known is None:
        raise LeftAsItIsError("is there and c2srt did not write it, or somebody has changed it; it was left as it is")
    written = Written(everything)
    return Change(new, written, written)


def _check(context: WriteContext) -> None:
    if context.restore:
        raise UsageError(
            "a text sidecar that somebody has changed is left alone",
            where="--restore",
            hint="delete the text files that are to be written again",
        )


TXT = TextForm(
    record=".c2srt-txt",
    naming=None,
    words=_words,
    decision=lambda context: context.decision,
    change=_change,
    settled=lambda *_: True,
    check=_check,
)
