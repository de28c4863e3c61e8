"""``c2srt embed``: photographs → cached tokens."""

from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from c2srt_cli.artifacts import address, check_folder, in_bucket
from c2srt_cli.cli import completion
from c2srt_cli.cli import options as o
from c2srt_cli.cli.console import finish, note, note_failures, running
from c2srt_cli.methods.registry import METHODS

SPLIT = "Split"


class Streams(StrEnum):
    """Streams of tokens to store."""

    global_ = "global"
    local = "local"
    both = "both"


def embed(
    out: Annotated[
        Path,
        typer.Option(
            "--out", "-o", help="Folder to write, or s3://BUCKET/FOLDER.", show_default=False, rich_help_panel=o.OUTPUT
        ),
    ],
    photos: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="PHOTOS...",
            help="Folders, files, quoted patterns, s3://BUCKET/FOLDER, or - for a list on stdin.",
            show_default="those of --annotations",
        ),
    ] = None,
    annotations: Annotated[
        Path | None,
        typer.Option(
            "--annotations",
            "-a",
            help="Read exactly the photographs that c2srt prepare listed here, and store its labels' text embeddings.",
            rich_help_panel=o.IMAGES,
        ),
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option(
            "--labels",
            "-l",
            metavar="FILE|WORDS",
            help="Store the text embeddings of these labels too.",
            show_default="those of --annotations",
        ),
    ] = None,
    method: Annotated[
        str,
        typer.Option(
            "--for",
            autocompletion=completion.methods,
            help=f"Method that will read them: {', '.join(METHODS)}. zero-shot reads the end of the tower, the others "
            "train stages before it.",
            rich_help_panel=SPLIT,
        ),
    ] = "zero-shot",
    split_stage: Annotated[
        int | None,
        typer.Option(
            min=0, help="Stage before which the tower is split.", show_default="by --for", rich_help_panel=SPLIT
        ),
    ] = None,
    streams: Annotated[
        Streams | None,
        typer.Option(help="Streams to store at the split.", show_default="by --for", rich_help_panel=SPLIT),
    ] = None,
    backbone: o.Backbone = None,
    templates: o.Templates = "default",
    patch_attention: o.PatchAttentionOption = None,
    fit: o.FitOption = None,
    draft: o.Draft = True,
    null: o.Null = False,
    recursive: o.Recursive = False,
    exclude: o.Exclude = None,
    root: o.Root = None,
    shard: o.Shard = None,
    cluster: o.Cluster = None,
    part_size: o.PartSize = 10_000,
    overwrite: o.Overwrite = False,
    allow_failures: o.AllowFailures = False,
    device: o.Device = None,
    precision: o.PrecisionOption = None,
    batch_size: o.BatchSize = None,
    workers: o.Workers = None,
) -> None:
    """Run the frozen part of the backbone once and keep its tokens.

    [bold]c2srt embed ./photos --out embeddings[/], then [bold]c2srt tag embeddings --labels labels.txt[/]

    A rerun encodes only what is new or changed, and forgets what has gone.
    """
    kind, share = METHODS.find(method), o.share_of(shard)

    from c2srt_cli.cluster import joined
    from c2srt_cli.embeddings.embed import EmbedOptions, prepare_embedding
    from c2srt_cli.embeddings.embed import embed as run
    from c2srt_cli.embeddings.encoder import Machine
    from c2srt_cli.embeddings.split import Split
    from c2srt_cli.parts.bucket import folder_of, refuse_cluster

    options = EmbedOptions(
        inputs=tuple(photos or ()),
        stdin=o.stdin_list(photos or [], null=null),
        recursive=recursive,
        exclude=tuple(exclude or ()),
        root=root,
        out=out,
        annotations=annotations,
        labels=labels,
        backbone=backbone,
        templates=templates,
        needed=lambda tower: Split(*kind.needs(kind.defaults(), tower)),
        split_stage=split_stage,
        streams=streams.value if streams else None,
        patch_attention=patch_attention.value if patch_attention else None,
        fit=fit.value if fit else None,
        draft=draft,
        machine=Machine(device, precision.value if precision else None, batch_size, workers),
        overwrite=overwrite,
        part_size=part_size,
        share=share,
    )
    refuse_cluster(out, cluster)
    if not in_bucket(out):
        check_folder(out)
    with (
        running("embedding") as progress,
        joined(cluster, cores=workers, device=device) as there,
        folder_of(out, share) as folder,
    ):
        result = run(prepare_embedding(replace(options, out=folder, cluster=there), progress), progress)
    name = address(out)
    note(
        f"{result.total - len(result.failures):,} photographs in {name}: {result.encoded:,} encoded now, "
        f"{result.removed:,} removed"
    )
    failures = [f"not embedded: {row.path}: {row.reason}: {row.detail}" for row in result.failures]
    note_failures(failures, rest=f" in the indexes of {name}")
    if result.open:
        note(f"{result.open:,} parts are left to other processes of --shard")
    elif in_bucket(out):
        note("next: copy it into a folder, then c2srt tag FOLDER --labels labels.txt")
    elif annotations is not None and kind.trainable:
        more = " --graph GRAPH" * bool(kind.hops(kind.defaults())) + " --init RUN" * kind.needs_init
        note(f"next: c2srt train {method} -e {out} -a {annotations}{more} --out run")
    else:
        note(f"next: c2srt tag {out} --labels labels.txt")
    finish(len(result.failures), allowed=allow_failures)
