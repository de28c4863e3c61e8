import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from c2srt_cli.text.characters import INVISIBLE, fault, normalise, visible

ZWSP, ZWNJ, ZWJ, BOM, SHY, LRM, RLM, WJ = "\u200b", "\u200c", "\u200d", "\ufeff", "\u00ad", "\u200e", "\u200f", "\u2060"

#: What carries meaning, and stays as it is.
MEANT = {
    "Persian plural": f"کتاب{ZWNJ}ها",
    "Persian verb": f"می{ZWNJ}خواهم",
    "Persian, a mark above": f"مُ{ZWNJ}ها",
    "Arabic abbreviation of the era": f"ه{ZWJ}",
    "Sinhala: Sri Lanka": f"ශ්{ZWJ}රී ලංකා",
    "Hindi, half a letter": f"क्{ZWJ}ष",
    "Hindi, no ligature": f"क्{ZWNJ}ष",
    "Bengali: RAB": f"র{ZWJ}্যাব",
    "a family": f"👩{ZWJ}👩{ZWJ}👧",
    "a couple, with a variation selector": f"👩{ZWJ}❤\ufe0f{ZWJ}👨",
    "an astronaut, with a colour of skin": f"👩🏽{ZWJ}🚀",
    "a pirate flag": f"🏴{ZWJ}☠\ufe0f",
    "a heart, red": "❤\ufe0f",
    "a heart, in black": "❤\ufe0e",
    "a key": "1\ufe0f\u20e3",
    "copyright, as a picture": "©\ufe0f",
    "Scotland": "🏴\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f",
    "an ideograph in another form": "葛\U000e0100",
    "Mongolian": "ᠠ\u180b",
}


@pytest.mark.parametrize("text", MEANT.values(), ids=MEANT)
def test_what_carries_meaning_stays(text: str) -> None:
    assert visible(text) == text
    assert normalise(f"  {text}\u00a0") == unicodedata.normalize("NFC", text)


@pytest.mark.parametrize(
    "letter",
    f"{ZWSP}{ZWNJ}{ZWJ}{BOM}{SHY}{LRM}{RLM}{WJ}\u061c\u202e\u2066\u2063\u034f\u3164\ufe0f\u180e\u115f\uffa0\u17b4\u206f"
    "\U000e0061\U000e0001\U000e0100",
    ids=lambda letter: f"U+{ord(letter):04X}",
)
def test_what_nobody_sees_goes(letter: str) -> None:
    for written in (f"{letter}cat", f"cat{letter}", f"c{letter}at", f"{letter} cat {letter}{letter}"):
        assert normalise(written) == "cat"
    assert normalise(letter) == ""
    assert normalise(f"כלב{letter}") == "כלב"


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (f"کتاب{ZWNJ}", "کتاب"),  # nothing follows
        (f"کتاب{ZWNJ}{ZWNJ}ها", f"کتاب{ZWNJ}ها"),
        (f"👩{ZWJ}", "👩"),
        (f"👩{ZWJ}cat", "👩cat"),
        ("❤\ufe0f\ufe0f", "❤\ufe0f"),
        ("🏴\U000e0067", "🏴"),  # no end of the tags
        (f"new{ZWSP}york", "newyork"),
        ("cafe\u0301", "café"),
        ("a\u00a0b\u2003c\u3000d\u202fe", "a b c d e"),
        ("ﬁ", "ﬁ"),  # NFC, and not NFKC
        ("\u2800a\u2800", "a"),
    ],
)
def test_normalise(written: str, read: str) -> None:
    assert normalise(written) == read


@given(st.text(st.characters(codec="utf-8") | st.sampled_from([*"".join(MEANT.values()), ZWSP, BOM, "\ufe0f"])))
def test_what_is_normal_stays_normal(text: str) -> None:
    once = normalise(text)
    assert normalise(once) == once
    assert once == once.strip() and "  " not in once
    assert unicodedata.is_normalized("NFC", once)
    assert not INVISIBLE.sub("", text).strip() or once  # what is seen stays


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("cat", None),
        ("a\tb", None),
        ("\x0ccat\x0b ", None),  # white space at the ends is none of anybody's business
        ("\u2028cat\u2029", None),
        ("ca\0t", "NUL (U+0000) at column 3"),
        ("cat\x08", "control character (U+0008) at column 4"),
        ("\x9bcat", "control character (U+009B) at column 1"),
        ("cat\u2028dog", "line separator (U+2028) at column 4: end the line there, or take it out"),
        ("cat\u2029dog", "paragraph separator (U+2029) at column 4: end the line there, or take it out"),
        ("cat\x0bdog", "vertical tab (U+000B) at column 4: end the line there, or take it out"),
        ("cat\x0cdog", "form feed (U+000C) at column 4: end the line there, or take it out"),
        ("cat\x85dog", "next line (U+0085) at column 4: end the line there, or take it out"),
        ("K\ufffdtzchen", "replacement character (U+FFFD) at column 2: a conversion has lost what stood there"),
        ("cat\ufff9", "what is no character of a text (U+FFF9) at column 4"),
        ("cat\U0001ffff", "what is no character of a text (U+1FFFF) at column 4"),
        ("KÃ¤tzchen", "UTF-8 that was read as Windows-1252 once: is 'Kätzchen' meant?"),
        ("it\u00e2\u20ac\u2122s", "UTF-8 that was read as Windows-1252 once: is 'it’s' meant?"),
        ("MAÇÃ", None),
        ("“AMANHÃ”", None),
        ("CAFÉ’S, 20 °C", None),
        ("cat\ud800", "what is no character of a text (U+D800) at column 4"),
    ],
)
def test_what_belongs_in_no_text(line: str, found: str | None) -> None:
    assert fault(line) == found
