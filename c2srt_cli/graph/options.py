"""What a graph is to be built from: the options, what cannot be among them, and the files they name."""

import difflib
from dataclasses import dataclass
from pathlib import Path

from c2srt_cli.artifacts import read_json
from c2srt_cli.datasets.unseen import unseen_from_file
from c2srt_cli.errors import InputError, UsageError
from c2srt_cli.graph.category_graph import KIND
from c2srt_cli.labels import LabelSet

SOURCES = ("llm", "embedding", "cooccurrence", "random")


@dataclass(frozen=True)
class BuildOptions:
    """What the user asks for.

    Attributes:
        labels: The file of labels, or the words with commas between them.
        out: The graph to write.
        sources: Some of `SOURCES`.
        neighbours: Sources that a target keeps, except where `random` alone takes another graph's shape.
        unseen: The labels without training annotations, a file or words, or None.
        least_seen: Seen sources that an unseen label keeps, where it has so many.
        annotations: A CSV of annotated images, a folder that `prepare` wrote, or None.
        extend: A graph to attach the labels to that it does not have, or None.
        targets: The labels to find sources for, a file or words; None for all of them, or those that `extend` has not.
        evidence: Labels that are sources only: a file, words, or the name of a shipped graph; or None.
        all_candidates: Offer a language model every label as a source, however many there are.
        like: The graph whose shape `random` takes, or None.
        seed: Of `random`.
        model: Of the language model, or None for the default; with `replay` the one that answered last.
        base_url: Of the language model's server, or None.
        replay: Recorded replies to read, and none other; or None.
        concurrency: Requests at a time.
        overwrite: Ask again what is recorded beside ``out``.
    """

    labels: Path | str
    out: Path
    sources: tuple[str, ...] = ("llm",)
    neighbours: int = 10
    unseen: Path | str | None = None
    least_seen: int = 3
    annotations: Path | None = None
    extend: str | None = None
    targets: Path | str | None = None
    evidence: Path | str | None = None
    all_candidates: bool = False
    like: str | None = None
    seed: int = 0
    model: str | None = None
    base_url: str | None = None
    replay: Path | None = None
    concurrency: int = 4
    overwrite: bool = False


def check(options: BuildOptions) -> None:
    """Refuse what cannot be, before anything slow.

    Raises:
        UsageError: saying what cannot be.
    """
    for name in options.sources:
        if name not in SOURCES:
            close = difflib.get_close_matches(name, SOURCES, 1)
            raise UsageError(
                f"{name!r} is no source",
                where="--source",
                hint=(f"did you mean {close[0]}? " if close else "") + f"There are {', '.join(SOURCES)}; + joins them",
            )
    if "cooccurrence" in options.sources and options.annotations is None:
        raise UsageError(
            "cooccurrence counts annotated images",
            where="--source",
            hint="name them: --annotations FILE, a CSV with the columns path,labels, or a folder of c2srt prepare",
        )
    if "random" in options.sources and options.like is None:
        raise UsageError("random takes the shape of another graph", where="--source", hint="name it: --like GRAPH")
    if options.replay is not None and "llm" not in options.sources:
        raise UsageError("only the source llm has replies", where="--replay", hint="leave it out")
    if options.out.is_dir():
        raise UsageError("is a folder", where=str(options.out), hint="name a file: --out graph.json")
    for path in (options.out, replies_path(options.out)):
        if path.exists() and not path.is_file():
            raise UsageError("is a device, a pipe or a socket, no file", where=str(path), hint="name another --out")
    if options.out.exists():
        try:
            there = read_json(options.out)
        except InputError:
            there = None
        if not isinstance(there, dict) or there.get("kind") != KIND:
            raise UsageError("is there and is no graph", where=str(options.out), hint="name another --out")


def replies_path(out: Path) -> Path:
    """Where the replies of a graph are recorded."""
    return out.with_name(f"{out.name}.replies.jsonl")


def seen_labels(unseen: Path | str | None, labels: LabelSet) -> frozenset[int] | None:
    """Indices of the labels with annotations; None where all have them.

    Raises:
        InputError: the file names what is no label, or what several are called, or all labels.
    """
    if unseen is None:
        return None
    return frozenset(unseen_from_file(labels, unseen).nonzero()[0].tolist())
