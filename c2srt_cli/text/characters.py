"""Characters that nobody sees: which of them are taken out, which carry meaning, which have no business in text."""

import re
import unicodedata

#: Unicode's Default_Ignorable_Code_Point, and the byte-order mark among them: nothing of it shows on screen.
INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)

#: A flag's region, spelt in invisible letters behind a black flag (UTS 51).
_FLAG = re.compile("\U0001f3f4[\U000e0020-\U000e007e]+\U000e007f")

#: What belongs in no text: control characters, separators that are no line ends, interlinear marks, no characters.
_FAULTY = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufdd0-\ufdef\ufff9-\ufffb\ufffd"
    + "".join(f"{chr(plane * 0x10000 + 0xFFFE)}{chr(plane * 0x10000 + 0xFFFF)}" for plane in range(17))
    + "]"
)

_SEPARATORS = {
    "\x0b": "vertical tab",
    "\x0c": "form feed",
    "\x85": "next line",
    "\u2028": "line separator",
    "\u2029": "paragraph separator",
}

#: How UTF-8 looks that was read as Windows-1252: two letters for an umlaut or an accent, three for a quote or a dash.
_MISREAD = re.compile("[\u00c2\u00c3][\u0080-\u00bf\u0152-\u2122]|\u00e2\u20ac")

_BRAILLE_BLANK = "\u2800"
_JOINERS = ("\u200c", "\u200d")
_VIRAMA = 9  # the combining class of the sign that joins consonants in the scripts of India


def visible(text: str) -> str:
    """Text without what nobody sees: zero-width and soft marks, byte-order marks, marks of direction.

    Joiners stay where they shape what is seen (Persian and Arabic letters, the scripts of India, emoji sequences; UAX
    31), variation selectors where they choose between forms of a symbol or an ideograph, and the tags of flags.
    """
    if text.isascii() or not INVISIBLE.search(text):
        return text
    flags = {place for flag in _FLAG.finditer(text) for place in range(*flag.span())}
    kept: list[str] = []
    for place, letter in enumerate(text):
        if place in flags or not INVISIBLE.match(letter) or _has_meaning(letter, kept, text[place + 1 : place + 2]):
            kept.append(letter)
    return "".join(kept)


def _has_meaning(letter: str, before: list[str], after: str) -> bool:
    last = before[-1] if before else " "
    kind = unicodedata.category(last)
    if letter in _JOINERS:
        if unicodedata.combining(last) == _VIRAMA or (after and unicodedata.combining(after) == _VIRAMA):
            return kind[0] in "LM"
        if _is_arabic(before):
            return letter == "\u200d" or (after != "" and unicodedata.category(after)[0] in "LM")
        return letter == "\u200d" and (kind in {"So", "Sk"} or last == "\ufe0f") and _is_symbol(after)
    if "\u180b" <= letter <= "\u180f":
        return "\u1800" <= last <= "\u18af"  # of Mongolian
    if unicodedata.category(letter) == "Mn" and letter not in "\u034f\u17b4\u17b5":  # the variation selectors
        ideograph = kind == "Lo" and unicodedata.east_asian_width(last) == "W"
        return after == "\u20e3" or ideograph or kind in {"So", "Sk", "Sm"}
    return False


def _is_arabic(before: list[str]) -> bool:
    """Whether the last letter, marks above and below it aside, is of a script whose letters join."""
    for letter in reversed(before):
        if unicodedata.category(letter) != "Mn":
            return unicodedata.bidirectional(letter) == "AL"
    return False


def _is_symbol(letter: str) -> bool:
    return letter != "" and unicodedata.category(letter) == "So"


def fault(line: str) -> str | None:
    """What is wrong with a line of text, and in which column; None where nothing is.

    White space at its ends is no fault, whatever it is.
    """
    found = _FAULTY.search(line.rstrip(), len(line) - len(line.lstrip()))
    if found is None:
        return _misread(line)
    letter = found.group()
    where = f"(U+{ord(letter):04X}) at column {found.start() + 1}"
    if letter in _SEPARATORS:
        return f"{_SEPARATORS[letter]} {where}: end the line there, or take it out"
    if letter == "\0":
        return f"NUL {where}"
    if letter == "\ufffd":
        return f"replacement character {where}: a conversion has lost what stood there"
    if unicodedata.category(letter) == "Cc":
        return f"control character {where}"
    return f"what is no character of a text {where}"


def is_misread(line: str) -> bool:
    """Whether all that is wrong with a line is that its UTF-8 was read as Windows-1252 once."""
    return not _FAULTY.search(line.strip()) and _misread(line) is not None


def _misread(line: str) -> str | None:
    if not _MISREAD.search(line):
        return None
    try:
        meant = line.strip().encode("cp1252").decode()
    except UnicodeError:
        return None
    return f"UTF-8 that was read as Windows-1252 once: is {meant!r} meant?"


def normalise(text: str) -> str:
    """NFC, without invisible characters, runs of white space as single spaces and none at the ends."""
    if not text.isascii():
        text = unicodedata.normalize("NFC", visible(text)).replace(_BRAILLE_BLANK, " ")
    return " ".join(text.split())
