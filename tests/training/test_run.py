"""Runs on disk: what was changed or damaged after training is refused."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tiny import write_tiny_model
from tiny_runs import train_run, write_inputs

from c2srt_cli.artifacts import read_json, write_json
from c2srt_cli.errors import InputError, UsageError
from c2srt_cli.graph.category_graph import CategoryGraph, read_graph, write_graph
from c2srt_cli.labels import Label, LabelSet
from c2srt_cli.training.run import CONFIG, GRAPH, TEXT, WEIGHTS, Run, write_weights

Change = Callable[[Path], None]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    return train_run(write_inputs(folder / "inputs"), folder / "run", epochs=1).folder


@pytest.fixture
def copy(finished: Path, tmp_path: Path) -> Path:
    shutil.copytree(finished, tmp_path / "run")
    return tmp_path / "run"


def text(name: str, old: str, new: str) -> Change:
    def change(folder: Path) -> None:
        content = (folder / name).read_text(encoding="utf-8")
        assert old in content
        (folder / name).write_text(content.replace(old, new), encoding="utf-8")

    return change


def manifest(edit: Callable[[dict[str, Any]], object]) -> Change:
    def change(folder: Path) -> None:
        made = read_json(folder / "manifest.json")
        edit(made)
        write_json(folder / "manifest.json", made)

    return change


def fewer_edges(folder: Path) -> None:
    graph = read_graph(folder / GRAPH)
    write_graph(folder / GRAPH, graph.prune(1))


def graph_of_others(folder: Path) -> None:
    """A graph of other labels, whose fingerprint the manifest has."""
    graph = read_graph(folder / GRAPH)
    others = LabelSet(tuple(Label(f"other {i}") for i in range(len(graph.labels))))
    write_graph(folder / GRAPH, CategoryGraph(others, graph.edges))
    manifest(lambda made: made["inputs"].update(graph=read_graph(folder / GRAPH).fingerprint))(folder)


def calibration(change: dict[str, Any]) -> Change:
    maps = {name: {"slope": 1.0, "intercept": 0.0} for name in ("seen", "unseen")}
    value = {"method": "logistic by seen", **maps, "threshold": 0.5, "unseen_threshold": 0.5, "thresholds": {}}

    def write(folder: Path) -> None:
        (folder / "calibration.json").write_text(json.dumps(value | change))

    return write


def flip(name: str) -> Change:
    """One bit of the last byte but three."""

    def change(folder: Path) -> None:
        data = bytearray((folder / name).read_bytes())
        data[-4] ^= 1
        (folder / name).write_bytes(data)

    return change


def test_a_run_that_nobody_touched_opens(copy: Path) -> None:
    run = Run.open(copy)
    assert json.loads((copy / "manifest.json").read_text())["inputs"]["graph"] == run.graph.fingerprint  # type: ignore[union-attr]
    assert run.method().log_scale > 0


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (text(CONFIG, "alpha = 0.5", "alpha = 0.75"), "config.toml: was changed after training"),
        (text(CONFIG, "alpha = 0.5", "alpha = 75"), "config.toml: these options cannot be used"),
        (text(CONFIG, 'method = "label-propagation"', ""), "config.toml: names no method"),
        (text(CONFIG, 'method = "label-propagation"', 'method = "c3srt"'), "config.toml: there is no method 'c3srt'"),
        (fewer_edges, "graph.json: was changed after training"),
        (manifest(lambda made: made["options"].pop("split_stage")), "options.split_stage: is missing"),
        (manifest(lambda made: made["options"].pop("method")), "options.method: is missing"),
        (manifest(lambda made: made.update(schema=1)), "train it again: c2srt train with --overwrite"),
        (manifest(lambda made: made.pop("options")), "options: is missing"),
        (manifest(lambda made: made.pop("inputs")), "inputs: is missing"),
        (manifest(lambda made: made["options"].update(method=3)), "options.method: must be an object, is 3"),
        (manifest(lambda made: made["options"]["method"].update(method=[1])), "manifest.json: names no method"),
        (
            manifest(lambda made: made["options"]["method"].update(evil=1)),
            "manifest.json: these options cannot be used",
        ),
        (manifest(lambda made: made["options"].update(templates=[])), "options.templates: "),
        (
            manifest(lambda made: made["options"].update(templates=["{0.__class__}"])),
            r"templates\[0\]: has not one place",
        ),
        (manifest(lambda made: made["options"].update(templates=["{:>99999}"])), r"templates\[0\]: has not one place"),
        (
            manifest(lambda made: made["options"].update(split_stage=99)),
            "options: split stage 99 lies behind the last of",
        ),
        (manifest(lambda made: made["options"].update(dim=31)), "the label embeddings are damaged or of other labels"),
        (manifest(lambda made: made["options"]["pixels"].update(size="64")), "options.pixels.size: must be a whole"),
        (text("labels.csv", "thing 0,", "thing 9,"), "the label embeddings are damaged or of other labels"),
        (text("labels.csv", "thing 0,", "Thing 1,"), "labels.csv: the labels are damaged"),
        (text("labels.csv", ",1\n", ",2\n"), "seen must be 0 or 1, is '2'"),
        (graph_of_others, "graph.json: was changed after training"),
        (calibration({"threshold": float("inf")}), "calibration.json: cannot be read as JSON|must be"),
        (calibration({"thresholds": {"thing 99": 0.5}}), "calibration.json: is of other labels"),
        (flip(TEXT), "the label embeddings are damaged"),
    ],
)
def test_what_was_changed_is_refused(change: Change, match: str, copy: Path) -> None:
    change(copy)
    with pytest.raises(InputError, match=match):
        Run.open(copy)


def test_weights_of_another_shape_are_refused(copy: Path) -> None:
    weights = load_file(copy / WEIGHTS)
    name = next(name for name, value in weights.items() if value.ndim == 2)
    write_weights(copy, {**weights, name: weights[name][:-1]})
    with pytest.raises(InputError, match="the weights are not those of its config"):
        Run.open(copy).method()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_refused(copy: Path, value: float) -> None:
    weights = load_file(copy / WEIGHTS)
    name = sorted(weights)[0]
    write_weights(copy, {**weights, name: torch.full_like(weights[name], value)})
    with pytest.raises(InputError, match="the weights are no finite numbers") as refused:
        Run.open(copy).method()
    assert refused.value.problems == (name,)


def test_one_wrong_bit_of_the_weights_is_found(copy: Path) -> None:
    flip(WEIGHTS)(copy)
    with pytest.raises(InputError, match=r"model\.safetensors: is damaged: its checksum is another one"):
        Run.open(copy).method()


class TestAnotherMachine:
    """The backbone of a run may lie elsewhere, as long as it is the same one."""

    @pytest.fixture
    def model(self, finished: Path, tmp_path: Path) -> Iterator[Path]:
        """The backbone's folder, which has gone from where it was."""
        there, here = finished.parent / "inputs/model", tmp_path / "elsewhere"
        there.rename(here)
        yield here
        here.rename(there)

    def test_the_same_weights_by_another_name(self, finished: Path, model: Path) -> None:
        run = Run.open(finished)
        with pytest.raises(InputError, match=r"its backbone local-dir:.* cannot be used") as refused:
            run.method()
        assert "--backbone" in str(refused.value.hint)
        method = run.method(asked=f"local-dir:{model}")
        assert method.backbone.id == f"local-dir:{model}"
        stored = load_file(finished / WEIGHTS)
        assert all(torch.equal(value.cpu(), stored[name]) for name, value in method.learned().items())

    @pytest.mark.parametrize(
        ("how", "said"),
        [
            ({"seed": 1}, "weights_sha256: "),
            ({"quick_gelu": True}, "config_sha256: "),
            ({"vision_cfg": {"image_size": 96}}, "grid: (4, 4) there, (6, 6) here"),
            ({"vision_cfg": {"layers": 4}}, "depth: 3 there, 4 here"),
        ],
    )
    def test_another_one_is_refused(
        self, finished: Path, model: Path, tmp_path: Path, how: dict[str, Any], said: str
    ) -> None:
        other = write_tiny_model(tmp_path / "other", **how)
        with pytest.raises(UsageError, match="is not the backbone that this was made with") as refused:
            Run.open(finished).method(asked=other)
        assert any(problem.startswith(said) for problem in refused.value.problems)
        shutil.copytree(tmp_path / "other", Run.open(finished).made.backbone.removeprefix("local-dir:"))
        try:
            with pytest.raises(InputError, match="was made with another backbone") as found:
                Run.open(finished).method()
        finally:
            shutil.rmtree(Run.open(finished).made.backbone.removeprefix("local-dir:"))
        assert any(problem.startswith(said) for problem in found.value.problems)
        assert model.is_dir()


def test_a_run_under_the_names_of_before_opens(copy: Path) -> None:
    """Of the time when stages were cut, patch attention was called dense, and trained stages a tail."""
    weights = Run.open(copy).method().learned()
    made = read_json(copy / "manifest.json")
    options = {{"split_stage": "cut", "patch_attention": "dense"}.get(n, n): v for n, v in made["options"].items()}
    options["method"] |= {"patch_attention": "vv"}
    write_json(copy / "manifest.json", made | {"options": options})
    text(CONFIG, 'patch_attention = "none"', 'patch_attention = "vv"')(copy)
    write_weights(copy, {n.replace("visual.", "tail.", 1): weight for n, weight in weights.items()})
    run = Run.open(copy)
    assert (run.made.split_stage, run.options.patch_attention) == (made["options"]["split_stage"], "value")
    found = run.method().learned()
    assert any(name.startswith("visual.") for name in found)
    assert all(torch.equal(found[name], weight) for name, weight in weights.items())
