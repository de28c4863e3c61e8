"""One predictor: what ``evaluate`` measures is what ``tag`` gives, for every method, from tokens and from images."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_runs import LABELS, train_run, write_inputs

from c2srt_cli.datasets.annotations import read_annotations
from c2srt_cli.embeddings.embed import EmbedOptions, embed, prepare_embedding
from c2srt_cli.embeddings.encoder import Machine
from c2srt_cli.embeddings.split import Split
from c2srt_cli.embeddings.store import Store
from c2srt_cli.evaluation.protocol import protocol
from c2srt_cli.evaluation.score import predictor, score_split
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


def tagged(inputs: Path, source: Path, method: str, labels: Path) -> dict[str, tuple[Any, np.ndarray]]:
    """Tags and scores by path."""
    run = None if method in METHODS else Path(method)
    options = TagOptions(
        (str(source),),
        labels,
        run=run,
        rule=Rule(top_k=3),
        machine=MACHINE,
        all_scores=True,
        backbone=None if run or source.name != "photos" else f"local-dir:{inputs / 'model'}",
        patch_attention="value-all" if run is None and source.name == "photos" else None,
    )
    job = prepare_tagging(options, Progress())
    found: dict[str, Any] = {
        row.path: row for batch in tag_images(job, job.source.items, Progress()) for _, row in batch
    }
    return {path: (row.tags, np.array(row.scores)) for path, row in found.items()}


@pytest.mark.parametrize("method", METHODS)
def test_tag_gives_what_evaluate_ranks(method: str, inputs: Path, tmp_path: Path) -> None:
    name = run_of(method, inputs, tmp_path)
    tokens = inputs / ("e" if METHODS[method].needs_init else "all")
    known, store = read_annotations(inputs / "a"), Store.open(tokens)
    one = predictor(name, store, known, None, Progress())
    files = score_split(one, store, known, protocol("table"), folder=tmp_path / "s", progress=Progress())
    file = files["GZSL"]
    wanted = file.read(np.arange(LABELS)).T  # (N, L)
    (tmp_path / "labels.txt").write_text("\n".join(f"thing {i}" for i in range(LABELS)))
    from_tokens = tagged(inputs, tokens, name, tmp_path / "labels.txt")
    from_images = tagged(inputs, inputs / "photos", name, tmp_path / "labels.txt")
    assert len(wanted)
    for number, row in zip(file.rows.tolist(), wanted, strict=True):
        tags, scores = from_tokens[known.paths[number]]
        np.testing.assert_allclose(scores, row, atol=1e-5)
        best = np.argsort(-row, kind="stable")[:3]
        assert {tag.label for tag in tags} == {f"thing {i}" for i in best} or np.diff(np.sort(row)[-4:]).min() < 1e-5
        np.testing.assert_allclose(from_images[known.paths[number]][1], scores, atol=5e-3)  # stored in bfloat16
