"""Artifacts that somebody else could have made, opened by what reads them: they are refused, or give what is right.

``C2SRT_FUZZ=300 pytest tests/test_hostile.py`` tries so many changes of each artifact, other ones each time.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from llm_build import build, no_embeddings, write_labels
from llm_server import serving
from mutations import mutated
from photos import content
from tiny_runs import train_run, write_inputs

from c2srt_cli.artifacts import Stamp, manifest, write_json
from c2srt_cli.backbone import precision
from c2srt_cli.backbone.precision import probe
from c2srt_cli.backbone.registry import Backbone, load_backbone
from c2srt_cli.cli import main
from c2srt_cli.datasets.annotations import read_annotations
from c2srt_cli.embeddings.store import Store
from c2srt_cli.errors import C2srtError
from c2srt_cli.evaluation.score_file import ScoreFile, write_scores
from c2srt_cli.graph.build import build_graph
from c2srt_cli.graph.options import BuildOptions
from c2srt_cli.methods.registry import METHODS
from c2srt_cli.predict.cache_model import CacheModel
from c2srt_cli.predict.profile import Learned, Profile, Verdict, basis_of, write_profile
from c2srt_cli.progress import Progress
from c2srt_cli.scoring.calibration import Calibration, RunCalibration
from c2srt_cli.tagging.journal import Journal
from c2srt_cli.tagging.record import FailedImage, Tag, TaggedImage
from c2srt_cli.tagging.sources import Item
from c2srt_cli.training.run import Run
from c2srt_cli.training.state import TrainState

#: Of each artifact; without the variable few, and always the same.
EXAMPLES = int(os.environ.get("C2SRT_FUZZ", "0"))
LABELS = ("cat", "dog", "写真")
BASIS = basis_of("mini", "ab" * 32, None, {"size": 64}, ("a {}",), {"kind": "isr"}, None, None)
ASKED = {"root": "/photos", "all_scores": True, "explain": False}


class Made(NamedTuple):
    """Every kind of artifact, each in a folder of its own, and what is needed to read them."""

    folder: Path
    backbone: Backbone
    state: Callable[[], TrainState]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    base, threads = tmp_path_factory.mktemp("made"), torch.get_num_threads()
    torch.set_num_threads(1)
    write_inputs(base)
    run = train_run(base, base / "run", epochs=1, ema=0.5)
    line = Calibration(2.0, -0.5, {})
    write_json(base / "run/calibration.json", RunCalibration(line, line, 0.5, 0.3, {"thing 0": 0.25}).record())
    for name in ("checkpoint", "scores", "journal", "graph", "calibration", "replies", "probe", "profile"):
        (base / name).mkdir()
    shutil.move(base / "run/checkpoint/state.safetensors", base / "checkpoint")
    shutil.copy(base / "graph.json", base / "graph")
    one = {"method": "logistic", "slope": 2.0, "intercept": 1.0, "scoring": {"patches": "isr"}}
    write_json(base / "calibration/calibration.json", one)
    learned = [Learned(name=name, yes=number, no=1, recall=0.5) for number, name in enumerate(LABELS)]
    verdicts = [Verdict(path="a/b.jpg", sha256="ab" * 32, label="cat", verdict="yes")]
    model = CacheModel(torch.rand(4, 32), torch.rand(4, 3), torch.rand(3), torch.tensor([0.5, float("nan"), 0.0]))
    of = manifest("profile", 1, BASIS, {})
    write_profile(base / "profile", of, root=base / "photos", learned=learned, verdicts=verdicts, model=model)
    facts = {"method": "run", "annotations": read_annotations(base / "a").fingerprint}
    with write_scores(base / "scores/gzsl.safetensors", np.arange(4), np.arange(8), facts) as writer:
        writer.add(np.arange(32, dtype=np.float32).reshape(4, 8))
    with Journal(base / "journal/tags.journal", ASKED, LABELS) as journal:
        for number in range(3):
            journal.append([(Item(one.path, Stamp(5, 6, 7, "ab" * 32)), one) for one in results(number)])
    with serving() as server:
        build(server, write_labels(base, 8), base / "replies/graph.json")
    (base / "replies/graph.json").unlink()
    backbone = load_backbone(f"local-dir:{base}/model")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("C2SRT_HOME", str(base / "probe"))
        patch.setattr(precision, "IDLE", 0)  # however busy this machine is
        probe(backbone, device="cpu")
    backbone.to("cpu", torch.float32)
    kind = METHODS[run.options.method]
    yield Made(base, backbone, lambda: TrainState(kind(run.options, backbone), 2))
    torch.set_num_threads(threads)


def results(number: int) -> list[TaggedImage | FailedImage]:
    tags = (Tag(LABELS[number], 0.25, None, 0.5), Tag(LABELS[number - 1], -0.5, 0.125, None))
    return [TaggedImage(f"a{number}.jpg", tags, (0.5, number, -1.0)), FailedImage(f"b{number}.jpg", "corrupt", "it is")]


def of_embeddings(folder: Path, _: Made) -> dict[str, Any]:
    store = Store.open(folder)
    batches = [(store.paths.take(places), vectors) for places, _, vectors in store.batches(range(len(store)), 5)]
    return {
        path: vector.tolist() for batch, some in batches for path, vector in zip(batch.to_pylist(), some, strict=True)
    }


def of_annotations(folder: Path, _: Made) -> dict[str, Any]:
    found = read_annotations(folder)
    rows = np.arange(len(found))
    truth = found.truth(rows, np.arange(len(found.labels)))
    return {path: (truth[row].tolist(), found.split[row]) for row, path in enumerate(found.paths)}


def of_run(folder: Path, made: Made) -> dict[str, Any]:
    run = Run.open(folder)
    if run.made.differences(made.backbone):
        run.made.load_backbone(folder, "mini")
    method = run.method(made.backbone)
    assert all(value.isfinite().all() for value in method.learned().values())
    vocabulary = run.vocabulary()
    if run.calibration is not None:
        found = run.calibration.probability(np.zeros((2, len(run.labels))), run.seen)
        assert ((found >= 0) & (found <= 1)).all()
    return {name: vector.tolist() for name, vector in zip(run.labels.names, vocabulary.text, strict=True)}


def of_scores(folder: Path, _: Made) -> dict[str, Any]:
    scores = ScoreFile.open(folder / "gzsl.safetensors")
    assert scores.read(np.arange(len(scores.columns))).shape == (len(scores.columns), len(scores.rows))
    return {}


def of_graph(folder: Path, _: Made) -> dict[str, Any]:
    page = folder.parent / "page.html"
    for more in ([], ["--json"], ["--html", str(page)], ["thing 0"]):
        assert command("show-graph", str(folder / "graph.json"), *more) in (0, 2, 3)
    page.unlink(missing_ok=True)
    return {}


def of_calibration(folder: Path, _: Made) -> dict[str, Any]:
    found = Calibration.read(folder / "calibration.json").probability(np.array([-1.0, 0.0, 1.0]))
    assert ((found >= 0) & (found <= 1)).all()
    return {}


def of_checkpoint(folder: Path, made: Made) -> dict[str, Any]:
    state = made.state()
    state.load(folder / "state.safetensors")
    assert state.is_finite() or EXAMPLES
    return {}


def of_journal(folder: Path, _: Made) -> dict[str, Any]:
    with Journal(folder / "tags.journal", ASKED, LABELS) as journal:
        found = {name: journal[name] for name in journal.entries}
    for name, result in found.items():
        assert result.path == name
        if isinstance(result, TaggedImage):
            assert {tag.label for tag in result.tags} <= set(LABELS)
            assert result.scores is not None and len(result.scores) == len(LABELS)
    return {}


def of_replies(folder: Path, made: Made) -> dict[str, Any]:
    """Rebuilding stays within the labels; what no reply answers is named."""
    out = folder.parent / "rebuilt.json"
    options = BuildOptions(made.folder / "labels.txt", out, replay=folder / "graph.json.replies.jsonl")
    with suppress(FileNotFoundError):
        out.unlink()
    try:
        graph = build_graph(options, no_embeddings, Progress()).graph
    finally:
        out.unlink(missing_ok=True)
    assert len(graph.labels) == 8
    return {}


def of_profile(folder: Path, _: Made) -> dict[str, Any]:
    profile = Profile.open(folder)
    assert profile.model is not None
    profile.check(BASIS)
    found = zip(profile.learned, profile.model.weights.T.tolist(), profile.model.offsets.tolist(), strict=True)
    return {one.name: (one, weights, offset, profile.verdicts) for one, weights, offset in found}


def of_probe(folder: Path, made: Made) -> dict[str, Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("C2SRT_HOME", str(folder))
        assert probe(made.backbone, device="cpu", precision="float32").runtime.batch >= 1
    return {}


#: By folder: what reads it, and how many changes are tried where nothing else is said.
DOORS: dict[str, tuple[Callable[[Path, Made], dict[str, Any]], int]] = {
    "e": (of_embeddings, 40),
    "a": (of_annotations, 25),
    "run": (of_run, 25),
    "scores": (of_scores, 15),
    "graph": (of_graph, 15),
    "calibration": (of_calibration, 10),
    "checkpoint": (of_checkpoint, 20),
    "journal": (of_journal, 20),
    "replies": (of_replies, 8),
    "probe": (of_probe, 5),
    "profile": (of_profile, 15),
}


def command(*arguments: str) -> int:
    """The exit code of a command line; a traceback is a fault."""
    with pytest.MonkeyPatch.context() as patch, open(os.devnull, "w", encoding="utf-8") as nothing:  # noqa: PTH123
        patch.setattr("sys.argv", ["c2srt", *arguments])
        patch.setattr("sys.stdout", nothing)
        patch.setattr("sys.stderr", nothing)
        try:
            main()
        except SystemExit as end:
            return int(end.code or 0)
    return 0


@pytest.mark.parametrize("kind", DOORS)
def test_what_is_sent_is_right_or_refused(kind: str, made: Made, tmp_path: Path) -> None:
    door, number = DOORS[kind]
    whole, there = made.folder / kind, tmp_path / "there"
    right, files = door(shutil.copytree(whole, there / "right"), made), content(whole)
    names = sorted(name for name in files if not name.endswith((".lock", ".csv")) or kind == "run")

    @settings(
        max_examples=EXAMPLES or number,
        derandomize=not EXAMPLES,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.data())
    def each(data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(names))
        sent = data.draw(mutated(name, files[name]))
        folder = shutil.copytree(whole, there / "sent")
        try:
            (folder / name).write_bytes(sent)
            found = door(folder, made)
        except C2srtError as error:
            assert error.exit_code in (2, 3) and error.where, error
        else:
            assert all(right[key] == value for key, value in found.items())
        finally:
            shutil.rmtree(folder)
        assert [path.name for path in there.iterdir()] == ["right"]

    each()
