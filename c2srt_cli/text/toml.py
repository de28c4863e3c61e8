"""Options in a file of TOML."""

import tomllib
from pathlib import Path
from typing import Any

from c2srt_cli.errors import InputError
from c2srt_cli.text.file import read_text


def read_toml(path: Path) -> dict[str, Any]:
    """The content of a TOML file, as any editor saves it.

    Raises:
        InputError: it cannot be read, or is no TOML.
    """
    text = read_text(path, "the options", "name a TOML file")
    if text.problems:
        raise InputError("cannot be read as TOML", where=str(path), problems=text.problems, hint=text.hint)
    try:
        return tomllib.loads(f"{text}\n")
    except (ValueError, RecursionError) as error:
        hint = "write NAME = VALUE, one a line, and text in quotation marks"
        raise InputError(f"cannot be read as TOML ({error})", where=str(path), hint=hint) from None
