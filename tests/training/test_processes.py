"""Two processes of ``torchrun`` against one: the same losses, weights and errors, from tokens and from images."""

import json
import os
import subprocess
import sys
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from double import float64
from safetensors.torch import load_file
from tiny_runs import write_with_graph

from c2srt_cli.artifacts import read_json
from c2srt_cli.backbone import precision
from c2srt_cli.cli import main
from c2srt_cli.datasets.annotations import read_annotations, write_annotations
from c2srt_cli.training import run as runs

#: By what is trained: the method, and options of its own. A batch of 8 is one of 4 in each process; the last are less.
#: IST's attention does not change with its biases, whose gradients are rounding alone (1e-11), which Adam makes steps
#: of: at its own rate of 1e-2 some of them differ by 1.8e-4 in float32, and by 3e-13 in float64.
TRAININGS: dict[str, tuple[str, dict[str, Any]]] = {
    "tokens": ("label-propagation", {"sampled_negatives": 1, "validation": 0.2}),
    "IST in float64": ("c2srt", {"edge_dropout": 0.0, "validation": 0.2}),
    "images": ("label-propagation", {"sampled_negatives": 2, "validation": 0.2}),
    "unreadable": ("clip-ft", {"validation": 0.3, "batch_size": 4, "augment": "false"}),
}


def arguments(name: str, inputs: Path, out: Path) -> list[str]:
    method, given = TRAININGS[name]
    own = {"batch_size": 8, "lr": 1e-3, "calibrate": "false", **given}
    images = name in {"images", "unreadable"}
    annotations = inputs / ("spoiled" if name == "unreadable" else "a")
    command = [method, "-a", str(annotations), "--epochs", "2", "--out", str(out / name), "--device", "cpu"]
    command += ["--images", "--backbone", f"local-dir:{inputs / 'model'}"] if images else ["-e", str(inputs / "e")]
    command += [] if method == "clip-ft" else ["-g", str(inputs / "graph.json")]
    return command + [part for option, value in own.items() for part in ("--set", f"{option}={value}")]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Everything in one process in ``one``, in two in ``two``, and what these have said."""
    folder = tmp_path_factory.mktemp("processes")
    write_with_graph(folder, photos=30, train=22, labels=8, seen=5)
    known = read_annotations(folder / "a")
    write_annotations(folder / "spoiled", replace(known, root=folder / "some"), {})
    (folder / "some").mkdir()
    for number in range(30):
        name = f"p{number:04}.png"
        spoiled = number not in {0, 1, 2, 3, 4, 5, 11}
        (folder / "some" / name).write_bytes(b"none" if spoiled else (folder / "photos" / name).read_bytes())
    with pytest.MonkeyPatch.context() as patch:
        # products are rounded otherwise in batches of another size, those in bfloat16 much
        patch.setattr(precision, "native_precision", lambda *_: "float32")
        patch.setattr(precision, "_batch", lambda *_: 4)
        patch.setenv("C2SRT_HOME", str(folder / "home"))
        for name in TRAININGS:
            patch.setattr(sys, "argv", ["c2srt", "train", *arguments(name, folder, folder / "one")])
            with float64() if "float64" in name else nullcontext(), pytest.raises(SystemExit) as ended_well:
                main()
            assert ended_well.value.code == 0
    (folder / "two" / "mine").mkdir(parents=True)
    (folder / "two" / "mine" / "notes.txt").write_text("mine")
    several = [arguments(name, folder, folder / "two") for name in TRAININGS]
    several.append([*arguments("tokens", folder, folder), "--out", str(folder / "two" / "mine")])
    (folder / "trainings.json").write_text(json.dumps(several))
    ended = subprocess.run(
        [
            *(sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone"),
            *(str(Path(__file__).parent / "several.py"), str(folder)),
        ],
        check=False,
        capture_output=True,
        text=True,
        timeout=200,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert ended.returncode == 0, ended.stderr
    return folder, ended.stderr


@pytest.mark.parametrize("name", TRAININGS)
def test_two_processes_train_as_one(name: str, trained: tuple[Path, str]) -> None:
    """The same losses in each epoch and the same weights; rankings over images compare those of both processes."""
    folder, _ = trained
    one, two = (np.genfromtxt(folder / side / name / runs.HISTORY, delimiter=",")[1:] for side in ("one", "two"))
    assert one.shape[0] == 2
    exactly = "float64" in name
    np.testing.assert_allclose(one, two, atol=1e-9 if exactly else 1e-5)
    first, second = (load_file(folder / side / name / runs.WEIGHTS) for side in ("one", "two"))
    for weight, value in first.items():
        atol, rtol = (1e-8, 1e-6) if exactly else (1e-4, 1e-3)
        torch.testing.assert_close(second[weight], value, atol=atol, rtol=rtol)
    assert read_json(folder / "one" / name / runs.METRICS) == read_json(folder / "two" / name / runs.METRICS)


def test_what_either_process_cannot_read_is_told_once(trained: tuple[Path, str]) -> None:
    """Batches of two images a process, most without any that can be read, on one side or on both."""
    folder, said = trained
    assert said.count("15 images cannot be read and are left out: p0006.png") == 1
    assert read_json(folder / "two/unreadable" / runs.METRICS)["train"] == 4
    assert read_json(folder / "two/unreadable" / runs.METRICS)["validation"] == 3


def test_an_error_of_the_first_process_ends_both(trained: tuple[Path, str]) -> None:
    _, said = trained
    assert said.count("holds no run") == 1
    assert said.count(f"training {len(TRAININGS)} ended with") == 2
    assert said.count("ended with") == 2
