"""What a training takes over from its inputs, and what it refuses instead of ignoring it."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_runs import split_for, write_embedded, write_with_graph

from c2srt_cli.artifacts import read_json
from c2srt_cli.datasets.annotations import read_annotations, write_annotations
from c2srt_cli.embeddings.embed import EmbedOptions, embed, prepare_embedding
from c2srt_cli.embeddings.encoder import Machine
from c2srt_cli.embeddings.store import Store
from c2srt_cli.errors import InputError, UsageError
from c2srt_cli.evaluation.score import predictor
from c2srt_cli.graph.category_graph import CategoryGraph, read_graph, write_graph
from c2srt_cli.labels import Label, LabelSet
from c2srt_cli.progress import Progress
from c2srt_cli.training.calibrate import best_threshold, rounded
from c2srt_cli.training.config import resolve
from c2srt_cli.training.job import TrainJob
from c2srt_cli.training.prepare import TrainOptions, prepare_training

LABELS, SEEN = 8, 5


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tokens, annotations and a graph."""
    return write_with_graph(tmp_path_factory.mktemp("inputs"), photos=20, train=16, labels=LABELS, seen=SEEN)


def prepared(inputs: Path, out: Path, graph: Any = None, **changes: Any) -> TrainJob:
    method, given = changes.pop("method", "label-propagation"), changes.pop("given", {})
    file = graph and str(graph)
    if method != "clip-ft" and graph is None:
        file = str(inputs / "graph.json")
    wanted = TrainOptions(inputs / "e", inputs / "a", out, resolve(method, given), file)
    return prepare_training(replace(wanted, **changes), Progress())


def renamed(graph: CategoryGraph, name: str, ids: bool = False) -> CategoryGraph:
    """Its labels called otherwise, or by the same names under ids."""
    labels = (Label(name.format(i), id=f"/m/{i}" if ids else "") for i in range(len(graph.labels)))
    return replace(graph, labels=LabelSet(tuple(labels)))


def test_a_graph_of_other_labels_is_refused(inputs: Path, tmp_path: Path) -> None:
    graph = read_graph(inputs / "graph.json")
    write_graph(tmp_path / "other.json", renamed(graph, "another {}"))
    with pytest.raises(InputError, match="not one edge from a seen label") as caught:
        prepared(inputs, tmp_path / "run", tmp_path / "other.json")
    assert "build-graph" in (caught.value.hint or "")


def test_labels_of_a_graph_are_found_by_name_where_one_side_has_ids(inputs: Path, tmp_path: Path) -> None:
    graph = read_graph(inputs / "graph.json")
    write_graph(tmp_path / "ids.json", renamed(graph, "Thing {}", ids=True))
    here = prepared(inputs, tmp_path / "run", tmp_path / "ids.json").graph
    there = prepared(inputs, tmp_path / "run").graph
    assert here is not None
    assert there is not None
    assert here.edges == there.edges


def test_templates_are_those_of_the_embeddings(inputs: Path, tmp_path: Path) -> None:
    (tmp_path / "templates.txt").write_text("a drawing of {}\n")
    wanted = EmbedOptions(
        (),
        tmp_path / "e",
        annotations=inputs / "a",
        templates=str(tmp_path / "templates.txt"),
        backbone=f"local-dir:{inputs / 'model'}",
        needed=split_for("clip-ft"),
        machine=Machine(precision="float32", batch=4, workers=1),
    )
    embed(prepare_embedding(wanted, Progress()), Progress())
    job = prepared(inputs, tmp_path / "run", method="clip-ft", embeddings=tmp_path / "e")
    assert job.facts["templates"] == ["a drawing of {}"]
    other = prepared(inputs, tmp_path / "run", method="clip-ft", embeddings=tmp_path / "e", templates="default")
    assert other.facts["templates"] == ["a photo of a {}."]
    known, store = read_annotations(inputs / "a"), Store.open(tmp_path / "e")
    texts = [predictor("zero-shot", store, known, given, Progress()).text for given in (None, "default")]
    assert (texts[0] - job.data.vocabulary.text).abs().max() < 1e-6
    assert (texts[0] - texts[1]).abs().max() > 1e-3


def test_the_validation_split_of_a_dataset_is_used(tmp_path: Path) -> None:
    known = write_embedded(tmp_path, photos=20, train=16, labels=LABELS, seen=SEEN)
    split = np.where(np.isin(np.arange(20), [3, 7, 11]), "val", known.split)
    write_annotations(tmp_path / "a", replace(known, split=split), {})
    own: dict[str, Any] = {"method": "clip-ft", "given": {"validation": 0.5}}
    job = prepared(tmp_path, tmp_path / "run", **own)
    assert sorted(job.data.validation.rows.tolist()) == [3, 7, 11]
    assert sorted(job.data.train.rows.tolist()) == [i for i in range(16) if i not in (3, 7, 11)]
    none = prepared(tmp_path, tmp_path / "run", method="clip-ft", given={"validation": 0.0})
    assert len(none.data.validation) == 0


def test_everything_that_does_not_go_together_is_told_at_once(inputs: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        prepared(inputs, tmp_path / "run", method="clip-ft", graph=str(inputs), init=tmp_path)
    assert len(caught.value.problems) == 2
    with pytest.raises(UsageError, match="has nothing to train"):
        prepare_training(TrainOptions(inputs / "e", inputs / "a", tmp_path, resolve("zero-shot", {})), Progress())


def test_a_run_of_an_earlier_layout_names_the_command(tmp_path: Path) -> None:
    from c2srt_cli.artifacts import write_json
    from c2srt_cli.training.run import Run

    write_json(tmp_path / "manifest.json", {"kind": "run", "schema": 1, "options": {}, "inputs": {}})
    with pytest.raises(InputError) as caught:
        Run.open(tmp_path)
    assert "c2srt train" in (caught.value.hint or "")
    assert read_json(tmp_path / "manifest.json")["schema"] == 1


def test_thresholds_of_tiny_probabilities_are_above_zero() -> None:
    """Or every image would get the label."""
    probabilities, truth = np.array([3e-8, 2e-8, 1e-8, 1e-9]), np.array([1, 1, -1, -1])
    found = rounded(best_threshold(probabilities, truth))
    assert 1e-8 < found < 2e-8
    assert (probabilities >= found).sum() == 2
