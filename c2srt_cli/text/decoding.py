"""Bytes from other systems → lines of text: byte-order marks, UTF-16 and UTF-32, every fault by its line."""

import codecs
import re
import unicodedata
from dataclasses import dataclass

from c2srt_cli.text.characters import fault, is_misread, visible

#: Marks at the start of a file and what they say; the longer ones first.
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)

#: The mark of DOS for the end of a text, and what pads a block behind it.
_END = re.compile("\x1a[\x1a\x00\\s]*\\Z")

#: Line ends of Unix, Windows and old Macs.
_LINE_END = re.compile("\r\n|\r|\n")

#: Share of zero bytes from which text of two bytes a letter is Western, and nothing else can be meant.
_WESTERN = 0.4


@dataclass(frozen=True, slots=True)
class Text:
    """What a text says, and what is wrong with it.

    Attributes:
        lines: Without their ends and without invisible characters, unless they were asked for exactly as they are. A
            faulty one is empty.
        problems: One for each faulty line, with its number.
        hint: What to do where the encoding is wrong; else None.
    """

    lines: tuple[str, ...]
    problems: tuple[str, ...] = ()
    hint: str | None = None

    def __str__(self) -> str:
        return "\n".join(self.lines)


def decode_text(data: bytes, *, exact: bool = False) -> Text:
    """Decode UTF-8 and UTF-16, with or without a byte-order mark, and UTF-32 with one.

    No other encoding is guessed at: what is not UTF-8 is a problem, with its line and column.

    Args:
        data: The text.
        exact: Keep the lines' ends and every character in them, as names of files need it.
    """
    encoding = encoding_of(data)
    hint, problems = None, dict[int, str]()
    try:
        lines = split_lines(data.decode(encoding), ends=exact)
    except UnicodeDecodeError as error:
        if encoding != "utf-8":
            number = len(_LINE_END.findall(data[: error.start].decode(encoding, "ignore"))) + 1
            problem = f"line {number}: the text is {encoding.upper()} up to here, and then it is not"
            return Text((), (problem,), "save it as UTF-8")
        lines, problems = _decode_lines(data, ends=exact)
        hint = _conversion(data)
    if exact:
        lines[:1] = [line.removeprefix("\ufeff") for line in lines[:1]]
        return Text(tuple(lines), tuple(f"line {number}: {what}" for number, what in problems.items()), hint)
    misread = {}
    for number, line in enumerate(lines, 1):
        if not (line.isascii() and line.isprintable()):
            lines[number - 1] = visible(line)
            if wrong := fault(lines[number - 1]):
                if is_misread(lines[number - 1]):
                    misread[number] = lines[number - 1]
                problems[number], lines[number - 1] = wrong, ""
    if misread and not all(
        map(str.isascii, lines)
    ):  # a text that was misread has no letter beyond ASCII as it should be
        for number, line in misread.items():
            lines[number - 1] = line
            del problems[number]
    return Text(tuple(lines), tuple(f"line {number}: {problems[number]}" for number in sorted(problems)), hint)


def encoding_of(data: bytes) -> str:
    """``utf-8``, or what the mark at the start or the pattern of zero bytes says."""
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return encoding
    return _unmarked(data) if b"\0" in data else "utf-8"


def split_lines(text: str, *, ends: bool = False) -> list[str]:
    """The lines of a text, up to the end mark of DOS; with their ends where these are wanted."""
    text = _END.sub("", text)
    if ends:
        return [line for line in re.findall("[^\r\n]*(?:\r\n|[\r\n]|$)", text) if line]
    lines = _LINE_END.split(text)
    return lines[:-1] if lines[-1] == "" else lines


def _decode_lines(data: bytes, *, ends: bool) -> tuple[list[str], dict[int, str]]:
    """The lines of what is not all UTF-8, and what is wrong with them by their numbers."""
    lines, problems = [], {}
    # one letter a byte: so the line ends, which are ASCII, are found as ever
    for number, raw in enumerate(split_lines(data.decode("latin-1"), ends=ends), 1):
        try:
            lines.append(raw.encode("latin-1").decode())
        except UnicodeDecodeError as error:
            column = len(error.object[: error.start].decode()) + 1
            problems[number] = f"byte 0x{error.object[error.start]:02x} at column {column} is not UTF-8"
            lines.append("")
    return lines, problems


def _conversion(data: bytes) -> str:
    """What to do with text that is not UTF-8; what Windows in Western Europe writes is recognised."""
    try:
        data.decode("cp1252")
    except UnicodeDecodeError:
        return "save it as UTF-8"
    return "save it as UTF-8; if it is Windows' or Latin-1: iconv -f WINDOWS-1252 -t UTF-8 OLD > NEW"


def _unmarked(data: bytes) -> str:
    """``utf-16-le`` or ``utf-16-be`` where text with zero bytes can be nothing else, or ``utf-8``."""
    zeros = [data[0::2].count(0), data[1::2].count(0)]
    if len(data) % 2:
        return "utf-8"
    encoding = "utf-16-be" if zeros[0] > zeros[1] else "utf-16-le"
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError:
        return "utf-8"
    if not _plain(text) or (b"\n" in data and not _LINE_END.search(text)):
        return "utf-8"
    if max(zeros) < _WESTERN * len(text):  # other scripts, or text with a few zero bytes in it
        try:
            if _plain(data.replace(b"\0", b"").decode()):
                return "utf-8"
        except UnicodeDecodeError:
            pass
    return encoding


def _plain(text: str) -> bool:
    """Whether a text has no control characters and no code points that mean nothing."""
    return not any(unicodedata.category(letter) in {"Cc", "Cn"} for letter in set(text) - set("\t\n\r\x1a"))
