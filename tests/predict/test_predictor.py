"""One predictor: what ``evaluate`` measures is what ``tag`` gives, for every method, from tokens and from images."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from photos import write_photos
from PIL import Image
from tiny import write_tiny_model
from tiny_runs import LABELS, train_run, write_inputs

from c2srt_cli import Tagger
from c2srt_cli.api.labels import label_spec
from c2srt_cli.datasets.annotations import read_annotations
from c2srt_cli.embeddings.embed import EmbedOptions, embed, prepare_embedding
from c2srt_cli.embeddings.encoder import Machine
from c2srt_cli.embeddings.split import Split
from c2srt_cli.embeddings.store import Store
from c2srt_cli.errors import UsageError
from c2srt_cli.evaluation.protocol import protocol
from c2srt_cli.evaluation.score import predictor, score_split
from c2srt_cli.graph.category_graph import read_graph
from c2srt_cli.methods.registry import METHODS
from c2srt_cli.progress import Progress
from c2srt_cli.tagging.decision import Rule
from c2srt_cli.tagging.tag import TagOptions, prepare_tagging
from c2srt_cli.tagging.tagger import tag_images
from c2srt_cli.training.config import resolve
from c2srt_cli.training.prepare import TrainOptions, prepare_training
from c2srt_cli.training.train import train

MACHINE = Machine(device="cpu", precision="float32", batch=4, workers=1)


@pytest.fixture(autouse=True)
def _one_thread(tiny: str) -> None:
    """A model this small loses time on more."""


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With tokens that serve every method: both streams from the first stage on."""
    folder = write_inputs(tmp_path_factory.mktemp("inputs"))
    backbone = f"local-dir:{folder / 'model'}"
    wanted = EmbedOptions(
        (),
        folder / "all",
        annotations=folder / "a",
        backbone=backbone,
        needed=lambda _: Split(0, "value-all", "both"),
        machine=MACHINE,
    )
    embed(prepare_embedding(wanted, Progress()), Progress())
    return folder


@pytest.fixture(scope="module")
def runs(inputs: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """By method: the folder of a run, or its name where there is nothing to train."""
    folder = tmp_path_factory.mktemp("runs")
    return {method: run_of(method, inputs, folder / method) for method in METHODS}


def run_of(method: str, inputs: Path, out: Path) -> str:
    """The folder of a run of the method; its name where there is nothing to train."""
    if not METHODS[method].trainable:
        return method
    init = None
    if METHODS[method].needs_init:
        init = train_run(inputs, out / "init", "mkt").folder
    own = {"training.epochs": 1, "training.batch_size": 8, "training.validation": 0.0, "training.calibrate": False}
    options = resolve(method, {**own, "training.lr": 1e-3, "training.lr_new": 3e-2})
    graph = str(inputs / "graph.json") if METHODS[method].hops(options) else None
    folder = inputs / ("e" if init else "all")
    wanted = TrainOptions(folder, inputs / "a", out / "run", options, graph, init=init)
    train(prepare_training(wanted, Progress()), Progress())
    return str(out / "run")


def tagged(inputs: Path, source: Path, method: str, labels: Path, graph: str | None) -> dict[str, tuple[Any, Any]]:
    """What ``tag`` gives: tags and scores by path."""
    run = None if method in METHODS else Path(method)
    options = TagOptions(
        (str(source),),
        labels,
        run=run,
        graph=graph,
        rule=Rule(top_k=3),
        machine=MACHINE,
        all_scores=True,
        backbone=None if run or source.name != "photos" else f"local-dir:{inputs / 'model'}",
    )
    job = prepare_tagging(options, Progress())
    found: dict[str, Any] = {
        row.path: row for batch in tag_images(job, job.source.items, Progress()) for _, row in batch
    }
    return {path: (row.tags, np.array(row.scores)) for path, row in found.items()}


def cases() -> Iterator[tuple[str, bool]]:
    """Methods, and whether they have a graph beside the one that they were trained with."""
    for name, kind in METHODS.items():
        yield name, False
        if not kind.trainable or kind.hops(kind.defaults()):
            yield name, True


@pytest.mark.parametrize(("method", "with_graph"), [*cases()])
def test_tag_and_the_api_give_what_evaluate_ranks(
    method: str, with_graph: bool, inputs: Path, runs: dict[str, str], tmp_path: Path
) -> None:
    name, graph = runs[method], str(inputs / "graph.json") if with_graph else None
    tokens = inputs / ("e" if METHODS[method].needs_init else "all")
    known, store = read_annotations(inputs / "a"), Store.open(tokens)
    edges = read_graph(graph) if graph and name == method else None
    one = predictor(name, store, known, None, Progress(), graph=edges)
    files = score_split(one, store, known, protocol("table"), folder=tmp_path / "s", progress=Progress())
    file = files["GZSL"]
    wanted = file.read(np.arange(LABELS)).T  # (N, L)
    paths = [known.paths[number] for number in file.rows.tolist()]
    assert len(paths) == (known.split == "test").sum() > 0
    (tmp_path / "labels.txt").write_text("\n".join(known.labels.names))
    from_tokens = tagged(inputs, tokens, name, tmp_path / "labels.txt", graph)
    from_images = tagged(inputs, inputs / "photos", name, tmp_path / "labels.txt", graph)
    own: Any = {"backbone": f"local-dir:{inputs / 'model'}"} if name == method else {"run": name}
    tagger = Tagger(known.labels, graph=graph, device="cpu", precision="float32", batch_size=4, workers=1, **own)
    from_memory = tagger.scores([inputs / "photos" / path for path in paths])
    if not METHODS[method].can_calibrate:
        with pytest.raises(UsageError, match="give --top-k"):
            tagger.tag([])
    assert np.ptp(wanted, 0).min() > 1e-4  # there is something to tell apart
    for path, row, mine in zip(paths, wanted, from_memory, strict=True):
        tags, scores = from_tokens[path]
        np.testing.assert_allclose(scores, row, atol=1e-5)
        best = np.argsort(-row, kind="stable")[:3]
        assert {tag.label for tag in tags} == {known.labels.names[i] for i in best}
        np.testing.assert_allclose(from_images[path][1], scores, atol=1e-2)  # stored in bfloat16
        np.testing.assert_array_equal(mine, from_images[path][1].astype(np.float32))


def test_a_graph_changes_what_nobody_trained(inputs: Path, tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("\n".join(f"thing {i}" for i in range(LABELS)))
    plain, raised = (
        tagged(inputs, inputs / "all", "zero-shot", tmp_path / "labels.txt", graph)
        for graph in (None, str(inputs / "graph.json"))
    )
    assert max(np.abs(plain[path][1] - raised[path][1]).max() for path in plain) > 1e-3


@pytest.mark.parametrize("bias", [None, -3.0])
def test_a_sigmoid_that_a_backbone_was_trained_with_gives_its_probabilities(bias: float | None, tmp_path: Path) -> None:
    spec = write_tiny_model(tmp_path / "m", custom_text=True, init_logit_bias=bias)
    (tmp_path / "templates").write_text("a {}\n")
    paths = write_photos(tmp_path / "photos", 3)
    options = TagOptions(
        (str(tmp_path / "photos"),),
        label_spec(["cat", "dog", "tree"]),
        backbone=spec,
        templates=str(tmp_path / "templates"),
        method=resolve("zero-shot", {"patches": "none"}),
        fit="squash",
        rule=Rule(top_k=3),
        machine=MACHINE,
    )
    job = prepare_tagging(options, Progress())
    rows: dict[str, Any] = {
        row.path: row for batch in tag_images(job, job.source.items, Progress()) for _, row in batch
    }
    model, _, transform = open_clip.create_model_and_transforms(spec)
    pixels = torch.stack([transform(Image.open(path)) for path in paths])
    text = open_clip.get_tokenizer(spec)(["a cat", "a dog", "a tree"])
    with torch.no_grad():
        logits = model.eval().get_logits(pixels, text)[0]
    for path, wanted in zip(paths, logits.sigmoid().numpy(), strict=True):
        found = {tag.label: tag.probability for tag in rows[path.name].tags}
        if bias is None:
            assert set(found.values()) == {None}
        else:
            assert [found[label] for label in ("cat", "dog", "tree")] == pytest.approx(wanted.tolist(), rel=1e-3)
