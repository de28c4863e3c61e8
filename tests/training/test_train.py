import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from photos import write_photos
from safetensors.torch import load_file
from tiny import write_tiny_model

from c2srt_cli.artifacts import read_json, read_manifest
from c2srt_cli.datasets.annotations import Annotations, Incidence, read_annotations, write_annotations
from c2srt_cli.embeddings.embed import EmbedOptions, embed, prepare_embedding
from c2srt_cli.embeddings.encoder import Machine
from c2srt_cli.embeddings.store import Store
from c2srt_cli.errors import InputError, Interrupted, UsageError
from c2srt_cli.evaluation.protocol import protocol
from c2srt_cli.evaluation.score import score_split, scorer
from c2srt_cli.graph.category_graph import CategoryGraph, Edge, write_graph
from c2srt_cli.labels import Label, LabelSet
from c2srt_cli.progress import Progress
from c2srt_cli.training import calibrate
from c2srt_cli.training import run as runs
from c2srt_cli.training.config import resolve
from c2srt_cli.training.learner import State, sample
from c2srt_cli.training.run import Run
from c2srt_cli.training.train import TrainOptions, TrainResult, lesson_of, prepare_training, train

PHOTOS, LABELS, SEEN = 30, 8, 5


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photographs, annotations ``a``, embeddings ``e`` and a graph over their labels."""
    folder = tmp_path_factory.mktemp("inputs")
    write_photos(folder / "photos", PHOTOS)
    random = np.random.default_rng(0)
    content = Annotations(
        folder / "photos",
        LabelSet(tuple(Label(f"thing {i}") for i in range(LABELS))),
        np.arange(LABELS) < SEEN,
        tuple(f"p{i:04}.png" for i in range(PHOTOS)),
        np.array(["train"] * 22 + ["test"] * 8),
        Incidence.from_lists([np.flatnonzero(random.random(LABELS) < 0.4).tolist() for _ in range(PHOTOS)]),
        Incidence.empty(PHOTOS),
        complete=True,
        dataset="table",
    )
    write_annotations(folder / "a", content, {})
    backbone = write_tiny_model(folder / "model")
    machine = Machine(precision="float32", batch=4, workers=1)
    wanted = EmbedOptions(
        (), folder / "e", annotations=folder / "a", backbone=backbone, method="c2srt", machine=machine
    )
    embed(prepare_embedding(wanted, Progress()), Progress())
    pairs = [(s, t) for t in range(LABELS) for s in range(LABELS) if s != t and (s + t) % 3]
    edges = tuple(Edge(s, t, "co_occurrence", 0.1 + 0.1 * (s % 5), "llm") for s, t in pairs)
    write_graph(folder / "graph.json", CategoryGraph(content.labels, edges))
    return folder


def run(inputs: Path, out: Path, method: str = "c2srt", progress: Progress | None = None, **given: Any) -> TrainResult:
    config = resolve(method, {"epochs": 2, "batch": 8, "validation": 0.2, "lr": 1e-3, **given})
    wanted = TrainOptions(inputs / "e", given.pop("annotations", inputs / "a"), out, config, str(inputs / "graph.json"))
    return train(prepare_training(wanted, progress or Progress()), progress or Progress())


def scores_of(inputs: Path, method: str, folder: Path) -> np.ndarray:
    """GZSL scores of the test photographs, ``(L, N)``."""
    known, store = read_annotations(inputs / "a"), Store.open(inputs / "e")
    one = scorer(method, store, known, "default", Progress())
    files = score_split(one, store, known, protocol("table"), folder=folder, progress=Progress())
    return files["GZSL"].read(np.arange(LABELS))


@pytest.mark.parametrize(
    ("method", "given"),
    [("c2srt", {}), ("c2srt", {"transfer": "ist", "over": "labels"}), ("clip-ft", {}), ("mkt", {})],
    ids=str,
)
def test_a_run_learns_and_scores(method: str, given: dict[str, Any], inputs: Path, tmp_path: Path) -> None:
    result = run(inputs, tmp_path / "run", method, **given)
    assert result.epochs == 2
    assert not result.diverged
    opened = Run.open(tmp_path / "run")
    assert (opened.config.method, opened.labels.names[0], int(opened.seen.sum())) == (method, "thing 0", SEEN)
    before = {f"tail.{n}": p for n, p in opened.learner().backbone.model.visual.named_parameters()}
    after = load_file(tmp_path / "run" / runs.WEIGHTS)
    untouched = load_file(inputs / "model/open_clip_model.safetensors")
    moved = [n for n in after if n.startswith("tail.") and not n.endswith("bias")]
    assert moved
    for name in moved:
        assert not torch.equal(after[name], untouched["visual." + name.removeprefix("tail.")]), name
        torch.testing.assert_close(before[name].detach(), after[name])
    assert not any("resblocks.0." in name for name in after)  # the first of three blocks is the trunk
    scores = scores_of(inputs, str(tmp_path / "run"), tmp_path / "s")
    assert scores.shape == (LABELS, 8)
    assert np.isfinite(scores).all()


@pytest.mark.parametrize("given", [{"transfer": "ist"}, {"gain": 0.0}, {"transfer": "none"}], ids=str)
def test_step_0_is_zero_shot(given: dict[str, Any], inputs: Path, tmp_path: Path) -> None:
    run(inputs, tmp_path / "run", lr=1e-30, lr_new=1e-30, weight_decay=0.0, epochs=1, **given)
    got = scores_of(inputs, str(tmp_path / "run"), tmp_path / "s")
    np.testing.assert_allclose(got, scores_of(inputs, "zero-shot", tmp_path / "z"), atol=2e-6)


def test_plain_start_is_not_zero_shot(inputs: Path, tmp_path: Path) -> None:
    run(inputs, tmp_path / "run", lr=1e-30, lr_new=1e-30, weight_decay=0.0, epochs=1, transfer="ist", plain_start=True)
    got = scores_of(inputs, str(tmp_path / "run"), tmp_path / "s")
    assert np.abs(got - scores_of(inputs, "zero-shot", tmp_path / "z")).max() > 1e-3


@pytest.mark.parametrize("given", [{}, {"ema": 0.9}, {"transfer": "ist"}], ids=str)
def test_a_stopped_run_ends_with_the_weights_of_one_that_was_not(
    given: dict[str, Any], inputs: Path, tmp_path: Path
) -> None:
    run(inputs, tmp_path / "whole", **given)
    steps = 0

    def stopped() -> bool:
        nonlocal steps
        steps += 1
        return steps % 2 == 0

    for _ in range(10):
        try:
            run(inputs, tmp_path / "parts", **given, progress=Progress(stopped=stopped))
        except Interrupted:
            continue
        break
    assert steps >= 6  # it was stopped in the middle of epochs
    for name in (runs.WEIGHTS, runs.HISTORY, runs.METRICS):
        assert (tmp_path / "parts" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name


def test_a_run_stopped_after_every_step_is_the_same(inputs: Path, tmp_path: Path) -> None:
    """Also after the last step of an epoch: its row, its mean AP and the count of patience are kept."""
    run(inputs, tmp_path / "whole", patience=1)
    stops = 0
    while True:
        try:
            run(inputs, tmp_path / "parts", patience=1, progress=Progress(stopped=lambda: True))
            break
        except Interrupted:
            stops += 1
    assert stops >= 4
    for name in (runs.WEIGHTS, runs.HISTORY, runs.METRICS):
        assert (tmp_path / "parts" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name


def test_a_killed_run_ends_with_the_weights_of_one_that_was_not(inputs: Path, tmp_path: Path) -> None:
    run(inputs, tmp_path / "whole", epochs=20)
    options = [*("-e", inputs / "e", "-a", inputs / "a", "-g", inputs / "graph.json", "-o", tmp_path / "parts")]
    options += ["--epochs", 20, "--batch", 8, "--validation", 0.2, "--lr", 1e-3]
    command = [sys.executable, "-m", "c2srt_cli", "train", *map(str, options)]
    environment = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as one:
        assert one.stderr is not None
        assert any("epoch 2" in line for line in one.stderr)
        one.kill()
    assert not (tmp_path / "parts" / "manifest.json").exists()
    notes = list[str]()
    run(inputs, tmp_path / "parts", epochs=20, progress=Progress(note=notes.append))
    assert any("going on after" in note for note in notes)
    for name in (runs.WEIGHTS, runs.HISTORY, runs.METRICS):
        assert (tmp_path / "parts" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name


def test_stopping_early_keeps_the_best_weights(inputs: Path, tmp_path: Path) -> None:
    result = run(inputs, tmp_path / "run", patience=2, epochs=30, lr=0.02)
    metrics = read_json(tmp_path / "run" / runs.METRICS)
    assert result.epochs == metrics["best"]["epoch"] + 2 < 30
    run(inputs, tmp_path / "on", epochs=30, lr=0.02)
    kept = load_file(tmp_path / "run" / runs.WEIGHTS)
    best = load_file(tmp_path / "run/checkpoint/best.safetensors")
    last = load_file(tmp_path / "run/checkpoint/state.safetensors")
    assert all(torch.equal(kept[name], best[name]) for name in kept)
    assert not all(torch.equal(kept[name], last[f"model.{name}"]) for name in kept)


def test_the_unseen_annotations_of_training_photographs_change_nothing(inputs: Path, tmp_path: Path) -> None:
    run(inputs, tmp_path / "one")
    known = read_annotations(inputs / "a")
    random = np.random.default_rng(1)
    lists = [
        [*(label for label in known.positive.row(i) if label < SEEN), *(SEEN + np.flatnonzero(random.random(3) < 0.5))]
        for i in range(PHOTOS)
    ]
    write_annotations(tmp_path / "a", replace(known, positive=Incidence.from_lists(lists)), {})
    assert read_annotations(tmp_path / "a").fingerprint != known.fingerprint
    config = resolve("c2srt", {"epochs": 2, "batch": 8, "validation": 0.2, "lr": 1e-3})
    wanted = TrainOptions(inputs / "e", tmp_path / "a", tmp_path / "two", config, str(inputs / "graph.json"))
    train(prepare_training(wanted, Progress()), Progress())
    for name in (runs.WEIGHTS, runs.HISTORY, runs.GRAPH, runs.METRICS):
        assert (tmp_path / "two" / name).read_bytes() == (tmp_path / "one" / name).read_bytes()


def test_knowledge_comes_from_seen_labels_only(inputs: Path, tmp_path: Path) -> None:
    run(inputs, tmp_path / "run", epochs=1)
    graph = Run.open(tmp_path / "run").graph
    assert graph is not None
    assert {edge.source for edge in graph.edges} == set(range(SEEN))
    assert {edge.target for edge in graph.edges} == set(range(LABELS))


def test_images_give_what_is_stored_as_tokens(inputs: Path, tmp_path: Path) -> None:
    model = f"local-dir:{inputs / 'model'}"
    same = EmbedOptions((), tmp_path / "e", annotations=inputs / "a", backbone=model, method="c2srt", cut=1)
    embed(prepare_embedding(same, Progress()), Progress())
    config, graph = resolve("c2srt", {"epochs": 1, "batch": 8}), str(inputs / "graph.json")
    from_tokens, from_images = (
        prepare_training(options, Progress()).train
        for options in (
            TrainOptions(tmp_path / "e", inputs / "a", tmp_path / "t", config, graph),
            TrainOptions(None, inputs / "a", tmp_path / "i", config, graph, images=True, backbone=model),
        )
    )
    places = from_images.shuffled(np.random.default_rng(0))
    assert sorted(places) == list(range(len(from_tokens)))
    found: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}
    for rows, tokens, whole in from_images.batches(places, 8):
        assert tokens.x is not None
        found |= {int(row): (tokens.x[i], whole[i]) for i, row in enumerate(rows)}
    for rows, tokens, whole in from_tokens.batches(places, 8):
        assert tokens.x is not None
        for i, row in enumerate(rows):
            assert torch.equal(found[int(row)][0], tokens.x[i])
            assert torch.equal(found[int(row)][1], whole[i])


def test_images_that_cannot_be_read_are_left_out(inputs: Path, tmp_path: Path) -> None:
    known = read_annotations(inputs / "a")
    shutil.copytree(inputs / "photos", tmp_path / "photos")
    for number in (0, 1, 2, 3, 4):
        (tmp_path / f"photos/p{number:04}.png").write_bytes(b"no picture")
    write_annotations(tmp_path / "a", replace(known, root=tmp_path / "photos"), {})
    config = resolve("c2srt", {"epochs": 2, "batch": 2, "validation": 0.0})
    model = f"local-dir:{inputs / 'model'}"
    graph = str(inputs / "graph.json")
    wanted = TrainOptions(None, tmp_path / "a", tmp_path / "run", config, graph, images=True, backbone=model)
    assert train(prepare_training(wanted, Progress()), Progress()).epochs == 2


def test_two_processes_train_together(inputs: Path, tmp_path: Path) -> None:
    """All their weights agree, and the run is one that one process can open and score."""
    command = ["train", "-e", inputs / "e", "-a", inputs / "a", "-g", inputs / "graph.json", "--epochs", "1"]
    subprocess.run(
        [
            *(sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone"),
            *("-m", "c2srt_cli", *map(str, command), "--batch", "8", "--out", str(tmp_path / "run")),
        ],
        check=True,
        capture_output=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert read_manifest(tmp_path / "run", runs.KIND, runs.SCHEMA)
    assert np.isfinite(scores_of(inputs, str(tmp_path / "run"), tmp_path / "s")).all()


def test_divergence_in_the_last_step_keeps_the_epoch_before(
    inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(inputs, tmp_path / "whole", epochs=3)
    update = State.update

    def overflows(self: State, loss: torch.Tensor) -> float:
        norm = update(self, loss)
        if self.done == self.steps:
            with torch.no_grad():
                self.learner.log_tau.fill_(torch.inf)
        return norm

    monkeypatch.setattr(State, "update", overflows)
    result = run(inputs, tmp_path / "run", epochs=3)
    assert (result.diverged, result.epochs) == (True, 2)
    assert all(bool(value.isfinite().all()) for value in load_file(tmp_path / "run" / runs.WEIGHTS).values())
    history = (tmp_path / "whole" / runs.HISTORY).read_text().splitlines()
    assert (tmp_path / "run" / runs.HISTORY).read_text().splitlines() == history[:3]


def test_divergence_keeps_the_last_good_state(inputs: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no number from the first epoch on"):
        run(inputs, tmp_path / "run", lr=1e30, lr_new=1e30, clip=1e30, warmup=0.0)


def test_an_error_of_the_first_process_ends_both(inputs: Path, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run/notes.txt").write_text("mine")
    ended = subprocess.run(
        [
            *(sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone"),
            *("-m", "c2srt_cli", "train", "-e", str(inputs / "e"), "-a", str(inputs / "a")),
            *("-g", str(inputs / "graph.json"), "--batch", "8", "--out", str(tmp_path / "run")),
        ],
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert ended.returncode != 0
    assert ended.stderr.count("holds no run") == 1


def test_a_damaged_checkpoint_is_an_error_for_people(inputs: Path, tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        run(inputs, tmp_path / "run", progress=Progress(stopped=lambda: True))
    checkpoint = tmp_path / "run/checkpoint/state.safetensors"
    checkpoint.write_bytes(checkpoint.read_bytes()[:-9])
    with pytest.raises(InputError, match="the checkpoint cannot be read"):
        run(inputs, tmp_path / "run")


@pytest.mark.parametrize(
    ("given", "match"),
    [
        ({"transfer": "ist", "heads": 3}, "divided by 3 heads"),
        ({"trained": 0, "transfer": "none"}, "nothing would learn"),
        ({"validation": 0.9, "epochs": 1}, None),
    ],
)
def test_what_cannot_be_trained(given: dict[str, Any], match: str | None, inputs: Path, tmp_path: Path) -> None:
    if match is None:
        assert run(inputs, tmp_path / "run", **given).epochs == 1
        return
    with pytest.raises(UsageError, match=match):
        run(inputs, tmp_path / "run", **given)
    assert not (tmp_path / "run").exists()


def test_tokens_behind_the_trained_stages_are_refused(inputs: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="the tokens enter 1"):
        run(inputs, tmp_path / "run", trained=3)


def test_other_options_are_refused(inputs: Path, tmp_path: Path) -> None:
    run(inputs, tmp_path / "run", epochs=1)
    with pytest.raises(InputError, match="made with other options"):
        run(inputs, tmp_path / "run", epochs=1, alpha=0.9)


def test_all_present_labels_and_some_others_are_drawn() -> None:
    truth = np.array([[1, -1, -1, 0, -1, -1], [-1, -1, 1, -1, -1, -1]], dtype=np.int8)
    unknown = np.where(truth == -1, 0, truth)
    unknown[0, 5] = -1
    assert sample(unknown, 99, np.random.default_rng(0)).tolist() == [0, 2, 5]
    drawn = sample(truth, 2, np.random.default_rng(0))
    assert {0, 2} < set(drawn.tolist())
    assert (len(drawn), sorted(drawn)) == (4, drawn.tolist())
    assert sample(truth, 0, np.random.default_rng(0)).tolist() == list(range(6))
    assert sample(truth, 99, np.random.default_rng(0)).tolist() == list(range(6))


class TestCalibration:
    @pytest.fixture(autouse=True)
    def _most_labels_are_hidden(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(calibrate, "PSEUDO_UNSEEN", 0.6)  # three of five

    def test_it_leaves_the_weights_alone(self, inputs: Path, tmp_path: Path) -> None:
        run(inputs, tmp_path / "with")
        run(inputs, tmp_path / "without", calibrate=False)
        assert Run.open(tmp_path / "without").calibration is None
        found = Run.open(tmp_path / "with").calibration
        assert found is not None
        assert set(found.thresholds) <= {f"thing {i}" for i in range(SEEN)}
        assert (tmp_path / "with" / runs.WEIGHTS).read_bytes() == (tmp_path / "without" / runs.WEIGHTS).read_bytes()

    def test_the_second_training_never_sees_the_hidden_labels(self, inputs: Path, tmp_path: Path) -> None:
        run(inputs, tmp_path / "one")
        known = read_annotations(inputs / "a")
        job = prepare_training(
            TrainOptions(
                inputs / "e",
                inputs / "a",
                tmp_path / "two",
                resolve("c2srt", {"validation": 0.2}),
                str(inputs / "graph.json"),
            ),
            Progress(),
        )
        watched = set(job.watched.rows.tolist())
        hidden = set(calibrate.pseudo_unseen(lesson_of(job), 0).tolist())
        assert len(hidden) == 3
        lists = [
            known.positive.row(i).tolist() if i in watched else [n for n in known.positive.row(i) if n not in hidden]
            for i in range(PHOTOS)
        ]
        write_annotations(tmp_path / "a", replace(known, positive=Incidence.from_lists(lists)), {})
        config = resolve("c2srt", {"epochs": 2, "batch": 8, "validation": 0.2, "lr": 1e-3})
        wanted = TrainOptions(inputs / "e", tmp_path / "a", tmp_path / "two", config, str(inputs / "graph.json"))
        train(prepare_training(wanted, Progress()), Progress())
        state = "checkpoint/calibration/state.safetensors"
        assert (tmp_path / "two" / state).read_bytes() == (tmp_path / "one" / state).read_bytes()
        assert (tmp_path / "two" / runs.WEIGHTS).read_bytes() != (tmp_path / "one" / runs.WEIGHTS).read_bytes()

    def test_it_goes_on_where_it_was_stopped(self, inputs: Path, tmp_path: Path) -> None:
        run(inputs, tmp_path / "whole")
        while True:
            try:
                run(inputs, tmp_path / "parts", progress=Progress(stopped=lambda: True))
                break
            except Interrupted:
                pass
        assert (tmp_path / "parts" / runs.CALIBRATION).read_bytes() == (
            tmp_path / "whole" / runs.CALIBRATION
        ).read_bytes()
