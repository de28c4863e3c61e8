"""Tiny runs for the tests: images, annotations, tokens, a graph, and a training of a few steps."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from photos import write_photos
from tiny import write_tiny_model

from c2srt_cli.backbone.tower import ImageTower
from c2srt_cli.datasets.annotations import Annotations, Incidence, write_annotations
from c2srt_cli.embeddings.embed import EmbedOptions, embed, prepare_embedding
from c2srt_cli.embeddings.encoder import Machine
from c2srt_cli.embeddings.split import Split
from c2srt_cli.errors import Interrupted
from c2srt_cli.graph.category_graph import CategoryGraph, Edge, write_graph
from c2srt_cli.labels import Label, LabelSet
from c2srt_cli.methods.options import Options
from c2srt_cli.methods.registry import METHODS
from c2srt_cli.progress import Progress
from c2srt_cli.training.config import resolve
from c2srt_cli.training.prepare import TrainOptions, prepare_training
from c2srt_cli.training.run import Run
from c2srt_cli.training.train import train

PHOTOS, LABELS, SEEN = 24, 8, 5
#: Labels of the whole graph that no training knows; the first stands in front of all others.
HIDDEN = ("hidden 0", "hidden 1", "hidden 2")
BATCH = 4


def whole_graph() -> CategoryGraph:
    """Of all labels, hidden ones among them; the last hidden one has no edge."""
    names = [HIDDEN[0], *(f"thing {i}" for i in range(4)), HIDDEN[1], *(f"thing {i}" for i in range(4, LABELS))]
    relations = ("is_a", "co_occurrence", "part_whole")
    edges = [
        Edge(s, t, relations[(s + 2 * t) % 3], 0.1 + 0.08 * ((3 * s + t) % 11), "llm")
        for t in range(len(names))
        for s in range(len(names))
        if s != t and (s + t) % 3
    ]
    return CategoryGraph(LabelSet(tuple(Label(name) for name in (*names, HIDDEN[2]))), tuple(edges))


def write_inputs(folder: Path, *, precision: str = "float32") -> Path:
    """What `write_embedded` writes, and ``graph.json``."""
    write_embedded(folder, photos=PHOTOS, train=16, labels=LABELS, seen=SEEN, precision=precision)
    write_graph(folder / "graph.json", whole_graph())
    return folder


def write_embedded(
    folder: Path,
    *,
    photos: int,
    train: int,
    labels: int,
    seen: int,
    share: float = 0.4,
    precision: str = "float32",
    method: str = "label-propagation",
) -> Annotations:
    """Images in ``photos``, annotations ``a``, tokens ``e`` and the backbone in ``model``.

    Args:
        folder: Where.
        photos: How many images.
        train: How many of them, from the first on, to train on; the others are the test set.
        labels: How many labels.
        seen: How many of them, from the first on, are seen.
        share: Of the labels, in an image.
        precision: Of the tokens' forward pass.
        method: That the tokens are stored for.
    """
    write_photos(folder / "photos", photos)
    random = np.random.default_rng(0)
    content = Annotations(
        folder / "photos",
        LabelSet(tuple(Label(f"thing {i}") for i in range(labels))),
        np.arange(labels) < seen,
        tuple(f"p{i:04}.png" for i in range(photos)),
        np.where(np.arange(photos) < train, "train", "test"),
        Incidence.from_lists([np.flatnonzero(random.random(labels) < share).tolist() for _ in range(photos)]),
        Incidence.empty(photos),
        complete=True,
        dataset="table",
    )
    write_annotations(folder / "a", content, {})
    backbone = write_tiny_model(folder / "model")
    machine = Machine(precision=precision, batch=BATCH, workers=1)
    wanted = EmbedOptions(
        (), folder / "e", annotations=folder / "a", backbone=backbone, needed=split_for(method), machine=machine
    )
    embed(prepare_embedding(wanted, Progress()), Progress())
    return content


def write_with_graph(folder: Path, **content: Any) -> Path:
    """What `write_embedded` writes, and a dense ``graph.json`` over its labels."""
    write_dense_graph(folder / "graph.json", write_embedded(folder, **content).labels)
    return folder


def write_dense_graph(path: Path, labels: LabelSet) -> None:
    """A graph in which most labels aggregate from most others, with strengths of five kinds."""
    every = range(len(labels))
    edges = [
        Edge(s, t, "co_occurrence", 0.1 + 0.1 * (s % 5), "llm") for t in every for s in every if s != t and (s + t) % 3
    ]
    write_graph(path, CategoryGraph(labels, tuple(edges)))


def stops_before_the_end(go: Callable[[], object]) -> int:
    """How often ``go``, which each time goes on with a run, was stopped before it came to the end."""
    stops = 0
    while True:
        try:
            go()
        except Interrupted:
            stops += 1
        else:
            return stops


def needs_graph(options: Options) -> bool:
    """Whether a method of these options moves anything over a graph."""
    return METHODS[options.method].hops(options) > 0


def split_for(name: str) -> Callable[[ImageTower], Split]:
    """What a method's tokens are, as `EmbedOptions` takes it."""
    kind = METHODS[name]
    return lambda tower: Split(*kind.needs(kind.defaults(), tower))


def train_run(inputs: Path, out: Path, method: str = "label-propagation", **given: Any) -> Run:
    """A run that has moved far enough from its start for every part of it to matter."""
    own: dict[str, Any] = {
        "epochs": 2,
        "batch_size": 8,
        "validation": 0.0,
        "lr": 1e-3,
        "lr_new": 3e-2,
        "calibrate": False,
    }
    own |= {"neighbours": 3} if hasattr(METHODS[method].defaults(), "neighbours") else {}
    config = resolve(method, {**own, **given})
    graph = str(inputs / "graph.json") if needs_graph(config) else None
    wanted = TrainOptions(inputs / "e", inputs / "a", out, config, graph)
    train(prepare_training(wanted, Progress()), Progress())
    return Run.open(out)
