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
from photos import fingerprints
from safetensors.torch import load_file
from tiny_runs import needs_graph, stops_before_the_end, write_with_graph

from c2srt_cli.artifacts import read_json
from c2srt_cli.datasets.annotations import Incidence, read_annotations, write_annotations
from c2srt_cli.embeddings.embed import EmbedOptions, embed, prepare_embedding
from c2srt_cli.embeddings.store import Store
from c2srt_cli.errors import InputError, Interrupted, UsageError
from c2srt_cli.evaluation.protocol import protocol
from c2srt_cli.evaluation.score import predictor, score_split
from c2srt_cli.methods.method import Method
from c2srt_cli.progress import Progress
from c2srt_cli.training import calibrate
from c2srt_cli.training import run as runs
from c2srt_cli.training.config import resolve
from c2srt_cli.training.data import TrainingData, sample
from c2srt_cli.training.fit import Diverged, fit
from c2srt_cli.training.job import TrainJob
from c2srt_cli.training.prepare import TrainOptions, prepare_training
from c2srt_cli.training.run import Run
from c2srt_cli.training.rundir import check_out
from c2srt_cli.training.state import TrainState
from c2srt_cli.training.tokens import TokenSet
from c2srt_cli.training.train import TrainResult, train
from c2srt_cli.training.validation import val_map

PHOTOS, LABELS, SEEN = 30, 8, 5


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images, annotations ``a``, embeddings ``e`` and a graph over their labels."""
    return write_with_graph(tmp_path_factory.mktemp("inputs"), photos=PHOTOS, train=22, labels=LABELS, seen=SEEN)


def run(
    inputs: Path, out: Path, method: str = "label-propagation", progress: Progress | None = None, **given: Any
) -> TrainResult:
    config = resolve(method, {"epochs": 2, "batch_size": 8, "validation": 0.2, "lr": 1e-3, **given})
    graph = str(inputs / "graph.json") if needs_graph(config) else None
    wanted = TrainOptions(inputs / "e", given.pop("annotations", inputs / "a"), out, config, graph)
    return train(prepare_training(wanted, progress or Progress()), progress or Progress())


def scores_of(inputs: Path, method: str, folder: Path) -> np.ndarray:
    """GZSL scores of the test images, ``(L, N)``."""
    known, store = read_annotations(inputs / "a"), Store.open(inputs / "e")
    one = predictor(method, store, known, "default", Progress())
    files = score_split(one, store, known, protocol("table"), folder=folder, progress=Progress())
    return files["GZSL"].read(np.arange(LABELS))


@pytest.mark.parametrize(
    ("method", "given"),
    [
        ("label-propagation", {}),
        ("c2srt", {}),
        ("c2srt", {"ist": "values", "share": 0.0}),
        ("clip-ft", {}),
        ("mkt", {}),
    ],
    ids=str,
)
def test_a_run_learns_and_scores(method: str, given: dict[str, Any], inputs: Path, tmp_path: Path) -> None:
    result = run(inputs, tmp_path / "run", method, **given)
    assert result.epochs == 2
    assert not result.diverged
    opened = Run.open(tmp_path / "run")
    assert (opened.options.method, opened.labels.names[0], int(opened.seen.sum())) == (method, "thing 0", SEEN)
    before = opened.method().learned()
    after = load_file(tmp_path / "run" / runs.WEIGHTS)
    untouched = load_file(inputs / "model/open_clip_model.safetensors")
    moved = [n for n in after if n.startswith("visual.") and not n.endswith("bias")]
    assert moved
    for name in moved:
        assert not torch.equal(after[name], untouched[name]), name
        torch.testing.assert_close(before[name].detach(), after[name])
    assert not any("resblocks.0." in name for name in after)  # the first of three blocks is frozen
    scores = scores_of(inputs, str(tmp_path / "run"), tmp_path / "s")
    assert scores.shape == (LABELS, 8)
    assert np.isfinite(scores).all()


@pytest.mark.parametrize(
    ("method", "given"),
    [("c2srt", {"gain": 0.0, "seen_gain": 0.0}), ("c2srt", {"ist": "values"}), ("label-propagation", {"gain": 0.0})],
    ids=str,
)
def test_step_0_is_zero_shot(method: str, given: dict[str, Any], inputs: Path, tmp_path: Path) -> None:
    run(inputs, tmp_path / "run", method, lr=1e-30, lr_new=1e-30, weight_decay=0.0, epochs=1, **given)
    got = scores_of(inputs, str(tmp_path / "run"), tmp_path / "s")
    np.testing.assert_allclose(got, scores_of(inputs, "zero-shot", tmp_path / "z"), atol=2e-6)


def test_a_random_start_is_not_zero_shot(inputs: Path, tmp_path: Path) -> None:
    given: dict[str, Any] = {"lr": 1e-30, "lr_new": 1e-30, "weight_decay": 0.0, "epochs": 1}
    given |= {"ist": {"kind": "values", "random_init": True}}
    run(inputs, tmp_path / "run", "c2srt", **given)
    got = scores_of(inputs, str(tmp_path / "run"), tmp_path / "s")
    assert np.abs(got - scores_of(inputs, "zero-shot", tmp_path / "z")).max() > 1e-3


@pytest.mark.parametrize("given", [{}, {"ema": 0.9}, {"method": "c2srt"}], ids=str)
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
    stops = stops_before_the_end(
        lambda: run(inputs, tmp_path / "parts", patience=1, progress=Progress(stopped=lambda: True))
    )
    assert stops >= 4
    for name in (runs.WEIGHTS, runs.HISTORY, runs.METRICS):
        assert (tmp_path / "parts" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name


def test_a_killed_run_ends_with_the_weights_of_one_that_was_not(inputs: Path, tmp_path: Path) -> None:
    run(inputs, tmp_path / "whole", epochs=8)
    options = [*("-e", inputs / "e", "-a", inputs / "a", "-g", inputs / "graph.json", "-o", tmp_path / "parts")]
    options += ["--epochs", 8, *["--set", "batch_size=8", "--set", "validation=0.2", "--set", "lr=1e-3"]]
    command = [sys.executable, "-m", "c2srt_cli", "train", "label-propagation", *map(str, options)]
    environment = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as one:
        assert one.stderr is not None
        assert any("epoch 2" in line for line in one.stderr)
        one.kill()
    assert not (tmp_path / "parts" / "manifest.json").exists()
    notes = list[str]()
    run(inputs, tmp_path / "parts", epochs=8, progress=Progress(note=notes.append))
    assert any("going on after" in note for note in notes)
    for name in (runs.WEIGHTS, runs.HISTORY, runs.METRICS):
        assert (tmp_path / "parts" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name


def test_stopping_early_keeps_the_best_weights(inputs: Path, tmp_path: Path) -> None:
    result = run(inputs, tmp_path / "run", patience=2, epochs=30, lr=0.02)
    metrics = read_json(tmp_path / "run" / runs.METRICS)
    assert result.epochs == metrics["best"]["epoch"] + 2 < 30
    kept = load_file(tmp_path / "run" / runs.WEIGHTS)
    best = load_file(tmp_path / "run/checkpoint/best.safetensors")
    last = load_file(tmp_path / "run/checkpoint/state.safetensors")
    learned = kept.keys() - {"propagation.gain", "propagation.center"}  # fitted afterwards
    assert all(torch.equal(kept[name], best[name]) for name in learned)
    assert not all(torch.equal(kept[name], last[f"model.{name}"]) for name in kept)


def test_each_epoch_and_each_seed_has_an_order_of_its_own(
    inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    orders, batches = list[list[int]](), TokenSet.batches

    def noted(self: TokenSet, places: np.ndarray, size: int) -> Any:
        orders.append(places.tolist())
        return batches(self, places, size)

    monkeypatch.setattr(TokenSet, "batches", noted)
    for seed in (0, 1):
        run(inputs, tmp_path / f"{seed}", "clip-ft", validation=0.0, seed=seed)
    assert len(orders) == 4
    assert all(sorted(order) == list(range(22)) for order in orders)
    assert len(set(map(tuple, orders))) == 4


def test_of_equal_epochs_the_first_is_the_best(inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = iter([0.25, 0.5, 0.5, 0.375])
    monkeypatch.setattr("c2srt_cli.training.fit.val_map", lambda *_: next(found))
    assert run(inputs, tmp_path / "run", "clip-ft", patience=2, epochs=9).epochs == 4
    assert read_json(tmp_path / "run" / runs.METRICS)["best"] == {"epoch": 2, "map": 0.5}


def test_an_average_of_weights_is_what_is_measured_and_kept(
    inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured, before = list[torch.Tensor](), list[torch.Tensor]()

    def looked(method: Method, data: TrainingData) -> float | None:
        measured.append(method.learned()["visual.proj"].detach().clone())
        return val_map(method, data)

    update = TrainState.update

    def stepped(self: TrainState, loss: torch.Tensor) -> float:
        before.append(self.method.learned()["visual.proj"].detach().clone())
        return update(self, loss)

    monkeypatch.setattr("c2srt_cli.training.fit.val_map", looked)
    monkeypatch.setattr(TrainState, "update", stepped)
    run(inputs, tmp_path / "run", "clip-ft", ema=0.9)
    last = load_file(tmp_path / "run/checkpoint/state.safetensors")["model.visual.proj"]
    kept = load_file(tmp_path / "run" / runs.WEIGHTS)["visual.proj"]
    assert torch.equal(kept, measured[-1])
    average = before[0]
    for count, value in enumerate([*before[1:], last], 1):
        average = torch.lerp(average, value, 1 - min(0.9, count / (count + 10)))
    torch.testing.assert_close(kept, average)
    assert not torch.allclose(kept, last)


def test_the_unseen_annotations_of_training_images_change_nothing(inputs: Path, tmp_path: Path) -> None:
    run(inputs, tmp_path / "one")
    known = read_annotations(inputs / "a")
    random = np.random.default_rng(1)
    lists = [
        [*(label for label in known.positive.row(i) if label < SEEN), *(SEEN + np.flatnonzero(random.random(3) < 0.5))]
        for i in range(PHOTOS)
    ]
    write_annotations(tmp_path / "a", replace(known, positive=Incidence.from_lists(lists)), {})
    assert read_annotations(tmp_path / "a").fingerprint != known.fingerprint
    config = resolve("label-propagation", {"epochs": 2, "batch_size": 8, "validation": 0.2, "lr": 1e-3})
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
    same = EmbedOptions((), tmp_path / "e", annotations=inputs / "a", backbone=model, split_stage=1)
    embed(prepare_embedding(same, Progress()), Progress())
    config, graph = resolve("label-propagation", {"epochs": 1, "batch_size": 8}), str(inputs / "graph.json")
    from_tokens, from_images = (
        prepare_training(options, Progress()).data.train
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


def from_images(inputs: Path, annotations: Path, out: Path, *, overwrite: bool = False, **given: Any) -> TrainJob:
    config = resolve(
        "label-propagation", {"epochs": 2, "batch_size": 8, "validation": 0.2, "calibrate": False, **given}
    )
    model, graph = f"local-dir:{inputs / 'model'}", str(inputs / "graph.json")
    wanted = TrainOptions(None, annotations, out, config, graph, images=True, backbone=model, overwrite=overwrite)
    return prepare_training(wanted, Progress())


def spoiled(inputs: Path, folder: Path, numbers: list[int]) -> Path:
    """The annotations of images of which some are none."""
    shutil.copytree(inputs / "photos", folder / "photos")
    for number in numbers:
        (folder / f"photos/p{number:04}.png").write_bytes(b"no picture")
    write_annotations(folder / "a", replace(read_annotations(inputs / "a"), root=folder / "photos"), {})
    return folder / "a"


def test_images_that_cannot_be_read_are_left_out_and_told(inputs: Path, tmp_path: Path) -> None:
    annotations, notes = spoiled(inputs, tmp_path, [0, 1, 2, 3, 4]), list[str]()
    job = from_images(inputs, annotations, tmp_path / "run", batch_size=2, validation=0.0)
    assert train(job, Progress(note=notes.append)).epochs == 2
    (told,) = (note for note in notes if "cannot be read" in note)
    assert told.startswith("5 images cannot be read and are left out: p0000.png: ")
    assert told.count(".png") == 3
    found = read_json(tmp_path / "run" / runs.METRICS)
    assert (found["train"], found["validation"]) == (17, 0)


def test_validation_images_that_cannot_be_read_are_as_if_none_were_watched(inputs: Path, tmp_path: Path) -> None:
    watched = from_images(inputs, inputs / "a", tmp_path / "run").data.validation.rows.tolist()
    job = from_images(inputs, spoiled(inputs, tmp_path, watched), tmp_path / "run", calibrate=True)
    notes = list[str]()
    result = train(job, Progress(note=notes.append))
    assert (result.epochs, result.val_map) == (2, None)
    assert "no calibration: there is no validation set (training.validation)" in notes
    assert "val_map" not in (tmp_path / "run" / runs.HISTORY).read_text()
    assert read_json(tmp_path / "run" / runs.METRICS)["validation"] == 0


def test_a_stopped_run_from_images_goes_on(inputs: Path, tmp_path: Path) -> None:
    annotations = spoiled(inputs, tmp_path, [0, 1])
    train(from_images(inputs, annotations, tmp_path / "whole", epochs=1), Progress())
    stops = stops_before_the_end(
        lambda: train(from_images(inputs, annotations, tmp_path / "parts", epochs=1), Progress(stopped=lambda: True))
    )
    assert stops == 2  # after all of its three steps but the last
    for name in (runs.WEIGHTS, runs.HISTORY, runs.METRICS):
        assert (tmp_path / "parts" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name
    made = read_json(tmp_path / "parts/manifest.json")["options"]
    assert made["runtime"]["dtype"] in ("float32", "bfloat16")
    train(from_images(inputs, annotations, tmp_path / "parts", overwrite=True, epochs=1, alpha=0.75), Progress())
    options: Any = Run.open(tmp_path / "parts").options
    assert options.patches.alpha == 0.75


@pytest.mark.parametrize("method", ["c2srt", "label-propagation", "mkt"])
def test_images_of_which_no_seen_label_is_known_still_distill(method: str, inputs: Path, tmp_path: Path) -> None:
    """All batches but one are such, as nothing is known of images that are not listed as positive."""
    known = read_annotations(inputs / "a")
    lists = [[0, 1] if i == 0 else [] for i in range(PHOTOS)]
    little = replace(known, positive=Incidence.from_lists(lists), complete=False)
    write_annotations(tmp_path / "a", little, {})
    config = resolve(method, {"epochs": 1, "batch_size": 8, "validation": 0.0, "lr": 1e-3})
    graph = str(inputs / "graph.json") if needs_graph(config) else None
    wanted = TrainOptions(inputs / "e", tmp_path / "a", tmp_path / "run", config, graph)
    result = train(prepare_training(wanted, Progress()), Progress())
    assert (result.epochs, result.diverged) == (1, False)
    names, values = (line.split(",") for line in (tmp_path / "run" / runs.HISTORY).read_text().splitlines())
    assert float(values[names.index("distillation")]) > 0


def test_a_prompt_learns_from_the_images_of_which_something_is_known(inputs: Path, tmp_path: Path) -> None:
    known = read_annotations(inputs / "a")
    lists = [[0, 1] if i == 0 else [] for i in range(PHOTOS)]
    negative = [[2, 3] if i == 0 else [] for i in range(PHOTOS)]
    little = replace(
        known,
        positive=Incidence.from_lists(lists),
        negative=Incidence.from_lists(negative),
        complete=False,
    )
    write_annotations(tmp_path / "a", little, {})
    given = {"epochs": 1, "batch_size": 8, "validation": 0.0}
    for method, init in (("mkt", None), ("mkt-prompt", tmp_path / "mkt")):
        wanted = TrainOptions(inputs / "e", tmp_path / "a", tmp_path / method, resolve(method, given), init=init)
        train(prepare_training(wanted, Progress()), Progress())
    assert not torch.equal(Run.open(tmp_path / "mkt").text, Run.open(tmp_path / "mkt-prompt").text)


@pytest.mark.parametrize("seen", [True, False])
def test_nothing_seen_is_nothing_to_learn(seen: bool, inputs: Path, tmp_path: Path) -> None:
    known = read_annotations(inputs / "a")
    lists = [[n for n in known.positive.row(i) if n >= SEEN] for i in range(PHOTOS)]
    other = (
        replace(known, positive=Incidence.from_lists(lists)) if seen else replace(known, seen=np.zeros(LABELS, bool))
    )
    write_annotations(tmp_path / "a", other, {})
    config = resolve("clip-ft", {"validation": 0.2})
    match = "not one image to train on has a seen label" if seen else "no label is seen"
    with pytest.raises(InputError, match=match):
        prepare_training(TrainOptions(inputs / "e", tmp_path / "a", tmp_path / "run", config), Progress())


def test_divergence_in_the_last_step_keeps_the_epoch_before(
    inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(inputs, tmp_path / "whole", epochs=3)
    update = TrainState.update

    def overflows(self: TrainState, loss: torch.Tensor) -> float:
        norm = update(self, loss)
        if self.done == self.steps:
            with torch.no_grad():
                self.method.log_scale.fill_(torch.inf)
        return norm

    monkeypatch.setattr(TrainState, "update", overflows)
    result = run(inputs, tmp_path / "run", epochs=3)
    assert (result.diverged, result.epochs) == (True, 2)
    assert all(bool(value.isfinite().all()) for value in load_file(tmp_path / "run" / runs.WEIGHTS).values())
    history = (tmp_path / "whole" / runs.HISTORY).read_text().splitlines()
    assert (tmp_path / "run" / runs.HISTORY).read_text().splitlines() == history[:3]


def test_divergence_keeps_the_last_good_state(inputs: Path, tmp_path: Path) -> None:
    with pytest.raises(Diverged, match="no number from the first epoch on") as caught:
        run(inputs, tmp_path / "run", lr=1e30, lr_new=1e30, clip=1e30, warmup=0.0)
    assert caught.value.hint == "lower --lr and --lr-new, and give --overwrite"
    with pytest.raises(InputError, match="made with other options"):
        run(inputs, tmp_path / "run")
    folder, config = tmp_path / "run", resolve("label-propagation", {"epochs": 1, "batch_size": 8, "calibrate": False})
    again = TrainOptions(inputs / "e", inputs / "a", folder, config, str(inputs / "graph.json"), overwrite=True)
    assert train(prepare_training(again, Progress()), Progress()).epochs == 1


def test_a_damaged_checkpoint_is_an_error_for_people(inputs: Path, tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        run(inputs, tmp_path / "run", progress=Progress(stopped=lambda: True))
    checkpoint = tmp_path / "run/checkpoint/state.safetensors"
    checkpoint.write_bytes(checkpoint.read_bytes()[:-9])
    with pytest.raises(InputError, match="cannot be read as safetensors"):
        run(inputs, tmp_path / "run")


@pytest.mark.parametrize(
    ("given", "match"),
    [
        ({"method": "c2srt", "ist": "values", "ist.heads": 3}, "divided by 3 heads"),
        ({"method": "clip-ft", "trained_stages": 0}, "nothing would learn"),
        ({"method": "clip-ft", "trained_stages": 4}, "the tower has 3 stages, not 4"),
        ({"validation": 0.9, "epochs": 1, "calibrate": False}, None),
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
    with pytest.raises(InputError, match="split: 1 of 3 stages, label-propagation has its own from 0 on"):
        run(inputs, tmp_path / "run", trained_stages=3)


def test_other_options_are_refused(inputs: Path, tmp_path: Path) -> None:
    run(inputs, tmp_path / "run", epochs=1)
    with pytest.raises(InputError, match="made with other options"):
        run(inputs, tmp_path / "run", epochs=1, alpha=0.9)


def options_of(inputs: Path, out: Path, method: str = "label-propagation", **changes: Any) -> TrainOptions:
    config = resolve(method, {"epochs": 1, "batch_size": 8, "validation": 0.2, "calibrate": False})
    graph = str(inputs / "graph.json") if needs_graph(config) else None
    return replace(TrainOptions(inputs / "e", inputs / "a", out, config, graph), **changes)


def test_options_that_would_be_ignored_are_refused(inputs: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is not the backbone that this was made with"):
        prepare_training(options_of(inputs, tmp_path / "run", backbone="mini"), Progress())
    with pytest.raises(UsageError, match="mkt moves nothing over a graph"):
        prepare_training(options_of(inputs, tmp_path / "run", "mkt", graph=str(inputs / "graph.json")), Progress())


def test_a_finished_run_is_left_as_it_is(inputs: Path, tmp_path: Path) -> None:
    first = train(prepare_training(options_of(inputs, tmp_path / "run"), Progress()), Progress())
    assert first.images_per_second is not None
    before, notes = fingerprints(tmp_path / "run"), list[str]()
    again = train(prepare_training(options_of(inputs, tmp_path / "run"), Progress()), Progress(note=notes.append))
    assert again == replace(first, images_per_second=None)
    assert fingerprints(tmp_path / "run") == before
    assert notes == ["this run is finished already: it is left as it is"]


def test_the_rate_is_of_steps_that_were_done(inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock on which a step takes a second, and watching an hour."""
    clock = 0.0
    update = TrainState.update

    def one_second(self: TrainState, loss: torch.Tensor) -> float:
        nonlocal clock
        clock += 1.0
        return update(self, loss)

    def one_hour(*given: Any) -> float | None:
        nonlocal clock
        clock += 3600.0
        return val_map(*given)

    monkeypatch.setattr(TrainState, "update", one_second)
    monkeypatch.setattr("c2srt_cli.training.fit.val_map", one_hour)
    monkeypatch.setattr("c2srt_cli.training.fit.time.monotonic", lambda: clock)
    result = train(prepare_training(options_of(inputs, tmp_path / "run"), Progress()), Progress())
    assert result.images_per_second == pytest.approx(18 / 3)  # three steps of 8, 8 and 2 images


def test_a_run_keeps_the_threads_that_it_began_with(inputs: Path, tmp_path: Path) -> None:
    before, used = torch.get_num_threads(), set[int]()
    try:
        torch.set_num_threads(1)
        with pytest.raises(Interrupted):
            train(prepare_training(options_of(inputs, tmp_path / "run"), Progress()), Progress(stopped=lambda: True))
        torch.set_num_threads(2)
        train(
            prepare_training(options_of(inputs, tmp_path / "run"), Progress()),
            Progress(advance=lambda *_: used.add(torch.get_num_threads())),
        )
        assert (used, torch.get_num_threads()) == ({1}, 2)
        assert read_json(tmp_path / "run/manifest.json")["options"]["threads"] == 1
    finally:
        torch.set_num_threads(before)


def test_the_folder_is_checked_without_writing(inputs: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/notes.txt").write_text("mine")
    with pytest.raises(InputError, match="holds no run"):
        check_out(prepare_training(options_of(inputs, tmp_path / "mine"), Progress()))
    with pytest.raises(InputError, match="is a file"):
        check_out(prepare_training(options_of(inputs, tmp_path / "mine/notes.txt"), Progress()))
    check_out(prepare_training(options_of(inputs, tmp_path / "new"), Progress()))
    assert not (tmp_path / "new").exists()


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
                resolve("label-propagation", {"validation": 0.2}),
                str(inputs / "graph.json"),
            ),
            Progress(),
        )
        watched = set(job.data.validation.rows.tolist())
        hidden = set(calibrate.pseudo_unseen(job.data, 0).tolist())
        assert len(hidden) == 3
        lists = [
            known.positive.row(i).tolist() if i in watched else [n for n in known.positive.row(i) if n not in hidden]
            for i in range(PHOTOS)
        ]
        write_annotations(tmp_path / "a", replace(known, positive=Incidence.from_lists(lists)), {})
        config = resolve("label-propagation", {"epochs": 2, "batch_size": 8, "validation": 0.2, "lr": 1e-3})
        wanted = TrainOptions(inputs / "e", tmp_path / "a", tmp_path / "two", config, str(inputs / "graph.json"))
        train(prepare_training(wanted, Progress()), Progress())
        state = "checkpoint/calibration/state.safetensors"
        assert (tmp_path / "two" / state).read_bytes() == (tmp_path / "one" / state).read_bytes()
        assert (tmp_path / "two" / runs.WEIGHTS).read_bytes() != (tmp_path / "one" / runs.WEIGHTS).read_bytes()

    @pytest.mark.parametrize("late", [False, True])
    def test_a_second_training_that_diverges_leaves_a_run_without_it(
        self, late: bool, inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        notes = list[str]()

        def diverges(data: TrainingData, *given: Any) -> Any:
            if late:
                return replace(fit(data, *given), diverged=True)
            raise Diverged("the loss is no number from the first epoch on")

        monkeypatch.setattr(calibrate, "fit", diverges)
        result = run(inputs, tmp_path / "run", progress=Progress(note=notes.append), epochs=1)
        assert (result.epochs, result.diverged) == (1, False)
        assert Run.open(tmp_path / "run").calibration is None
        (told,) = (note for note in notes if note.startswith("no calibration: in the second training the loss is no"))
        assert told.endswith("more" if late else "first epoch on")

    @pytest.mark.parametrize(
        ("given", "why"),
        [
            ({"validation": 0.0}, "there is no validation set (training.validation)"),
            ({"method": "mkt"}, "mkt's scores depend on which labels are asked for"),
            ({"share": 0.15}, "too few seen labels, or too few of them in the validation set"),
        ],
        ids=str,
    )
    def test_why_there_is_none_is_told(
        self, given: dict[str, Any], why: str, inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(calibrate, "PSEUDO_UNSEEN", given.pop("share", 0.6))
        notes = list[str]()
        run(inputs, tmp_path / "run", progress=Progress(note=notes.append), **{"epochs": 1, **given})
        assert [note for note in notes if note.startswith("no calibration")] == [f"no calibration: {why}"]

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


def test_no_more_images_are_watched_than_fit_in_memory(
    inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("c2srt_cli.training.prepare.MAX_VALIDATION", 3)
    config = resolve("clip-ft", {"validation": 0.5})
    job = prepare_training(TrainOptions(inputs / "e", inputs / "a", tmp_path / "run", config), Progress())
    assert (len(job.data.validation), len(job.data.train)) == (3, 19)
