import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from photos import write_photos

from c2srt_cli.cli import main
from c2srt_cli.cli.prepare import DatasetName
from c2srt_cli.datasets.annotations import read_annotations
from c2srt_cli.datasets.prepare import DATASETS, PrepareOptions, prepare
from c2srt_cli.errors import InputError, UsageError


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """A table of eight images, two of which are not there."""
    write_photos(tmp_path, 6)
    rows = [f"p{i:04}.png,{'cat;dog' if i % 2 else 'zebra'},{'test' if i > 5 else 'train'}" for i in range(8)]
    (tmp_path / "photos.csv").write_text("path,labels,split\n" + "\n".join(rows) + "\n")
    return tmp_path / "photos.csv"


def options(table: Path, **changes: Any) -> PrepareOptions:
    return PrepareOptions(**{"dataset": "table", "source": table, "out": table.parent / "a", **changes})


def test_the_command_knows_every_dataset() -> None:
    assert [name.value for name in DatasetName] == list(DATASETS)


def test_what_is_written_is_what_is_returned(table: Path) -> None:
    result = prepare(options(table))
    found = read_annotations(table.parent / "a")
    assert found.fingerprint == result.annotations.fingerprint
    assert found.notes == result.annotations.notes
    assert result.missing == ("p0006.png", "p0007.png")
    assert found.notes["missing_images"] == 2
    assert found.notes["splits"]["test"] == {
        "images": 2,
        "without_a_seen_label": 0,
        "without_a_label": 0,
        "seen_labels_each": 1.5,
        "unseen_labels_each": 0.0,
    }
    assert found.seen.all()


def test_labels_that_are_unseen(table: Path) -> None:
    unseen = table.parent / "unseen.txt"
    unseen.write_text("dog\nzebra\n")
    found = prepare(options(table, unseen=unseen)).annotations
    assert found.seen.tolist() == [True, False, False]
    assert found.notes["splits"]["train"]["without_a_seen_label"] == 3
    assert found.notes["splits"]["train"]["seen_labels_each"] == 0.5
    assert found.notes["splits"]["train"]["unseen_labels_each"] == 1.0
    drawn = prepare(options(table, unseen_share=0.34, seed=1, out=table.parent / "b")).annotations
    assert drawn.seen.sum() == 2
    made = json.loads((table.parent / "b/manifest.json").read_text())
    assert (made["options"]["unseen_share"], made["options"]["seed"]) == (0.34, 1)
    assert len(made["options"]["unseen"]) == 1


def test_again_and_with_other_options(table: Path) -> None:
    prepare(options(table))
    before = (table.parent / "a/annotations.parquet").read_bytes()
    prepare(options(table))
    assert (table.parent / "a/annotations.parquet").read_bytes() == before
    with pytest.raises(InputError, match="other options") as refused:
        prepare(options(table, root=table.parent / "new"))
    assert any(problem.startswith("root: ") for problem in refused.value.problems)
    assert prepare(options(table, root=table.parent / "new", overwrite=True)).annotations.root == table.parent / "new"


def test_contradictions(table: Path) -> None:
    with pytest.raises(UsageError, match="--unseen and --unseen-share both"):
        prepare(options(table, unseen=table, unseen_share=0.5))
    with pytest.raises(UsageError, match="table has no protocol 'nus-81': it has none"):
        prepare(options(table, protocol="nus-81"))
    with pytest.raises(UsageError, match="it has 48-17, 65-15"):
        prepare(options(table, dataset="coco", protocol="65-16"))
    with pytest.raises(InputError, match="no such file or folder"):
        prepare(options(table.parent / "nowhere.csv"))
    assert not (table.parent / "a").exists()


@pytest.mark.parametrize("name", ["../p.jpg", "/p.jpg", "p\ud800.jpg"])
def test_paths_that_no_row_can_hold(tmp_path: Path, name: str) -> None:
    images = [[name, ["cat"]], ["good.jpg", []]]
    (tmp_path / "test.json").write_text(json.dumps({"images": images, "classes": ["cat"]}))
    with pytest.raises(InputError):
        prepare(PrepareOptions("ram-json", tmp_path / "test.json", tmp_path / "a"))


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int | str | None:
    monkeypatch.setattr(sys, "argv", ["c2srt", *map(str, arguments)])
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO()))
    try:
        main()
    except SystemExit as end:
        return end.code
    return 0


def test_from_the_command_line_to_embeddings(
    table: Path, tiny: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out, embeddings = table.parent / "a", table.parent / "e"
    assert run(monkeypatch, "prepare", "table", table, "-o", out, "--unseen-share", 0.4) in {0, None}
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "2 of 8 images are not below" in captured.err
    assert "3 labels, 2 of them seen" in captured.err
    fast = ("--backbone", tiny, "--precision", "float32", "--batch-size", 3, "--workers", 2)
    assert run(monkeypatch, "embed", "--annotations", out, "-o", embeddings, *fast) == 5
    assert "not embedded: p0007.png: missing" in capsys.readouterr().err
    assert run(monkeypatch, "embed", "-a", out, "-o", embeddings, *fast, "--allow-failures") in {0, None}
    assert run(monkeypatch, "embed", table.parent, "-a", out, "-o", embeddings, *fast) == 2
    assert run(monkeypatch, "embed", "-o", embeddings, *fast) == 2
    assert "name either images or --annotations" in capsys.readouterr().err
    assert run(monkeypatch, "prepare", "nus-wide", table.parent, "-o", out) == 3
    captured = capsys.readouterr()
    assert "ConceptsList/Concepts81.txt: from https://github.com/NExTplusplus/NUS-WIDE" in captured.err
    assert run(monkeypatch, "prepare", "tables", table, "-o", out) == 2
