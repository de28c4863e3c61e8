"""``c2srt train``: tokens, annotations and a graph → a run."""

from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

from c2srt_cli.artifacts import check_folder
from c2srt_cli.cli import completion
from c2srt_cli.cli import options as o
from c2srt_cli.cli.console import note, running
from c2srt_cli.errors import UsageError, counted
from c2srt_cli.methods.registry import DEFAULT, METHODS


def train(
    method: Annotated[
        str | None,
        typer.Argument(
            metavar="[METHOD]",
            autocompletion=completion.trained_methods,
            help=f"Method to train: {', '.join(METHODS)}.",
            show_default=f"{DEFAULT}",
        ),
    ] = None,
    option: Annotated[
        str | None,
        typer.Option(
            "--method", autocompletion=completion.trained_methods, help="The same as METHOD.", show_default=False
        ),
    ] = None,
    annotations: Annotated[
        Path | None, typer.Option("--annotations", "-a", help="Folder of annotations.", show_default=False)
    ] = None,
    embeddings: Annotated[
        Path | None,
        typer.Option("--embeddings", "-e", help="Folder of embeddings made for the method.", show_default=False),
    ] = None,
    images: Annotated[
        bool,
        typer.Option(
            "--images",
            help="Encode the images in every epoch instead, cropped and flipped at random: slower, but nothing is kept "
            "on the disk.",
        ),
    ] = False,
    graph: Annotated[str | None, o.graph("which labels are evidence for which", panel=None)] = None,
    init: Annotated[
        Path | None, typer.Option(help="Finished run that mkt-prompt learns a prompt for.", show_default=False)
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option("--config", "-c", help="TOML file with options of the method.", show_default=False),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="One option of the method, as in --set ist.heads=8. May be repeated, and goes before the file.",
            show_default=False,
        ),
    ] = None,
    print_options: Annotated[
        bool, typer.Option("--print-options", help="Print the options of the method with their help.")
    ] = False,
    epochs: Annotated[
        int | None, typer.Option(min=1, help="Passes over the training images.", show_default="by the method")
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed of every random number.", show_default="0")] = None,
    root: o.Root = None,
    backbone: o.Backbone = None,
    templates: o.InheritedTemplates = None,
    device: o.Device = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check everything, print the options, train nothing.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Run to write.", show_default=False, rich_help_panel=o.OUTPUT)
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Start again instead of resuming.", rich_help_panel=o.OUTPUT)
    ] = False,
) -> None:
    """Train a method on cached tokens.

    [bold]c2srt prepare corel5k FOLDER --out A[/], [bold]c2srt embed --annotations A --for c2srt --out E[/],
    then [bold]c2srt train -e E -a A --graph corel5k-374 --out run[/]

    What a paper leaves open is an option of its method: [bold]c2srt train c2srt --print-options[/] lists them, each
    with the reason for its default. Stopped runs go on where they were.
    """
    from c2srt_cli.text import read_toml
    from c2srt_cli.training.config import as_toml, describe, parse_set, resolve

    given = {} if config is None else read_toml(config)
    if method and option and method != option:
        raise UsageError(f"two methods are named, {method} and {option}", hint="name one")
    method = method or option
    name = str(method or given.get("method", DEFAULT))
    own = parse_set(settings or [])
    own |= {f"training.{key}": value for key, value in (("epochs", epochs), ("seed", seed)) if value is not None}
    resolved = resolve(name, given, None if config is None else str(config), over=own)
    if print_options:
        for known, value, text in describe(resolved):
            typer.echo(f"{known} = {value}\n    {text}")
        return
    lacking = [flag for flag, value in (("--annotations", annotations), ("--out", out)) if value is None]
    if annotations is None or out is None:
        raise UsageError(f"{' and '.join(lacking)} must be given", hint="c2srt train -e E -a A --graph G --out run")
    if method is None and "method" not in given:
        note(f"method {DEFAULT}; c2srt train label-propagation is not told apart from it and takes less time")

    from c2srt_cli.progress import Progress
    from c2srt_cli.training import processes
    from c2srt_cli.training.prepare import TrainOptions, prepare_training
    from c2srt_cli.training.rundir import check_out
    from c2srt_cli.training.train import train as run

    if not dry_run:
        check_folder(out)
    processes.join()
    with running("training") if processes.rank() == 0 else nullcontext(Progress()) as progress:
        job = prepare_training(
            TrainOptions(
                embeddings=embeddings,
                annotations=annotations,
                out=out,
                options=resolved,
                graph=graph,
                templates=templates,
                device=device,
                overwrite=overwrite,
                images=images,
                root=root,
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
    rate = "" if result.images_per_second is None else f", {result.images_per_second:,.0f} images a second"
    seen = "" if result.val_map is None else f", best mean AP of seen labels {result.val_map:.3f}"
    note(f"{counted(result.epochs, 'epoch')}{rate}{seen}")
    note(f"next: c2srt evaluate {out} -e {embeddings or 'E'} -a {annotations}")
    if result.diverged:
        from c2srt_cli.errors import SOME_ITEMS_FAILED

        raise typer.Exit(SOME_ITEMS_FAILED)
