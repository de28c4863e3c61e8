"""Text from outside, made safe for the place it goes to."""

import re

#: C0 and C1 controls, surrogates, line and paragraph separators, and the marks that reorder text on screen.
_NOT_TERMINAL = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")

_BREAKS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")


def terminal_text(text: str) -> str:
    r"""Text that cannot move the cursor, colour the screen or reorder a line: such characters show as ``\x1b``."""
    return _NOT_TERMINAL.sub(lambda match: ascii(match.group())[1:-1], text)


def one_line(text: str) -> str:
    """Text on one line: runs of control characters and line breaks become one space."""
    return _BREAKS.sub(" ", text).strip()
