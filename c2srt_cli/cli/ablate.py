"""``c2srt ablate``: a grid of options → runs, a table and a figure."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from c2srt_cli.artifacts import check_folder
from c2srt_cli.cli import options as o
from c2srt_cli.cli.console import finish, note, running


def ablate(
    grid: Annotated[Path, typer.Argument(metavar="GRID.toml", help="TOML file with the rows.", show_default=False)],
    embeddings: Annotated[
        Path,
        typer.Option(
            "--embeddings", "-e", help="Folder of embeddings to train from and to test on.", show_default=False
        ),
    ],
    annotations: Annotated[
        Path, typer.Option("--annotations", "-a", help="Folder of annotations.", show_default=False)
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder to write.", show_default=False, rich_help_panel=o.OUTPUT)
    ],
    protocol: Annotated[
        str | None,
        typer.Option(
            "--protocol",
            "-p",
            help="How the test set is used: F or L of NUS-WIDE, …",
            show_default="the dataset's first",
        ),
    ] = None,
    templates: o.InheritedTemplates = None,
    backbone: o.MovedBackbone = None,
    device: o.Device = None,
    overwrite: o.Overwrite = False,
) -> None:
    r"""Train rows of options with several seeds, and say what each difference is worth.

    [bold]c2srt ablate recipes/ablate-corel5k.toml -e E -a A --out DIR[/]

    The file's \[base] holds options of train by name (c2srt train --print-options), method and graph; \[rows."NAME"]
    what differs in a row; the product of the lists in \[grid] gives rows too; seeds is a list. Zero-shot is the first
    row, the base, under the name of its method, the second.

    ablation.csv, .md, .svg and .png are written after every run. Finished runs are kept, a stopped one goes on.
    """
    from c2srt_cli.ablation.ablate import ablate as run
    from c2srt_cli.ablation.prepare import AblationOptions, prepare_ablation
    from c2srt_cli.evaluation.table import print_table
    from c2srt_cli.tagging.writers.escape import terminal_text

    check_folder(out)
    with running("ablation") as progress:
        job = prepare_ablation(
            AblationOptions(
                grid=grid,
                embeddings=embeddings,
                annotations=annotations,
                out=out,
                protocol=protocol,
                templates=templates,
                device=device,
                backbone=backbone,
                overwrite=overwrite,
            ),
            progress,
        )
        result = run(job, progress)
    for place, table in enumerate(result.tables):
        if place:
            sys.stdout.write("\n")
        print_table(table, sys.stdout, terminal_text)
    note(f"{out}: ablation.csv, ablation.md, ablation.svg, ablation.png")
    finish(result.failed, allowed=False)
