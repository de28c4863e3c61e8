"""Every command that writes, on file systems that do less: what can be done is done, and what cannot is said once."""

import shutil
from pathlib import Path

import lesser_file_system
import pytest
from command_line import Run
from photos import content, write_photos
from tiny_runs import BATCH, write_inputs

FAST = ("--precision", "float32", "--batch-size", BATCH, "--workers", 1)
#: What the one line says of each file system.
SAID = {
    "folders": "cannot flush folders to the disk: after a power cut run the same command again",
    "no-fsync": "cannot flush files to the disk or flush folders to the disk: after a power cut",
    "fsync-nosys": "cannot flush files to the disk or flush folders to the disk: after a power cut",
    "no-locks": "cannot lock files: start no second c2srt there",
    "locks": "cannot lock files: start no second c2srt there",
}


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_inputs(tmp_path_factory.mktemp("inputs"))
    (folder / "table.csv").write_text("path,labels\n" + "".join(f"photos/p{i:04}.png,cat\n" for i in range(4)))
    return folder


def command(stage: str, inputs: Path, out: Path, tiny: str) -> tuple[object, ...]:
    backbone = ("--backbone", tiny)
    tag = ("tag", out / "photos", "-l", "cat, dog, tree", "--top-k", 2, *backbone, *FAST)
    return {
        "xmp": (*tag, "--format", "xmp"),
        "txt": (*tag, "--format", "txt"),
        "jsonl": (*tag, "--out", out / "tags.jsonl", "--explain", out / "why.jsonl"),
        "parquet": (*tag, "--out", out / "tags.parquet"),
        "embed": ("embed", out / "photos", "--out", out / "e", *backbone, *FAST),
        "build-graph": (
            "build-graph",
            "-l",
            "cat, dog, tree",
            "--source",
            "embedding",
            "-o",
            out / "g.json",
            *backbone,
        ),
        "prepare": ("prepare", "table", inputs / "table.csv", "--out", out / "a"),
        "evaluate": ("evaluate", "zero-shot", "-e", inputs / "e", "-a", inputs / "a", "--scores", out / "scores"),
        "train": (
            *("train", "clip-ft", "-e", inputs / "e", "-a", inputs / "a", "-o", out / "run"),
            *("--set", "training.epochs=1", "--set", "calibrate=false"),
        ),
    }[stage]


def written(folder: Path) -> dict[str, bytes]:
    """But what speaks of the folder itself."""
    return {name: data for name, data in content(folder).items() if "manifest" not in name}


@pytest.mark.parametrize(
    ("stage", "name"),
    [
        *(("xmp", name) for name in lesser_file_system.FAULTS if "modes" not in name),
        *(("jsonl", name) for name in ("folders-inval", "no-fsync", "no-locks", "no-replacing")),
        *(
            (stage, name)
            for stage in ("embed", "train", "build-graph")
            for name in ("folders-io", "no-fsync", "no-locks")
        ),
        *(
            (stage, name)
            for stage in ("txt", "parquet", "prepare", "evaluate")
            for name in ("no-fsync", "locks-notsup")
        ),
    ],
)
def test_what_can_be_done_is_done(  # noqa: PLR0917
    stage: str, name: str, inputs: Path, tiny: str, tmp_path: Path, c2srt: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_photos(tmp_path / "lesser/photos", 2)
    shutil.copytree(tmp_path / "lesser", tmp_path / "whole")
    assert c2srt(*command(stage, inputs, tmp_path / "whole", tiny)).code == 0
    with monkeypatch.context() as patch:
        lesser_file_system.play(patch, tmp_path / "lesser", name)
        done = c2srt(*command(stage, inputs, tmp_path / "lesser", tiny))
    assert done.code == 0, done.err
    wanted = next((text for start, text in SAID.items() if name.startswith(start)), "")
    lines = [line for line in done.err.splitlines() if line.startswith("the file system of ")]
    assert len(lines) <= 1
    if lines:
        assert wanted in lines[0]
        assert str(tmp_path / "lesser") in lines[0]
    elif name not in {"no-times", "no-replacing", "files-mounted", "folders-not-opened"}:
        assert stage in {"prepare", "evaluate", "build-graph"}, "nothing is locked there"
        assert "lock" in name
    whole, lesser = written(tmp_path / "whole"), written(tmp_path / "lesser")
    assert lesser.keys() == whole.keys()
    if stage in {"xmp", "txt", "jsonl", "parquet", "build-graph"}:
        assert lesser == whole


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("no-modes", "cannot set the mode of files: they have that of new ones"),
        ("modes-notsup", "cannot set the mode of files"),
        ("no-replacing", "cannot replace files: if a run is killed run it again"),
        ("files-mounted", "cannot replace files"),
    ],
)
@pytest.mark.parametrize("stage", ["xmp", "jsonl", "build-graph"])
def test_files_that_are_there_already(  # noqa: PLR0917
    stage: str,
    name: str,
    said: str,
    inputs: Path,
    tiny: str,
    tmp_path: Path,
    c2srt: Run,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write_photos(tmp_path / "photos", 2)
    line = command(stage, inputs, tmp_path, tiny)
    assert c2srt(*line).code == 0
    before = content(tmp_path)
    for path in tmp_path.rglob("*"):
        if path.is_file():
            path.chmod(0o604)
    other = [word.replace("dog", "red dog") if isinstance(word, str) else word for word in line]
    with monkeypatch.context() as patch:
        lesser_file_system.play(patch, tmp_path, name)
        done = c2srt(*other, *(() if stage == "xmp" else ("--overwrite",)))
    assert done.code == 0, done.err
    assert [said in line for line in done.err.splitlines() if line.startswith("the file system of ")] == [True]
    now = content(tmp_path)
    assert now.keys() == before.keys()
    assert now != before
    assert any(b"red dog" in data for data in now.values())
