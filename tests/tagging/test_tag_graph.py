"""``tag --graph`` without a run, on the tiny model, against plain loops over its scores without one."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from photos import write_photos
from tiny_runs import BATCH

from c2srt_cli.artifacts import read_json
from c2srt_cli.cli import main
from c2srt_cli.embeddings.encoder import Machine
from c2srt_cli.graph.category_graph import CategoryGraph, Edge, write_graph
from c2srt_cli.labels import Label, LabelSet, read_labels
from c2srt_cli.labels.everyday import everyday_labels
from c2srt_cli.methods.zero_shot import GAIN, SURE
from c2srt_cli.progress import Progress
from c2srt_cli.tagging.job import TagJob
from c2srt_cli.tagging.record import TaggedImage
from c2srt_cli.tagging.tag import TagOptions, prepare_tagging
from c2srt_cli.tagging.tagger import tag_images

ASKED = ("lake", "alone", "boat", "forest")
#: Of the graph: ducks are evidence, reeds are not asked for.
NAMES = ("boat", "lake", "reeds", "duck", "forest")
EDGES = ((0, 1, 0.8), (2, 1, 0.6), (3, 1, 0.9), (1, 0, 0.7), (3, 4, 0.2))


@pytest.fixture
def inputs(tmp_path: Path) -> Path:
    write_photos(tmp_path / "photos", 3)
    (tmp_path / "labels.txt").write_text("\n".join(ASKED))
    edges = tuple(Edge(s, t, "functional", strength, "llm") for s, t, strength in EDGES)
    graph = CategoryGraph(LabelSet(tuple(Label(name) for name in NAMES)), edges, evidence=frozenset({3}))
    write_graph(tmp_path / "graph.json", graph)
    return tmp_path


def prepare(inputs: Path, labels: Path | str, tiny: str, notes: list[str] | None = None, **options: Any) -> TagJob:
    machine = Machine(precision="float32", batch=BATCH, workers=1)
    wanted = TagOptions((str(inputs / "photos"),), labels, backbone=tiny, machine=machine, all_scores=True, **options)
    return prepare_tagging(wanted, Progress() if notes is None else Progress(note=notes.append))


def tagged(job: TagJob) -> list[TaggedImage]:
    found = [row for batch in tag_images(job, job.source.items, Progress()) for _, row in batch]
    assert all(isinstance(row, TaggedImage) for row in found)
    return found  # type: ignore[return-value]


def scores(job: TagJob) -> np.ndarray:
    return np.array([row.scores for row in tagged(job)])


def test_scores_are_raised_and_explained(inputs: Path, tiny: str, tmp_path: Path) -> None:
    everything = ", ".join((*ASKED, "reeds", "duck"))
    own = scores(prepare(inputs, everything, tiny))
    background = scores(prepare(inputs, everyday_labels(), tiny))
    mean, sd = background.mean(1), background.std(1, ddof=1)
    notes: list[str] = []
    graph = str(inputs / "graph.json")
    job = prepare(inputs, inputs / "labels.txt", tiny, notes, graph=graph, explain=tmp_path / "why.jsonl")
    assert (
        "3 of 4 labels aggregate from 4 others over the graph, 2 of them are labels of the graph alone, never given"
        in notes
    )
    places = {name: place for place, name in enumerate((*ASKED, "reeds", "duck"))}
    strengths = {(NAMES[t], NAMES[s]): strength for s, t, strength in EDGES}
    for image, row in enumerate(tagged(job)):
        assert row.scores is not None
        assert row.explanation is not None
        said: dict[str, dict[str, float]] = {name: {} for name in ASKED}
        for (target, source), strength in strengths.items():
            above = max(own[image, places[target]] - mean[image], 0) / sd[image]
            doubt = max(1 - above / SURE, 0)
            said[target][source] = GAIN * doubt * strength * max(own[image, places[source]] - mean[image], 0)
        for place, name in enumerate(ASKED):
            assert row.scores[place] == pytest.approx(own[image, place] + sum(said[name].values()), abs=1e-5)
        for tag, why in zip(row.tags, row.explanation, strict=True):
            assert tag.label in ASKED
            spoken = {one["label"]: one["contribution"] for one in why["sources"]}
            assert spoken == pytest.approx(said[tag.label], abs=1e-5)
            assert why["base_score"] + sum(spoken.values()) == pytest.approx(tag.score, abs=1e-5)


def test_a_verdict_is_the_same_among_few_and_among_many_labels(inputs: Path, tiny: str) -> None:
    graph = str(inputs / "graph.json")
    few = scores(prepare(inputs, ", ".join(ASKED), tiny, graph=graph))
    many = [label.name for label in read_labels(everyday_labels()) if label.name not in (*ASKED, *NAMES)]
    some = scores(prepare(inputs, ", ".join([*ASKED, *many[:100]]), tiny, graph=graph))
    np.testing.assert_allclose(some[:, : len(ASKED)], few, atol=1e-6)


def test_a_graph_without_an_edge_to_the_labels_changes_nothing(inputs: Path, tiny: str) -> None:
    notes: list[str] = []
    words = "reeds, duck"
    with_graph = scores(prepare(inputs, words, tiny, notes, graph=str(inputs / "graph.json")))
    assert "the graph has no edge to any of these labels: their scores stay as they are" in notes
    np.testing.assert_array_equal(with_graph, scores(prepare(inputs, words, tiny)))


def test_what_decides_is_recorded(inputs: Path, tiny: str) -> None:
    graph = str(inputs / "graph.json")
    plain = prepare(inputs, inputs / "labels.txt", tiny).options
    raised = prepare(inputs, inputs / "labels.txt", tiny, graph=graph).options
    assert "graph" not in plain
    assert plain["background"] == raised["background"], "an uncalibrated backbone has its labels stand out of it"
    assert raised["options"]["propagation"] == {"gain": GAIN}
    assert len(raised["background"]) == len(raised["graph"]) == 64
    job = prepare(inputs, inputs / "labels.txt", tiny, graph=graph)
    assert job.provenance["graph"] == raised["graph"][:16]
    assert job.inputs["graph"] == raised["graph"]


def test_as_a_user_types_it(
    inputs: Path, tiny: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def tag(*arguments: object) -> tuple[int | str | None, str]:
        command = ("tag", inputs / "photos", "-l", inputs / "labels.txt", "--backbone", tiny, "-o", inputs / "t.jsonl")
        monkeypatch.setattr("sys.argv", ["c2srt", *map(str, (*command, *arguments))])
        with pytest.raises(SystemExit) as end:
            main()
        return end.value.code or 0, capsys.readouterr().err

    assert tag("--graph", "coco-80")[0] == 0
    code, err = tag("--graph", inputs / "graph.json")
    assert code == 0
    assert "made with other options (graph" in err
    assert len((inputs / "t.jsonl").read_text().splitlines()) == 3
    assert read_json(inputs / "t.jsonl.manifest.json")["options"]["background"]
    (inputs / "labels.txt").write_text("dune")
    code, err = tag("--graph", "voc-20", "--overwrite")
    assert code == 2
    assert "asked for: dune" in err
