"""``c2srt demo``: the main job on real photographs, offline."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from c2srt_cli.artifacts import check_writable
from c2srt_cli.cli import options as o
from c2srt_cli.cli.console import finish, note, running


def demo(
    out: Annotated[Path, typer.Option("--out", "-o", help="File to write the tags to.")] = Path("demo/tags.jsonl"),
    backbone: o.Backbone = None,
    graph: Annotated[
        bool,
        typer.Option("--graph/--no-graph", help="Let labels be evidence for each other over the graph 'everyday'."),
    ] = True,
) -> None:
    """Tag photographs that come with scikit-image and scikit-learn with 400 everyday labels.

    [bold]c2srt demo[/]
    """
    from c2srt_cli.demo import demo_photographs
    from c2srt_cli.labels.everyday import everyday_labels
    from c2srt_cli.progress import Progress
    from c2srt_cli.tagging.outputs import tag_to_files, tag_to_stream
    from c2srt_cli.tagging.tag import TagOptions, prepare_tagging
    from c2srt_cli.tagging.writers import WRITERS

    check_writable(out)
    photographs = tuple(str(path) for path in demo_photographs())
    options = TagOptions(
        inputs=photographs, labels=everyday_labels(), backbone=backbone, graph="everyday" if graph else None
    )
    with running("tagging") as progress:
        job = prepare_tagging(options, progress)
        result = tag_to_files(job, WRITERS["jsonl"], out, progress, overwrite=False)
    tag_to_stream(job, WRITERS["table"], sys.stdout, Progress())  # eight photographs: quicker than reading them back
    note(f"the tags are in {out}; next: c2srt tag ./photos --labels labels.txt")
    finish(len(result.failures), allowed=False)
