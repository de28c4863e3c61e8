"""Sidecars: where one lies, and which would collide."""

import unicodedata
from collections.abc import Iterable
from pathlib import PurePosixPath

from c2srt_cli.errors import InputError
from c2srt_cli.tagging.record import TaggedImage
from c2srt_cli.tagging.writers.context import WriteContext
from c2srt_cli.tagging.writers.escape import terminal_text


def sidecar_path(path: str, suffix: str, context: WriteContext) -> str:
    """Path of an image's sidecar, relative to the folder that mirrors the photographs' tree."""
    return path + suffix if context.sidecar_name == "ext" else str(PurePosixPath(path).with_suffix(suffix))


def checked(rows: Iterable[TaggedImage], suffix: str, context: WriteContext) -> Iterable[TaggedImage]:
    """The rows, once none of them would share a sidecar; under ``ext`` none can, and they go on streaming.

    Raises:
        InputError: naming every collision.
    """
    if context.sidecar_name == "stem":
        rows = list(rows)
        check_sidecars((row.path for row in rows), suffix, context)
    return rows


def check_sidecars(paths: Iterable[str], suffix: str, context: WriteContext) -> None:
    """Refuse two images that would share a sidecar, such as ``a.jpg`` and ``a.png`` under ``stem``.

    Names that differ by case or Unicode composition only count as one: on many file systems they are.

    Raises:
        InputError: naming every collision.
    """
    owners: dict[str, list[str]] = {}
    for path in paths:
        name = unicodedata.normalize("NFC", sidecar_path(path, suffix, context)).casefold()
        owners.setdefault(name, []).append(path)
    problems = [
        terminal_text(f"{sidecar_path(names[0], suffix, context)}: {', '.join(names)}")
        for names in owners.values()
        if len(names) > 1
    ]
    if problems:
        raise InputError(
            "several images would share one sidecar",
            problems=problems,
            hint="name sidecars after the whole file name (a.jpg.xmp), or tag these images apart",
        )
