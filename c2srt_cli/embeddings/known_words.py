"""Which labels a text tower hardly knows, by how its tokenizer cuts their words.

A tokenizer has the words that its tower has often read in one piece, and cuts others. CLIP's cuts 2 of COCO's 80
labels, 18 of Corel5k's 374, and 83 of 100 words that are German, French, Spanish or invented. How other tokenizers cut
has not been measured: nothing is said of their words.
"""

import re
from collections.abc import Collection
from functools import cache

from open_clip import SimpleTokenizer

from c2srt_cli.backbone.registry import Backbone
from c2srt_cli.errors import counted
from c2srt_cli.labels import LabelSet
from c2srt_cli.labels.everyday import everyday_labels
from c2srt_cli.progress import Progress

#: Letters of a piece, in the mean: a word in shorter ones is no compound of words that are known.
LETTERS = 3
#: So many words in pieces, which are this share of all, are no exceptions: the list is in another language.
MANY, SHARE = 4, 0.5
#: Labels that are named.
SHOWN = 8


def note_hardly_known(backbone: Backbone, labels: LabelSet, progress: Progress) -> None:
    """Name the labels that the backbone's text tower hardly knows, in one line; none, no line."""
    names = hardly_known(backbone, labels)
    if names:
        more = f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else ""
        progress.note(
            f"{counted(len(names), 'label')} that the text tower of {backbone.id} hardly knows (invented, rare or of "
            f"another language?): {', '.join(names[:SHOWN])}{more}"
        )


def hardly_known(backbone: Backbone, labels: LabelSet) -> list[str]:
    """The labels each wording of which has a word that the tokenizer cuts small.

    That is where its pieces have fewer than `LETTERS` letters in the mean, or where it is cut at all and so are most
    words of the list. Words of the everyday labels are known.
    """
    if not isinstance(backbone.tokenizer, SimpleTokenizer):
        return []
    parts = [[_words(wording) for wording in label.wordings] for label in labels]
    words = {word for wordings in parts for found in wordings for word in found}
    asked = sorted(words - _everyday())
    none, *counts = backbone.token_counts(["", *asked])
    cut = {word: count - none for word, count in zip(asked, counts, strict=True) if count - none > 1}
    foreign = len(cut) >= max(MANY, SHARE * len(words))
    strange: Collection[str] = {word for word, pieces in cut.items() if foreign or len(word) < LETTERS * pieces}
    return [
        name
        for name, wordings in zip(labels.names, parts, strict=True)
        if all(any(word in strange for word in found) for found in wordings)
    ]


def _words(text: str) -> list[str]:
    return re.findall(r"[^\W\d_]+", text.casefold())


@cache
def _everyday() -> frozenset[str]:
    return frozenset(_words(everyday_labels().read_text(encoding="utf-8")))
