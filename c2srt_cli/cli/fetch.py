"""``c2srt fetch``: the one command that goes to the network for weights."""

from inspect import cleandoc
from typing import TYPE_CHECKING, Annotated

import typer

from c2srt_cli.backbone.purposes import PURPOSES
from c2srt_cli.cli import completion
from c2srt_cli.cli.console import note, running
from c2srt_cli.errors import Interrupted

if TYPE_CHECKING:
    from c2srt_cli.backbone.fetch import Offer


def fetch(
    backbone: Annotated[
        str,
        typer.Argument(
            metavar="BACKBONE",
            autocompletion=completion.fetchable,
            help=f"What for ({', '.join(PURPOSES)}), ARCH/TAG as in ViT-B-16/openai, or hf-hub:ORG/NAME.",
            show_default=False,
        ),
    ],
) -> None:
    """Download, check and record the weights of a backbone.

    [bold]c2srt fetch default[/]

    What was fetched last is what every command takes without --backbone. Nothing else in c2srt uses the network.

    {purposes}

    The choice rests on published figures for naming pictures and finding them by a text, not on tagging measured here.
    Size and licence are printed before anything large is downloaded.
    """
    from c2srt_cli.backbone.fetch import fetch as run

    with running(f"fetching {backbone}") as progress:

        def advance(done: int, total: int) -> None:
            progress.advance(done, total)
            if progress.stopped():
                raise Interrupted("the download is not finished; it resumes")

        record = run(backbone, advance, _announce)
    note(f"{record['spec']}: {record['size'] / 2**20:,.0f} MiB, sha256 {record['sha256'][:16]}…")
    note(f"next: c2srt tag ./photos --labels labels.txt (--backbone {record['spec']} is the default from now on)")


#: An empty line between, or the terminal makes them one paragraph.
_LINES = "\n\n".join(f"- [bold]{name}[/]: {purpose.spec}, {purpose.why}." for name, purpose in PURPOSES.items())
fetch.__doc__ = cleandoc(fetch.__doc__ or "").format(purposes=_LINES)


def _announce(offer: "Offer") -> None:
    """What will come, and on which terms, before it comes."""
    # its weights, copies that are laid out for the processor, and torch itself
    memory = 2 * offer.size / 2**30 + 0.5
    note(f"{offer.spec}: {offer.size / 2**20:,.0f} MiB to download; about {memory:.1f} GiB of memory at work")
    terms, page = offer.licence, offer.page
    if terms.name is None:
        note(f"licence: not verified, read it at {page}", "yellow")
    elif terms.restricts:
        note(f"licence: {terms.name}, {terms.kind.upper()}: read it at {page} before you use it", "bold yellow")
    else:
        note(f"licence: {terms.name} ({page})")
