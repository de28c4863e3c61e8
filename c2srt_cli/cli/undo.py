"""``c2srt undo``: keywords out of sidecars again."""

from typing import Annotated

import typer

from c2srt_cli.cli import options as o
from c2srt_cli.cli.console import finish, note, note_failures
from c2srt_cli.errors import counted


def undo(
    photos: Annotated[
        list[str],
        typer.Argument(
            metavar="PHOTOS...",
            help="Folders that hold sidecars, photographs, or sidecars themselves.",
            show_default=False,
        ),
    ],
    vocabulary: Annotated[
        str | None,
        typer.Option(
            help="Take back only what was written under this name: that of a labels file, or search and its keyword.",
            show_default="all of c2srt's keywords",
            rich_help_panel=o.OUTPUT,
        ),
    ] = None,
) -> None:
    """Take back the keywords that c2srt has written into sidecars and captions.

    [bold]c2srt undo ./photos[/]

    Keywords of your own stay, to the byte; a sidecar that c2srt has made goes with its last keyword, unless it
    remembers one that you have taken out.
    """
    from c2srt_cli.tagging.undo import undo as take_back

    result = take_back(photos, vocabulary)
    kept = result.changed - result.removed
    parts = [f"keywords taken out of {counted(kept, 'file')}"] if kept or not result.removed else []
    parts += [f"{counted(result.removed, 'file')} of c2srt's own removed"] if result.removed else []
    note(", ".join(parts))
    note_failures([f"{one.path}: {one.detail}" for one in result.failures])
    finish(len(result.failures), allowed=False)
