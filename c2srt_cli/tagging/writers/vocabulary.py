"""Vocabularies: a label set under a name, which owns the keywords that were written under it."""

from collections.abc import Iterable

from c2srt_cli.errors import UsageError
from c2srt_cli.tagging.keywords.ledger import label_hash
from c2srt_cli.tagging.writers.context import WriteContext


def check_left(earlier: Iterable[str], context: WriteContext) -> None:
    """Take nothing out in the name of a label set that has little to do with the one that put it in.

    Args:
        earlier: `label_hash` of labels that the vocabulary had.
        context: With the labels that it has now.

    Raises:
        UsageError: fewer than half of them are left, and that is not asked for.
    """
    had = set(earlier)
    left = had & {label_hash(label) for label in context.labels}
    if len(left) * 2 < len(had) and not context.replace:
        raise UsageError(
            f"of the labels under which these photographs were tagged as {context.vocabulary!r}, "
            f"fewer than half ({len(left):,} of {len(had):,}) are left; nothing was changed",
            where=f"--vocabulary {context.vocabulary}",
            hint="give --replace to take the others out, or another --vocabulary to keep them and add these labels",
        )
