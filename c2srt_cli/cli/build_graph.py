"""``c2srt build-graph``: labels → category graph."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from c2srt_cli.artifacts import check_writable
from c2srt_cli.cli import completion
from c2srt_cli.cli import options as o
from c2srt_cli.cli.console import finish, note, note_failures, running

if TYPE_CHECKING:
    from torch import Tensor

    from c2srt_cli.graph.llm.estimate import Estimate
    from c2srt_cli.graph.llm.service import Service
    from c2srt_cli.labels import LabelSet
    from c2srt_cli.progress import Progress

LLM, EDGES = "Language model", "Edges"


def build_graph(
    labels: o.Labels,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Graph to write.", show_default=False, rich_help_panel=o.OUTPUT)
    ],
    source: Annotated[
        str,
        typer.Option(
            help="llm, embedding, cooccurrence or random; several joined by +, of which the strongest edge counts.",
            rich_help_panel=EDGES,
        ),
    ] = "llm",
    neighbours: Annotated[int, typer.Option(min=1, help="Sources that a label keeps.", rich_help_panel=EDGES)] = 10,
    unseen: Annotated[
        str | None,
        typer.Option(metavar="FILE|WORDS", help="Labels without training annotations.", rich_help_panel=EDGES),
    ] = None,
    least_seen: Annotated[
        int,
        typer.Option(
            min=0, help="Seen sources that an unseen label keeps, where it has so many.", rich_help_panel=EDGES
        ),
    ] = 3,
    annotations: Annotated[
        Path | None,
        typer.Option(
            help="Folder of c2srt prepare, a table with the columns path,labels (cat;dog) or a file of c2srt tag, for "
            "cooccurrence and for frequent candidates. Only training photographs and seen labels count.",
            rich_help_panel=EDGES,
        ),
    ] = None,
    extend: Annotated[
        str | None,
        typer.Option(
            metavar="GRAPH",
            autocompletion=completion.graphs,
            help="Keep this graph, and attach the labels it does not have.",
            rich_help_panel=EDGES,
        ),
    ] = None,
    targets: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|WORDS",
            help="Find sources for these labels only; every label can be a source.",
            show_default="all, or those that --extend lacks",
            rich_help_panel=EDGES,
        ),
    ] = None,
    evidence: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|FILE|WORDS",
            autocompletion=completion.graphs,
            help="Labels that may be evidence for yours and are never given: 'everyday', or any list.",
            rich_help_panel=EDGES,
        ),
    ] = None,
    like: Annotated[
        str | None,
        typer.Option(
            metavar="GRAPH",
            autocompletion=completion.graphs,
            help="Graph whose degrees random takes, whatever --neighbours.",
            rich_help_panel=EDGES,
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of a random graph.", rich_help_panel=EDGES)] = 0,
    model: Annotated[
        str | None,
        typer.Option(help="Language model.", show_default="gpt-4o, or who answered --replay", rich_help_panel=LLM),
    ] = None,
    base_url: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="OpenAI-compatible server. vLLM: http://localhost:8000/v1, Ollama: http://localhost:11434/v1, "
            "llama.cpp: http://localhost:8080/v1.",
            show_default="OpenAI's",
            rich_help_panel=LLM,
        ),
    ] = None,
    api_key_file: Annotated[
        Path | None,
        typer.Option(help="File with the API key.", show_default="OPENAI_API_KEY", rich_help_panel=LLM),
    ] = None,
    replay: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Use these recorded replies, ask nothing.", rich_help_panel=LLM)
    ] = None,
    all_candidates: Annotated[
        bool,
        typer.Option(
            "--all-candidates",
            help="Offer every label as a source in each request; without it, of more than 1,280 the likely ones.",
            rich_help_panel=LLM,
        ),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print requests, tokens and price; ask nothing.", rich_help_panel=LLM)
    ] = False,
    max_cost: Annotated[
        float | None,
        typer.Option(min=0.0, metavar="USD", help="Stop before this run spends more.", rich_help_panel=LLM),
    ] = None,
    concurrency: Annotated[int, typer.Option(min=1, max=64, help="Requests at a time.", rich_help_panel=LLM)] = 4,
    requests_per_minute: Annotated[
        int | None,
        typer.Option(
            min=1, help="Send at most this many requests a minute.", show_default="no limit", rich_help_panel=LLM
        ),
    ] = None,
    tokens_per_minute: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Use at most this many tokens a minute, prompts and replies together.",
            show_default="no limit",
            rich_help_panel=LLM,
        ),
    ] = None,
    backbone: o.Backbone = None,
    templates: o.Templates = "default",
    overwrite: Annotated[
        bool,
        typer.Option("--overwrite", help="Ask again what has been answered already.", rich_help_panel=o.OUTPUT),
    ] = False,
    allow_failures: Annotated[
        bool,
        typer.Option(
            "--allow-failures", help="Exit 0 even when some labels got no complete answer.", rich_help_panel=o.OUTPUT
        ),
    ] = False,
) -> None:
    """Write down which labels are evidence for which: the graph that knowledge flows along.

    [bold]c2srt build-graph --labels labels.txt --out graph.json[/] asks a language model.
    [bold]--source embedding[/] needs none.

    Every reply is kept in GRAPH.replies.jsonl: a rerun asks only what is missing, --replay asks nothing.
    """
    from c2srt_cli.errors import counted
    from c2srt_cli.graph.build import MODEL, Builder
    from c2srt_cli.graph.build import build_graph as run
    from c2srt_cli.graph.options import BuildOptions

    options = BuildOptions(
        labels=labels,
        out=out,
        sources=tuple(dict.fromkeys(source.replace(" ", "").split("+"))),
        neighbours=neighbours,
        unseen=unseen,
        least_seen=least_seen,
        annotations=annotations,
        extend=extend,
        targets=targets,
        evidence=evidence,
        all_candidates=all_candidates,
        like=like,
        seed=seed,
        model=model,
        base_url=base_url,
        replay=replay,
        concurrency=concurrency,
        overwrite=overwrite,
    )

    if not dry_run:
        check_writable(out)

    def service() -> "Service":
        from c2srt_cli.graph.llm.api_key import read_key
        from c2srt_cli.graph.llm.service import Service

        return Service(
            model=model or MODEL,
            base_url=base_url,
            api_key=read_key(api_key_file, base_url),
            requests_per_minute=requests_per_minute,
            tokens_per_minute=tokens_per_minute,
            max_cost=max_cost,
        )

    with running("asking") as progress:

        def embed(labels: "LabelSet") -> "tuple[Tensor, str]":
            return _embed(labels, backbone, templates, progress)

        if dry_run:
            estimate = Builder(options, embed, progress).estimate()
        else:
            result = run(options, embed, progress, None if replay else service)
    if dry_run:
        _show(estimate)
        return
    graph = result.graph
    note(f"{out}: {counted(len(graph.labels), 'label')}, {counted(len(graph.edges), 'edge')}")
    if not graph.edges:
        note("no label is evidence for another one: this graph changes nothing", "yellow")
    failures = [f"no complete answer for {name}: {reason}" for name, reason in result.failed.items()]
    note_failures(failures, rest=f", in the provenance of {out}")
    if result.failed and not replay:
        note("run the same command again: it asks for these labels only")
    note(f"next: c2srt show-graph {out}")
    finish(len(result.failed), allowed=allow_failures)


def _embed(labels: "LabelSet", backbone: str | None, templates: str, progress: "Progress") -> "tuple[Tensor, str]":
    from c2srt_cli.backbone.registry import load_backbone, resolve
    from c2srt_cli.embeddings.known_words import note_hardly_known
    from c2srt_cli.embeddings.text import embed_labels
    from c2srt_cli.labels import read_templates

    spec, line = resolve(backbone or "auto")
    progress.note(line)
    loaded = load_backbone(spec)
    note_hardly_known(loaded, labels, progress)
    return embed_labels(loaded, labels, read_templates(templates), progress), spec


def _show(estimate: "Estimate") -> None:
    from c2srt_cli.graph.llm.prices import priced

    typer.echo(f"labels to ask about  {estimate.labels:,}")
    typer.echo(f"requests             {estimate.requests:,}")
    typer.echo(f"prompt tokens        {estimate.prompt_tokens:,}")
    typer.echo(f"reply tokens         {estimate.reply_tokens:,}")
    if estimate.cost is None or estimate.most is None:
        typer.echo(f"price                not known for {estimate.model}")
    else:
        typer.echo(
            f"price                ${estimate.cost:,.2f}, at most ${estimate.most:,.2f} "
            f"({estimate.model} by {priced()})"
        )
