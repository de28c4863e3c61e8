"""MKT's second stage: on the image side of a finished run, the words around the label learn."""

import csv
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tiny_runs import LABELS, SEEN, split_for, stops_before_the_end, train_run, write_inputs

from c2srt_cli.backbone.registry import load_backbone
from c2srt_cli.datasets.annotations import Incidence, read_annotations, write_annotations
from c2srt_cli.embeddings.embed import EmbedOptions, embed, prepare_embedding
from c2srt_cli.embeddings.encoder import Machine
from c2srt_cli.embeddings.store import Store
from c2srt_cli.embeddings.text import embed_labels
from c2srt_cli.errors import InputError, UsageError
from c2srt_cli.evaluation.protocol import protocol
from c2srt_cli.evaluation.score import predictor, score_split
from c2srt_cli.labels import Label, LabelSet
from c2srt_cli.predict.attach import attach
from c2srt_cli.progress import Progress
from c2srt_cli.training import run as runs
from c2srt_cli.training.config import resolve
from c2srt_cli.training.prepare import TrainOptions, prepare_training
from c2srt_cli.training.run import Run
from c2srt_cli.training.train import train

MKT = "There is a {} in the scene"
PROMPT = "prompt.context"


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_inputs(tmp_path_factory.mktemp("inputs"))


@pytest.fixture(scope="module")
def first(inputs: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Stage 1."""
    return train_run(inputs, tmp_path_factory.mktemp("first") / "run", "mkt")


def learn(inputs: Path, init: Path | None, out: Path, progress: Progress | None = None, **given: Any) -> Run:
    """Stage 2."""
    changes = {name: given.pop(name) for name in ("annotations", "templates") if name in given}
    own = {"batch_size": 8, "validation": 0.25, "lr_new": 1e-2}
    config = resolve(given.pop("method", "mkt-prompt"), own | given)
    wanted = TrainOptions(inputs / "e", inputs / "a", out, config, init=init)
    train(prepare_training(replace(wanted, **changes), progress or Progress()), progress or Progress())
    return Run.open(out)


def scores_of(inputs: Path, run: Run, folder: Path) -> np.ndarray:
    """GZSL scores of the test images, ``(L, N)``."""
    known, store = read_annotations(inputs / "a"), Store.open(inputs / "e")
    one = predictor(str(run.folder), store, known, "default", Progress())
    files = score_split(one, store, known, protocol("table"), folder=folder, progress=Progress())
    return files["GZSL"].read(np.arange(LABELS))


@pytest.fixture(scope="module")
def second(inputs: Path, first: Run, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return learn(inputs, first.folder, tmp_path_factory.mktemp("second") / "run")


def test_the_context_moves_and_nothing_else(inputs: Path, first: Run, second: Run) -> None:
    before, after = (load_file(run.folder / runs.WEIGHTS) for run in (first, second))
    assert after.keys() == before.keys() | {PROMPT}
    assert any(name.startswith("visual.") for name in before)
    for name, value in before.items():
        assert torch.equal(after[name], value), name
    backbone = load_backbone(f"local-dir:{inputs / 'model'}")
    tokens = backbone.tokenizer.encode("There is a in the scene")
    start = backbone.text.text.token_embedding.weight[tokens].detach()
    assert ((after[PROMPT] - start).abs().amax(1) > 1e-3).all()


def test_the_loss_falls(second: Run) -> None:
    with (second.folder / runs.HISTORY).open() as file:
        losses = [float(row["rank_labels"]) for row in csv.DictReader(file)]
    assert len(losses) == 4
    assert losses[-1] < losses[0] - 1e-3


def test_step_0_is_the_first_stage_under_the_prompt(inputs: Path, first: Run, tmp_path: Path) -> None:
    """Step 0 of the second stage, evaluated as a user would; the first one's text replaced by hand."""
    start = learn(inputs, first.folder, tmp_path / "run", lr_new=1e-30, weight_decay=0.0, epochs=1)
    model = first.method()
    text = embed_labels(model.backbone, first.labels, (MKT,), Progress())
    wanted = []
    store, known = Store.open(inputs / "e"), read_annotations(inputs / "a")
    for number in known.rows("test"):
        ((_, tokens, _),) = store.batches(store.find([known.paths[number]]), 1)
        with torch.inference_mode():
            asked = first.vocabulary().of(np.arange(LABELS))._replace(text=text)
            image = model.embed(tokens.to("cpu", torch.float32), asked, 1, None)
            wanted.append(model.scores(image, asked).ranking[0].numpy())
    np.testing.assert_allclose(scores_of(inputs, start, tmp_path / "s"), np.stack(wanted, 1), rtol=0, atol=2e-6)
    assert np.abs(scores_of(inputs, first, tmp_path / "f") - np.stack(wanted, 1)).max() > 1e-3  # another template


def test_the_run_holds_what_was_learned(inputs: Path, first: Run, second: Run, tmp_path: Path) -> None:
    """Its label embeddings are those of a table with the learned rows; stage 1 may be gone."""
    model = second.method()
    backbone = load_backbone(f"local-dir:{inputs / 'model'}")
    with torch.no_grad():
        tokens = backbone.tokenizer.encode("There is a in the scene")
        backbone.text.text.token_embedding.weight[tokens] = load_file(second.folder / runs.WEIGHTS)[PROMPT]
    text = embed_labels(backbone, second.labels, (MKT,), Progress())
    torch.testing.assert_close(second.text, text, rtol=0, atol=1e-6)
    with torch.inference_mode():
        got = embed_labels(model, second.labels, second.manifest["options"]["templates"], Progress())
    assert torch.equal(got, second.text)
    moved = np.abs(scores_of(inputs, second, tmp_path / "s") - scores_of(inputs, first, tmp_path / "f"))
    assert moved.max() > 1e-3


def test_a_hidden_label_is_attached_with_what_was_learned(second: Run) -> None:
    """As if it had been among the run's labels, to the last bit; another new label is under the learned words too."""
    hidden = second.labels.labels[LABELS - 1]
    rest = LabelSet(second.labels.labels[:-1])
    without = replace(second, labels=rest, seen=second.seen[:-1], text=second.text[:-1])
    model = without.method()
    templates = without.manifest["options"]["templates"]
    attached = attach(
        without,
        LabelSet((rest.labels[2], hidden, Label("thing 99"))),
        lambda some: embed_labels(model, some, templates, Progress()),
    )
    assert attached.new == 2
    got = attached.vocabulary.of(attached.columns).text
    assert torch.equal(got[:2], second.text[[2, LABELS - 1]])
    plain = load_backbone(model.backbone.id)
    unlearned = embed_labels(plain, LabelSet((Label("thing 99"),)), templates, Progress())
    assert (got[2:] - unlearned).abs().max() > 1e-3


@pytest.mark.parametrize("given", [{}, {"ema": 0.9, "patience": 1}], ids=str)
def test_a_run_stopped_after_every_step_is_the_same(
    given: dict[str, Any], inputs: Path, first: Run, tmp_path: Path
) -> None:
    learn(inputs, first.folder, tmp_path / "whole", **given)
    stops = stops_before_the_end(
        lambda: learn(inputs, first.folder, tmp_path / "parts", Progress(stopped=lambda: True), **given)
    )
    assert stops >= 4
    for name in (runs.WEIGHTS, runs.HISTORY, runs.METRICS, runs.TEXT):
        assert (tmp_path / "parts" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name


def test_the_unseen_annotations_of_training_images_change_nothing(inputs: Path, tmp_path: Path) -> None:
    known = read_annotations(inputs / "a")
    seen = [[label for label in known.positive.row(i) if label < SEEN] for i in range(len(known.paths))]
    write_annotations(tmp_path / "a", replace(known, positive=Incidence.from_lists(seen)), {})
    kept = []
    for folder in (inputs / "a", tmp_path / "a"):
        config = resolve("mkt", {"epochs": 1, "batch_size": 8})
        out = tmp_path / folder.parent.name
        train(prepare_training(TrainOptions(inputs / "e", folder, out / "1", config), Progress()), Progress())
        learn(inputs, out / "1", out / "2", annotations=folder)
        kept.append([(out / "2" / name).read_bytes() for name in (runs.WEIGHTS, runs.TEXT, runs.HISTORY)])
    assert kept[0] == kept[1]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"init": None}, "name that run with --init"),
        ({"method": "mkt"}, "mkt starts from no run"),
        ({"templates": "clip"}, "the prompt that learns is the template"),
        ({"k": 18, "trained_stages": 1}, "trained_stages: 2 there, 1 here"),
    ],
)
def test_what_is_refused(given: dict[str, Any], said: str, inputs: Path, first: Run, tmp_path: Path) -> None:
    rest = {name: value for name, value in given.items() if name != "init"}
    with pytest.raises(UsageError) as caught:
        learn(inputs, given.get("init", first.folder), tmp_path / "run", **rest)
    assert said in f"{caught.value.what} {', '.join(caught.value.problems)} {caught.value.hint}"
    assert not (tmp_path / "run").exists()


def test_other_inputs_and_runs_are_refused(inputs: Path, first: Run, second: Run, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        learn(inputs, second.folder, tmp_path / "run")
    assert list(caught.value.problems) == ["method: mkt-prompt there, mkt-prompt goes on from mkt"]
    known = read_annotations(inputs / "a")
    write_annotations(tmp_path / "a", replace(known, seen=~known.seen), {})
    with pytest.raises(InputError, match="trained with other annotations"):
        learn(inputs, first.folder, tmp_path / "run", annotations=tmp_path / "a")
    model = f"local-dir:{inputs / 'model'}"
    machine = Machine(precision="float32", batch=4, workers=1)
    cropped = EmbedOptions(
        (),
        tmp_path / "e",
        annotations=inputs / "a",
        backbone=model,
        needed=split_for("mkt"),
        fit="pad",
        machine=machine,
    )
    embed(prepare_embedding(cropped, Progress()), Progress())
    config = resolve("mkt-prompt", {})
    wanted = TrainOptions(tmp_path / "e", inputs / "a", tmp_path / "run", config, init=first.folder)
    with pytest.raises(InputError, match="trained on other embeddings"):
        prepare_training(wanted, Progress())
