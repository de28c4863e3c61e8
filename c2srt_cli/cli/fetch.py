"""``c2srt fetch``: the one command that goes to the network for weights."""

from typing import Annotated

import typer

from c2srt_cli.cli.console import note, running
from c2srt_cli.errors import Interrupted


def fetch(
    backbone: Annotated[
        str,
        typer.Argument(
            metavar="BACKBONE", help="ARCH/TAG as in ViT-B-16/openai, or hf-hub:ORG/NAME.", show_default=False
        ),
    ],
) -> None:
    """Download, check and record the weights of a backbone.

    [bold]c2srt fetch ViT-B-16/openai[/]

    Nothing else in c2srt uses the network.
    """
    from c2srt_cli.backbone.fetch import fetch as run

    with running(f"fetching {backbone}") as progress:

        def advance(done: int, total: int) -> None:
            progress.advance(done, total)
            if progress.stopped():
                raise Interrupted("the download is not finished; it resumes")

        record = run(backbone, advance)
    note(f"{backbone}: {record['size'] / 2**20:,.0f} MiB, sha256 {record['sha256'][:16]}…")
    note(f"next: c2srt tag ./photos --labels labels.txt --backbone {backbone}")
