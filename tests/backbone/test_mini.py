"""The embedded backbone: small, loadable without a network, and right about plain images."""

import json
from pathlib import Path

import pytest

from c2srt_cli.backbone import names
from c2srt_cli.cli import app
from c2srt_cli.demo import demo_photographs


def test_it_is_part_of_the_package_and_small() -> None:
    assert names.has_mini()
    files = [path for path in names.MINI.iterdir() if path.suffix in {".json", ".safetensors"}]
    assert sum(path.stat().st_size for path in files) <= 42e6


def test_a_cat_is_a_cat_and_a_motorcycle_a_motorcycle(tmp_path: Path) -> None:
    labels = tmp_path / "labels.txt"
    labels.write_text("cat\nmotorcycle\naeroplane\nbanana\nlaptop\nsnow\nchild\n")
    chosen = [path for path in demo_photographs() if path.name in {"chelsea.png", "motorcycle_left.png"}]
    out = tmp_path / "tags.jsonl"
    line = ["tag", *map(str, chosen), "-l", str(labels), "--backbone", "mini", "--out", str(out)]
    with pytest.raises(SystemExit) as stop:
        app(line)
    assert stop.value.code == 0
    best = {Path(row["path"]).name: row["tags"][0] for row in map(json.loads, out.read_text().splitlines())}
    assert {name: tag["label"] for name, tag in best.items()} == {
        "chelsea.png": "cat",
        "motorcycle_left.png": "motorcycle",
    }
    assert all(0.5 < tag["probability"] <= 1 for tag in best.values())
