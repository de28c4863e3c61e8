"""``c2srt prepare``: a dataset's own files → annotations."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from c2srt_cli.artifacts import check_folder
from c2srt_cli.cli import options as o
from c2srt_cli.cli.console import note

UNSEEN = "Unseen labels (one of these)"


class DatasetName(StrEnum):
    """Datasets that can be read."""

    corel5k = "corel5k"
    nus_wide = "nus-wide"
    open_images = "open-images"
    coco = "coco"
    voc = "voc"
    ram_json = "ram-json"
    table = "table"


def prepare(
    dataset: Annotated[
        DatasetName, typer.Argument(help="Whose files they are; table for your own.", show_default=False)
    ],
    source: Annotated[
        Path,
        typer.Argument(
            help="The dataset's folder. table: a table (of a spreadsheet, Parquet, JSON) with the columns path, labels "
            "(; between them) and perhaps split; a file of c2srt tag; or a folder of images with a .txt of one "
            "label a line beside each.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder to write.", show_default=False, rich_help_panel=o.OUTPUT)
    ],
    unseen: Annotated[
        str | None,
        typer.Option(metavar="FILE|WORDS", help="These labels are unseen.", rich_help_panel=UNSEEN),
    ] = None,
    protocol: Annotated[
        str | None,
        typer.Option(
            help="A published division: nus-81 (corel5k), 925-81 (nus-wide), 7186-400 (open-images), 48-17 or 65-15 "
            "(coco), files or 48-17 (ram-json).",
            show_default="the dataset's first",
            rich_help_panel=UNSEEN,
        ),
    ] = None,
    unseen_share: Annotated[
        float | None,
        typer.Option(help="Draw this share of the labels, frequent and rare ones alike.", rich_help_panel=UNSEEN),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the draw.", rich_help_panel=UNSEEN)] = 0,
    root: Annotated[
        Path | None,
        typer.Option(
            help="Folder that the images' paths are relative to.",
            show_default="as the dataset lays them out",
            rich_help_panel=o.IMAGES,
        ),
    ] = None,
    prefix: Annotated[
        str, typer.Option(help="Strip this from the beginning of the images' paths.", rich_help_panel=o.IMAGES)
    ] = "",
    exclude: o.Exclude = None,
    overwrite: Annotated[
        bool,
        typer.Option("--overwrite", help="Replace annotations made with other options.", rich_help_panel=o.OUTPUT),
    ] = False,
) -> None:
    """Turn a dataset's own files into annotations, and say what is missing or not as published.

    [bold]c2srt prepare table photos.csv --out annotations[/], then
    [bold]c2srt embed --annotations annotations --for label-propagation --out embeddings[/]
    """
    from c2srt_cli.datasets.prepare import PrepareOptions
    from c2srt_cli.datasets.prepare import prepare as run

    options = PrepareOptions(
        dataset=dataset.value,
        source=source,
        out=out,
        unseen=unseen,
        protocol=protocol,
        unseen_share=unseen_share,
        seed=seed,
        root=root,
        prefix=prefix,
        exclude=tuple(exclude or ()),
        overwrite=overwrite,
    )
    check_folder(out)
    result = run(options)
    annotations = result.annotations
    for count in annotations.notes["counts"]:
        if count["agrees"]:
            note(f"{count['what']}: {count['found']:,}")
        else:
            note(f"{count['what']}: {count['found']:,}, where {count['expected']:,} is published", "yellow")
    for remark in annotations.notes["remarks"]:
        note(remark)
    for split, facts in annotations.notes["splits"].items():
        note(
            f"{split}: {facts['images']:,} images with {facts['seen_labels_each']} seen and "
            f"{facts['unseen_labels_each']} unseen labels each, {facts['without_a_seen_label']:,} without a seen label"
        )
    if result.missing:
        note(
            f"{len(result.missing):,} of {len(annotations):,} images are not below {annotations.root} "
            f"({', '.join(result.missing[:3])}, …); they come from {result.images}",
            "yellow",
        )
    seen = int(annotations.seen.sum())
    note(f"{len(annotations.labels):,} labels, {seen:,} of them seen, in {out}")
    note(f"next: c2srt embed --annotations {out} --for label-propagation --out embeddings")
