"""``c2srt tag``: photographs and labels in, tags out."""

import dataclasses
import sys
from contextlib import nullcontext
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import typer

from c2srt_cli.artifacts import check_folder, check_writable, in_bucket, is_stream
from c2srt_cli.cli import options as o
from c2srt_cli.cli.console import finish, note, running, stderr
from c2srt_cli.cli.review import report_page
from c2srt_cli.cli.summary import pass_over, show_summary, where_next
from c2srt_cli.cli.tag_output import opened, report, writer_of
from c2srt_cli.errors import UsageError
from c2srt_cli.labels import read_labels
from c2srt_cli.tagging.writers import WRITERS, Captions

#: The page of ``c2srt review``: written from the tags beside it.
PAGE = "html"
Format = StrEnum("Format", [*WRITERS, PAGE])  # type: ignore[misc] # the registry is the one list of formats


def tag(
    photos: o.Photos,
    labels: o.Labels,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="File to write; its suffix says the format. Without one a folder of parts, also s3://BUCKET/FOLDER. "
            "For txt, kohya and xmp a folder, if not the photographs'.",
            show_default="stdout",
        ),
    ] = None,
    preset: o.Preset = None,
    threshold: o.Threshold = None,
    top_k: o.TopK = None,
    format: Annotated[  # noqa: A002 - the name the user types
        Format | None,
        typer.Option(
            "--format",
            "-f",
            help="; ".join(f"[bold]{writer.name}[/] {writer.summary}" for writer in WRITERS.values())
            + f"; [bold]{PAGE}[/] a folder with the page of c2srt review.",
            show_default="by --out; else a table on a terminal, jsonl in a pipe",
            rich_help_panel=o.OUTPUT,
        ),
    ] = None,
    run: Annotated[
        Path | None,
        o.run(
            "Tag with what c2srt train has learned, also labels that were not trained on. It decides backbone, "
            "templates, pooling and fit."
        ),
    ] = None,
    profile: o.Profile = None,
    graph: Annotated[
        str | None,
        o.graph(
            f"{o.EVIDENCE}. With --run its edges attach labels that the run has not",
            default="none; with --run their nearest seen labels by text",
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="One option of zero-shot scoring, as in --set patches=topk (repeat it for more). c2srt train "
            "zero-shot --print-options lists them.",
            show_default=False,
            rich_help_panel=o.MODEL,
        ),
    ] = None,
    backbone: o.Backbone = None,
    templates: o.ScoringTemplates = None,
    patch_attention: o.PatchAttentionOption = None,
    fit: o.FitOption = None,
    draft: o.Draft = True,
    null: o.Null = False,
    recursive: o.Recursive = False,
    exclude: o.Exclude = None,
    root: o.Root = None,
    all_scores: Annotated[
        bool,
        typer.Option(
            "--all-scores", help="Write every label's score: jsonl, csv, parquet, parts.", rich_help_panel=o.OUTPUT
        ),
    ] = False,
    explain: Annotated[
        Path | None,
        typer.Option(
            "--explain",
            help="JSON Lines to write: for each label given, the patches that were chosen and, with --run or --graph, "
            "the labels that were evidence for it.",
            show_default=False,
            rich_help_panel=o.OUTPUT,
        ),
    ] = None,
    sidecar_name: Annotated[
        Literal["ext", "stem"] | None,
        typer.Option(
            help="Name of the sidecar of a.jpg: ext a.jpg.xmp, stem a.xmp.",
            show_default="the one that is there; a new one as its folder has them",
            rich_help_panel=o.OUTPUT,
        ),
    ] = None,
    vocabulary: Annotated[
        str | None,
        typer.Option(
            help="xmp, txt, kohya: name of this list of labels, which takes out only what was written under it.",
            show_default="the name of the labels file",
            rich_help_panel=o.OUTPUT,
        ),
    ] = None,
    restore: Annotated[
        bool,
        typer.Option(
            "--restore", help="xmp, kohya: give keywords again that somebody has taken out.", rich_help_panel=o.OUTPUT
        ),
    ] = False,
    replace: Annotated[
        bool,
        typer.Option(
            "--replace",
            help="xmp, txt, kohya: take the vocabulary's earlier keywords out although few of its labels are left.",
            rich_help_panel=o.OUTPUT,
        ),
    ] = False,
    captions: Annotated[
        Literal["append", "replace"],
        typer.Option(
            help="kohya: what becomes of captions that are there; append keeps every word of yours in its place.",
            rich_help_panel=o.OUTPUT,
        ),
    ] = "append",
    undesired: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|WORDS",
            help="kohya: labels that are looked for, and never written.",
            show_default=False,
            rich_help_panel=o.OUTPUT,
        ),
    ] = None,
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
    """Tag photographs with your own labels.

    [bold]c2srt tag ./photos --labels labels.txt[/]

    PHOTOS may also be a folder that c2srt embed wrote: tagging again with other labels then takes seconds.

    For very many photographs let --out name a folder: several processes may share the work with [bold]--shard[/].

    With [bold]--run[/] labels are scored by what was learned. One that the run was trained on is known by its name;
    any other is attached to the run's graph, and aggregates from those that are.
    """
    page = None
    if format == PAGE:
        if out is None:
            raise UsageError("a page goes into a folder", where=f"--format {PAGE}", hint="give --out review")
        check_folder(out)
        page, out, explain, all_scores = out, out / "tags.jsonl", explain or out / "why.jsonl", True
    writer = writer_of(format.value if format and page is None else None, out, all_scores=all_scores)
    for name, given in (("--vocabulary", vocabulary), ("--restore", restore), ("--replace", replace)):
        if given and writer.kind != "sidecar":
            raise UsageError(f"{writer.name} is written anew as a whole", where=name, hint="it goes with --format xmp")
    for name, given in (("--captions", captions != "append"), ("--undesired", undesired)):
        if given and writer.name != "kohya":
            raise UsageError("is about captions", where=name, hint="it goes with --format kohya")
    wording = Captions(captions == "replace", read_labels(undesired).names if undesired else ())
    if writer.kind != "parts":
        alone, whole = f"{writer.name} is written by one process", f"{writer.name} has no parts"
        for name, given, what in (
            ("--shard", shard is not None, alone),
            ("--cluster", cluster is not None, alone),
            ("--part-size", part_size != 10_000, whole),
        ):
            if given:
                raise UsageError(what, where=name, hint="name a folder: --out tags")
    elif explain is not None:
        raise UsageError("reasons go into one file", where="--explain", hint="it goes with --out tags.jsonl")
    share = o.share_of(shard)
    if out is not None and not (in_bucket(out) and writer.kind == "parts"):
        check_writable(out, folder=writer.kind in ("sidecar", "parts"))
    if explain is not None:
        check_writable(explain, "--explain")
    from rich.console import Console

    from c2srt_cli.cluster import joined
    from c2srt_cli.embeddings.encoder import Machine
    from c2srt_cli.parts.bucket import folder_of, refuse_cluster
    from c2srt_cli.review.options import ReviewOptions
    from c2srt_cli.review.review import begin_page, review
    from c2srt_cli.review.thumbnails import Thumbnailed
    from c2srt_cli.tagging.decision import Rule
    from c2srt_cli.tagging.outputs import tag_to_files, tag_to_stream
    from c2srt_cli.tagging.parts.job import TagPartsJob
    from c2srt_cli.tagging.parts.tag_parts import tag_parts
    from c2srt_cli.tagging.summary import FEW
    from c2srt_cli.tagging.tag import TagOptions, prepare_tagging
    from c2srt_cli.training.config import parse_set, resolve

    options = TagOptions(
        inputs=tuple(photos),
        stdin=o.stdin_list(photos, null=null),
        recursive=recursive,
        exclude=tuple(exclude or ()),
        root=root,
        labels=labels,
        run=run,
        profile=profile,
        graph=graph,
        backbone=backbone,
        templates=templates,
        method=resolve("zero-shot", parse_set(settings or []), where="--set"),
        patch_attention=patch_attention.value if patch_attention else None,
        fit=fit.value if fit else None,
        draft=draft,
        rule=Rule.asked(preset, threshold, top_k),
        all_scores=all_scores,
        explain=explain,
        vocabulary=vocabulary,
        restore=restore,
        replace=replace,
        machine=Machine(device, precision.value if precision else None, batch_size, workers),
        writer=writer,
        out=out,
        picture=None if page is None else partial(Thumbnailed.beside, page),
        share=share,
    )
    if page is not None:
        begin_page(page)
    if out is not None:
        refuse_cluster(out, cluster)
    streams = writer.kind in ("stream", "file") and (out is None or is_stream(out))
    with (
        joined(cluster, cores=workers, device=device) as there,
        opened(writer, out) if streams else nullcontext() as stream,
        folder_of(out, share) if out is not None and writer.kind == "parts" else nullcontext(out) as folder,
    ):
        options = dataclasses.replace(options, out=folder)
        with running("preparing") as progress:
            job = prepare_tagging(options, progress)
        briefly = format is None and writer.name == "table" and len(job.source.items) > FEW
        bar = briefly or not (streams and sys.stdout.isatty())
        with running("tagging", bar_wanted=bar) as progress:
            if writer.kind == "parts" and folder is not None:
                result = tag_parts(TagPartsJob(job, folder, part_size, share, overwrite, there, options), progress)
                result = dataclasses.replace(result, failures_path=out)
            elif stream is not None:
                shown = dataclasses.replace(writer, write=pass_over) if briefly else writer
                result = tag_to_stream(job, shown, stream, progress)
            else:
                target = out if out is not None else job.source.root
                result = tag_to_files(
                    job,
                    writer,
                    target,
                    progress,
                    overwrite=overwrite,
                    sidecar_name=sidecar_name,
                    captions=wording,
                )
    if result.summary.photographs > FEW:
        advise = top_k is None and threshold is None and preset != "generous"
        show_summary(result.summary, Console(highlight=False) if briefly else stderr(), advise=advise)
    report(result, page or out)
    failures = len(result.failures)
    if page is not None and out is not None:
        with running("reviewing") as progress:
            made = review(ReviewOptions(out, page, explain=explain, root=root, machine=options.machine), progress)
        report_page(made)
        failures += len(made.failures)
    elif result.summary.photographs > FEW:
        note(where_next(photos, labels, out, embeddings=bool(job.source.inputs), reviewable=bool(writer.rows)))
    finish(failures, allowed=allow_failures)
