"""What is searched for: words and pictures, each wanted or not."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from c2srt_cli.errors import InputError, UsageError
from c2srt_cli.labels import LabelSet, normalise

_ARTICLES = ("a ", "an ", "the ")


@dataclass(frozen=True)
class Query:
    """Terms of a search.

    Attributes:
        words: What the photographs are to show.
        without: What they are not to show.
        like: Pictures that they are to be like.
    """

    words: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    like: tuple[Path, ...] = ()

    def check(self) -> None:
        """Find what is wrong before anything is loaded.

        Raises:
            UsageError: nothing is wanted, or the same is wanted and not wanted.
            InputError: a picture is not there.
        """
        empty = [text for text in (*self.words, *self.without) if not normalise(text)]
        if empty or not (self.words or self.like):
            raise UsageError(
                "there is nothing to search for",
                where="QUERY",
                hint='name what the photographs are to show, as in "a red boat at dusk", or give --like',
            )
        if both := sorted(set(map(_key, self.words)) & set(map(_key, self.without))):
            raise UsageError(f"{both[0]!r} is wanted and not wanted", where="--not", hint="leave one of them out")
        if missing := [str(path) for path in self.like if not path.is_file()]:
            raise InputError("no such file", where="--like", problems=missing)

    @property
    def title(self) -> str:
        """The query as people write it down: its words alone where there are no others."""
        wanted = [*map(_bare, self.words), *(path.name for path in self.pictures)]
        return " - ".join([" + ".join(wanted), *map(_bare, self.without)])

    @property
    def labels(self) -> LabelSet:
        """The words, each once, without their article: templates bring their own."""
        texts = {_key(text): _bare(text) for text in (*self.words, *self.without)}
        return LabelSet.of(texts.values())

    @property
    def pictures(self) -> tuple[Path, ...]:
        """The pictures, each once."""
        return tuple(dict.fromkeys(self.like))

    @property
    def signs(self) -> np.ndarray:
        """+1 for each term that is wanted, -1 for the others: first `labels`, then `pictures`, ``(T,)``."""
        unwanted = set(map(_key, self.without))
        words = [-1.0 if _key(label.name) in unwanted else 1.0 for label in self.labels]
        return np.array(words + [1.0] * len(self.pictures))

    def combine(self, scores: np.ndarray) -> np.ndarray:
        """One score a photograph, ``(N,)``, of those of each term, ``(N, T)``.

        A single term's scores stay as they are. Several are standardised over the photographs first: those of pictures
        are several times those of words, and would drown them.
        """
        if scores.shape[1] == 1:
            only: np.ndarray = scores[:, 0] * self.signs[0]
            return only
        spread = scores.std(0)
        standard = (scores - scores.mean(0)) / np.where(spread > 0, spread, 1)
        combined: np.ndarray = standard @ self.signs / len(self.signs)
        return combined


def words_of(arguments: Sequence[str], *, like: bool) -> tuple[list[str], tuple[str, ...]]:
    """The photographs and the words of a command line on which the words come last.

    Args:
        arguments: Photographs, then the words.
        like: Whether pictures are searched for: then there may be no words.

    Raises:
        UsageError: there are no photographs, or no words.
    """
    *photographs, last = arguments
    if like and Path(last).exists():
        return list(arguments), ()
    if not photographs:
        raise UsageError(
            "the words to search for come after the photographs" if Path(last).exists() else "no photographs are named",
            where="PHOTOS... QUERY",
            hint='c2srt search ./photos "a red boat at dusk"',
        )
    return photographs, (last,)


def _bare(text: str) -> str:
    text = normalise(text)
    article = next((one for one in _ARTICLES if text.casefold().startswith(one)), "")
    return text[len(article) :]


def _key(text: str) -> str:
    return _bare(text).casefold()
