"""The API key: where it comes from, and how it stays out of all that others see."""

import html
import os
import re
from pathlib import Path

from c2srt_cli.errors import InputError, UsageError
from c2srt_cli.text import decode_text, normalise

#: The environment variable that holds it.
VARIABLE = "OPENAI_API_KEY"
#: A shorter key is no secret but a word, such as those that servers of one's own ask for: x, EMPTY.
SHORTEST = 6


def read_key(file: Path | None, base_url: str | None) -> str:
    """The API key: from the file, else from the environment.

    Raises:
        InputError: the file cannot be read or holds no key.
        UsageError: there is no key, and the server is OpenAI's.
    """
    if file is None:
        key = normalise(os.environ.get(VARIABLE, ""))
        if not key and not (base_url or os.environ.get("OPENAI_BASE_URL")):
            raise UsageError(
                "a language model is asked, and there is no API key",
                where=VARIABLE,
                hint=f"export {VARIABLE}=…, or --api-key-file FILE; --base-url URL asks a server of your own, "
                "--source embedding needs no language model",
            )
    else:
        key = _from_file(file)
    if not key.isascii() or any(character.isspace() or not character.isprintable() for character in key):
        where = VARIABLE if file is None else str(file)
        raise InputError("the API key is not one word of printable ASCII", where=where)
    return key


def _from_file(file: Path) -> str:
    try:
        if not file.is_file():  # what is no file may be the key itself: it is not repeated
            raise InputError(
                "the API key cannot be read: there is no such file",
                where="--api-key-file",
                hint="it takes the name of a file with the key in it, not the key",
            )
        with file.open("rb") as stream:
            text = decode_text(stream.read(10_000))
    except OSError as error:
        raise InputError(f"the API key cannot be read ({error.strerror})", where="--api-key-file") from None
    if text.problems:  # which are not shown: they may hold some of the key
        raise InputError("the API key cannot be read (not plain text)", where="--api-key-file")
    key = normalise(str(text))
    if not key:
        raise InputError("there is no API key in the file", where=str(file))
    return key


class Mask:
    """Takes the key out of text, however a server spells it: as it is, in JSON, in URLs, in HTML, in other case."""

    def __init__(self, key: str) -> None:
        parts = re.findall(r"\\+|.", key)
        self._key = re.compile("".join(map(_spellings, parts)), re.IGNORECASE) if len(key) >= SHORTEST else None

    def __call__(self, text: str) -> str:
        """The text with … for the key."""
        return self._key.sub("…", text) if self._key else text


def _spellings(part: str) -> str:
    """One character of the key, in all ways; atomic, so that the time grows with the text and no faster.

    Backslashes in a row are one part: none of them may take those of the next.
    """
    character, count = part[0], len(part)
    code, plain, back = f"{ord(character):02x}", re.escape(character), r"\\{1,8}"
    numbers = f"&#x0{{0,6}}{code};?", f"&#0{{0,6}}{ord(character)};?", re.escape(html.escape(character))
    # the longest first: the u of \\u0055 could be a U behind a backslash, the % of %25 could be one
    ways = [f"{back}u00{code}", f"{back}x{code}", f"%(?:25)?{code}", *numbers, f"{back}{plain}", plain]
    if character == "\\":
        ways = [f"(?:{'|'.join(ways[:-3])}){{{count}}}", rf"\\{{{count},{8 * count}}}"]
    elif character not in "%&":
        ways.insert(0, ways.pop())
    return f"(?>{'|'.join(ways)})"
