"""The labels that a request offers, and the ways in which a model may name one of them."""

import re
from collections.abc import Collection, Mapping, Sequence
from functools import cached_property

from c2srt_cli.labels import normalise

#: Longer words name no label.
LONGEST = 1_000

_ID_AND_NAME = re.compile(r"\W*(?:id\s*[:=]?\s*)?(\d{1,9})\b\W*(.*?)\W*", re.IGNORECASE | re.DOTALL)
_NAME_AND_ID = re.compile(r"\W*(.*?)\W*\((?:id\s*[:=]?\s*)?(\d{1,9})\)\W*", re.IGNORECASE | re.DOTALL)


class Vocabulary:
    """Finds the label that is meant.

    Args:
        candidates: Their ids.
        names: The names of all labels, by id.
    """

    def __init__(self, candidates: Collection[int], names: Sequence[str]) -> None:
        self._candidates = frozenset(candidates)
        self._all_names = names

    @cached_property
    def _names(self) -> dict[int, str]:
        return {i: _plain(self._all_names[i]) for i in self._candidates}

    @cached_property
    def _ids(self) -> dict[str, list[int]]:
        ids: dict[str, list[int]] = {}
        for i, name in self._names.items():
            ids.setdefault(name, []).append(i)
        return ids

    def find(self, value: object) -> int | None:
        """The id that is meant: a number, a number in a string, a name, or both together; None where none or two are.

        A string that is one label's id and another one's name is neither.
        """
        match value:
            case bool():
                return None
            case int() | float():
                return int(value) if value in self._candidates else None
            case [part] | {"id": part} | {"name": part} if not isinstance(value, Mapping) or len(value) == 1:
                return self.find(part)
            case [number, str() as name] | {"id": number, "name": str() as name}:
                return self._both(number, name)
            case str():
                return self._in_words(value)
        return None

    def _in_words(self, text: str) -> int | None:
        if len(text) > LONGEST:
            return None
        text = _plain(text)
        if text not in self._ids:
            text = text.strip("'\"`*“”")
        named = self._ids.get(text, [])
        found = set(named) if len(named) == 1 else set()
        if (number := _number(text)) in self._candidates:
            found.add(number)
        if named or found:
            return found.pop() if len(found) == 1 else None
        if match := _ID_AND_NAME.fullmatch(text):
            return self._both(match[1], match[2])
        match = _NAME_AND_ID.fullmatch(text)
        return self._both(match[2], match[1]) if match else None

    def _both(self, number: object, name: str) -> int | None:
        """The id, where the name agrees with it or there is none."""
        i = _number(number.strip()) if isinstance(number, str) else number
        if isinstance(i, bool) or not isinstance(i, int) or i not in self._candidates:
            return None
        return i if _plain(name) in ("", self._names[i]) else None


def _number(text: str) -> int | None:
    """The number that a text of digits alone is, as an id may be; None of any other."""
    return int(text) if text.isdecimal() and len(text) < 10 else None


def _plain(name: str) -> str:
    return normalise(name).casefold()
