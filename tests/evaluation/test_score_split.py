"""From tokens to score files, and what ``c2srt evaluate`` says of them."""

import csv
import io
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import Run
from tiny_runs import needs_graph, write_embedded

from c2srt_cli.datasets.annotations import Incidence, read_annotations, write_annotations
from c2srt_cli.embeddings.store import Store
from c2srt_cli.errors import InputError
from c2srt_cli.evaluation.protocol import DEFAULT, Protocol
from c2srt_cli.evaluation.score import check_test_set, predictor, score_split
from c2srt_cli.graph.category_graph import CategoryGraph, Edge, write_graph
from c2srt_cli.progress import Progress
from c2srt_cli.training import data
from c2srt_cli.training.config import resolve
from c2srt_cli.training.prepare import TrainOptions, prepare_training
from c2srt_cli.training.train import train

PHOTOS, LABELS, SEEN, TRAIN = 24, 6, 4, 10


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Embeddings ``e`` of annotations ``a``, all labels of which are seen in ``all``; runs ``one/run``, ``two/run``."""
    folder = tmp_path_factory.mktemp("inputs")
    content = write_embedded(folder, photos=PHOTOS, train=TRAIN, labels=LABELS, seen=SEEN, share=0.5)
    write_annotations(folder / "all", content.with_seen(np.ones(LABELS, bool)), {})
    edges = tuple(Edge(s, t, "similar", 0.5, "llm") for t in range(LABELS) for s in range(LABELS) if s != t)
    write_graph(folder / "graph.json", CategoryGraph(content.labels, edges))
    for seed, name in enumerate(("one", "two")):
        run(folder, "a", folder / name / "run", "c2srt", seed=seed, **{"ist": "values", "ist.random_init": True})
    return folder


def run(folder: Path, annotations: str, out: Path, method: str, **given: Any) -> None:
    config = resolve(method, {"epochs": 1, "batch_size": 8, "validation": 0, "calibrate": False, **given})
    graph = str(folder / "graph.json") if needs_graph(config) else None
    wanted = TrainOptions(folder / "e", folder / annotations, out, config, graph)
    train(prepare_training(wanted, Progress()), Progress())


def scores_of(inputs: Path, out: Path, progress: Progress | None = None) -> tuple[int, np.ndarray]:
    """Images at a time, and GZSL scores of the test images, ``(L, N)``."""
    known, store = read_annotations(inputs / "a"), Store.open(inputs / "e")
    one = predictor(str(inputs / "one/run"), store, known, "default", Progress())
    files = score_split(one, store, known, DEFAULT, folder=out, progress=progress or Progress())
    return data.images_at_once(one.model, LABELS), files["GZSL"].read(np.arange(LABELS))


@pytest.fixture
def evaluate(c2srt: Run) -> Run:
    """``c2srt evaluate``."""
    return partial(c2srt, "evaluate")


def test_many_labels_make_batches_small_and_change_no_score(
    inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch, expected = scores_of(inputs, tmp_path / "whole")
    assert batch == data.BATCH
    for entries, wanted in ((3 * LABELS * 32, 3), (1, 1)):  # D is 32
        monkeypatch.setattr(data, "ENTRIES", entries)
        batch, found = scores_of(inputs, tmp_path / f"by {wanted}")
        assert batch == wanted
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_progress_counts_what_is_scored(inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data, "ENTRIES", 5 * LABELS * 32)
    told: list[tuple[int, int]] = []
    scores_of(inputs, tmp_path, Progress(advance=lambda done, total: told.append((done, total))))
    assert told == [(5, 14), (10, 14), (14, 14)]


def test_missing_images_are_told_before_anything_is_scored(inputs: Path) -> None:
    known, store = read_annotations(inputs / "a"), Store.open(inputs / "e")
    check_test_set(store, known, DEFAULT)
    some = store.take(np.array([place for place, path in enumerate(store.paths.to_pylist()) if path != "p0020.png"]))
    with pytest.raises(InputError, match=r"1 of the 14 images[^$]*p0020\.png[^$]*--allow-missing"):
        check_test_set(some, known, DEFAULT)
    check_test_set(some, known, DEFAULT, allow_missing=True)
    none = store.take(np.arange(TRAIN))
    with pytest.raises(InputError, match="no image of protocol all is there"):
        check_test_set(none, known, DEFAULT, allow_missing=True)
    bare = replace(known, positive=Incidence.empty(PHOTOS))
    with pytest.raises(InputError, match="no image of the test set counts in ZSL"):
        check_test_set(store, bare, Protocol("L", (3,), True, ""), allow_missing=True)


def test_without_unseen_labels_there_is_gzsl_alone(inputs: Path, tmp_path: Path, evaluate: Run) -> None:
    run(inputs, "all", tmp_path / "mkt", "mkt")  # whose scores depend on what is ranked
    line = ("zero-shot", tmp_path / "mkt", "-e", inputs / "e", "-a", inputs / "all")
    code, out, err = evaluate(*line, "--against", tmp_path / "mkt", "--replicates", 10)
    assert code == 0, err
    assert "ZSL" not in out.replace("GZSL", "").replace("nothing to rank in ZSL", "")
    assert "Every label is seen: there is nothing to rank in ZSL." in out
    heading = next(line for line in out.splitlines() if line.startswith("method"))
    assert not {"seen", "unseen", "harmonic"} & set(heading.split())
    code, out, _ = evaluate(*line, "--format", "csv")
    assert [row["setting"] for row in csv.DictReader(io.StringIO(out))] == ["GZSL", "GZSL"]


def test_runs_of_one_method_are_told_apart(inputs: Path, tmp_path: Path, evaluate: Run) -> None:
    (tmp_path / "other").symlink_to(inputs / "one" / "run")
    same = ("-e", inputs / "e", "-a", inputs / "a", "--format", "csv")

    def names(*methods: object) -> list[str]:
        code, out, err = evaluate(*methods, *same)
        assert code == 0, err
        return [row["method"] for row in csv.DictReader(io.StringIO(out)) if row.get("setting") == "ZSL"]

    one, two = inputs / "one/run", inputs / "two/run"
    assert names("zero-shot", one) == ["zero-shot", "c2srt"]
    assert names(one, two) == [f"c2srt ({one})", f"c2srt ({two})"]
    run(inputs, "a", tmp_path / "third", "c2srt")
    assert names(one, tmp_path / "third", "zero-shot") == ["c2srt (run)", "c2srt (third)", "zero-shot"]
    code, out, err = evaluate(one, tmp_path / "third", *same[:4], "--against", "zero-shot", "--replicates", 5)
    assert code == 0, err
    assert "c2srt against zero-shot" in out
    code, out, err = evaluate(one, *same[:4], "--against", tmp_path / "third", "--replicates", 5, "--per-class")
    assert code == 0, err
    assert "c2srt (run) against c2srt (third)" in out
    assert "c2srt (third), GZSL" in out


@pytest.mark.parametrize("name", ["labels.csv", "model.safetensors", "text.safetensors", "graph.json"])
@pytest.mark.parametrize("damage", ["cut", "empty", "noise", "gone"])
def test_a_damaged_run_is_refused(inputs: Path, tmp_path: Path, evaluate: Run, name: str, damage: str) -> None:
    for path in (inputs / "one/run").iterdir():
        if path.is_file():
            (tmp_path / path.name).write_bytes(path.read_bytes())
    data = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(
        {"cut": data[: len(data) // 2 + 1], "noise": b"\xff\xfe" + data[::-1]}.get(damage, b"")
    )
    if damage == "gone":
        (tmp_path / name).unlink()
    code, out, err = evaluate(tmp_path, "-e", inputs / "e", "-a", inputs / "a")
    assert (code, out) == (3, ""), err
    assert "error: " in err


def test_templates_are_for_zero_shot_alone(inputs: Path, evaluate: Run) -> None:
    line = ("-e", inputs / "e", "-a", inputs / "a", "--templates", "clip")
    code, out, err = evaluate(inputs / "one/run", *line)
    assert (code, out) == (2, "")
    assert "a run keeps the templates that it was trained with" in err
    code, out, err = evaluate(inputs / "one/run", *line, "--against", "zero-shot", "--replicates", 5)
    assert code == 0, err
