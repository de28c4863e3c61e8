"""``c2srt train``: tokens, annotations and a graph → a run."""

import inspect
from contextlib import nullcontext
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any

import typer

from c2srt_cli.cli import options as o
from c2srt_cli.cli.console import note, running
from c2srt_cli.methods.catalogue import METHODS
from c2srt_cli.training.config import SECTIONS, as_toml, options, read_toml, resolve

PANELS = {"parts": "Parts", "losses": "Losses", "optimisation": "Optimisation"}


def train(
    annotations: Annotated[
        Path, typer.Option("--annotations", "-a", help="Folder of annotations.", show_default=False)
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Run to write.", show_default=False, rich_help_panel=o.OUTPUT)
    ],
    embeddings: Annotated[
        Path | None,
        typer.Option("--embeddings", "-e", help="Folder of embeddings made for the method.", show_default=False),
    ] = None,
    images: Annotated[
        bool,
        typer.Option(
            "--images",
            help="Encode the photographs in every epoch instead, cropped and flipped at random: slower, but "
            "nothing is kept on the disk.",
        ),
    ] = False,
    backbone: o.Backbone = None,
    method: Annotated[str | None, typer.Option(help=f"{', '.join(METHODS)}.", show_default="c2srt")] = None,
    graph: Annotated[
        str | None,
        typer.Option("--graph", "-g", help="File of a category graph, or name of a shipped one.", show_default=False),
    ] = None,
    config: Annotated[
        Path | None, typer.Option("--config", "-c", help="TOML with options; flags go before it.", show_default=False)
    ] = None,
    init: Annotated[
        Path | None,
        typer.Option(help="Finished run that mkt-prompt learns a prompt for.", show_default=False),
    ] = None,
    templates: o.Templates = "default",
    device: o.Device = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check everything, print the options, train nothing.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Start again instead of resuming.", rich_help_panel=o.OUTPUT)
    ] = False,
    **flags: Any,
) -> None:
    """Train a method on cached tokens.

    [bold]c2srt prepare corel5k FOLDER --out A[/], [bold]c2srt embed --annotations A --for c2srt --out E[/], then
    [bold]c2srt train -e E -a A --graph corel5k-374 --out run[/]

    What a paper leaves open is an option, with the reason for its default. Stopped runs go on where they were.
    """
    given = {} if config is None else read_toml(config)
    name = method or given.pop("method", "c2srt")
    given.pop("method", None)
    resolved = resolve(name, given | {key: value for key, value in flags.items() if value is not None})

    from c2srt_cli.progress import Progress
    from c2srt_cli.training import processes
    from c2srt_cli.training.train import TrainOptions, check_out, prepare_training
    from c2srt_cli.training.train import train as run

    processes.join()
    with running("training") if processes.rank() == 0 else nullcontext(Progress()) as progress:
        job = prepare_training(
            TrainOptions(
                embeddings=embeddings,
                annotations=annotations,
                out=out,
                config=resolved,
                graph=graph,
                templates=templates,
                device=device,
                overwrite=overwrite,
                images=images,
                backbone=backbone,
                init=init,
            ),
            progress,
        )
        if dry_run:
            check_out(job)
            typer.echo(as_toml(resolved), nl=False)
            return
        result = run(job, progress)
    if processes.rank() > 0:
        return
    rate = "" if result.images_per_second is None else f", {result.images_per_second:,.0f} photographs a second"
    seen = "" if result.seen_map is None else f", best mean AP of seen labels {result.seen_map:.3f}"
    note(f"{result.epochs} epochs{rate}{seen}")
    note(f"next: c2srt evaluate {out} -e {embeddings or 'E'} -a {annotations}")
    if result.diverged:
        from c2srt_cli.errors import SOME_ITEMS_FAILED

        raise typer.Exit(SOME_ITEMS_FAILED)


def _shown(value: Any) -> str:
    return str(value) if value != "" else "none"


def _with_flags(command: Any) -> Any:
    """The command with a flag for each option of a config: their names, types and reasons stand in one place."""
    own, plain = inspect.signature(command), resolve("c2srt", {})
    added = []
    for section, kind in SECTIONS.items():
        for field in fields(kind):
            _, _, hint = options()[field.name]
            text = typer.Option(
                help=field.metadata["help"],
                show_default=f"c2srt: {_shown(getattr(getattr(plain, section), field.name))}",
                rich_help_panel=PANELS[section],
            )
            added.append(
                inspect.Parameter(
                    field.name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[hint | None, text]
                )
            )
    there = [parameter for name, parameter in own.parameters.items() if name != "flags"]
    ordered = sorted([*there, *added], key=lambda parameter: parameter.kind)
    command.__signature__ = own.replace(parameters=ordered)
    command.__annotations__ = {p.name: p.annotation for p in ordered} | {"return": None}
    return command


_with_flags(train)
