"""Runs on disk: what was changed or damaged after training is refused."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file
from tiny_runs import train_run, write_inputs

from c2srt_cli.artifacts import read_json, write_json
from c2srt_cli.errors import InputError
from c2srt_cli.graph.category_graph import read_graph, write_graph
from c2srt_cli.training.run import CONFIG, GRAPH, WEIGHTS, Run

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
        (manifest(lambda made: made["options"].pop("cut")), "manifest.json: lacks cut"),
        (manifest(lambda made: made["options"].pop("method")), "manifest.json: lacks method"),
        (manifest(lambda made: made.update(schema=1)), "train it again: c2srt train with --overwrite"),
        (manifest(lambda made: made.pop("options")), "options: is missing"),
        (manifest(lambda made: made.pop("inputs")), "inputs: is missing"),
        (manifest(lambda made: made["options"].update(method=3)), "manifest.json: is damaged"),
    ],
)
def test_what_was_changed_is_refused(change: Change, match: str, copy: Path) -> None:
    change(copy)
    with pytest.raises(InputError, match=match):
        Run.open(copy)


def test_weights_of_another_shape_are_refused(copy: Path) -> None:
    weights = load_file(copy / WEIGHTS)
    name = next(name for name, value in weights.items() if value.ndim == 2)
    save_file({**weights, name: weights[name][:-1].contiguous()}, copy / WEIGHTS)
    with pytest.raises(InputError, match="the weights are not those of its config"):
        Run.open(copy).method()
