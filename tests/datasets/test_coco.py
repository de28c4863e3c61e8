import json
from pathlib import Path
from typing import Any

import pytest

from c2srt_cli.datasets.coco import SEEN_48, UNSEEN_15, UNSEEN_17, read
from c2srt_cli.datasets.source import Source
from c2srt_cli.errors import InputError

REAL = Path(__file__).parents[3] / "shared/data"
FIFTEEN = [name.replace("_", " ") for name in UNSEEN_15.split()]
OTHERS = [f"other {i}" for i in range(80 - len({*SEEN_48.split(), *UNSEEN_17.split(), *FIFTEEN}))]
NAMES = sorted({*SEEN_48.split(), *UNSEEN_17.split(), *FIFTEEN, *OTHERS})
IDS = {name: 3 * i + 1 for i, name in enumerate(NAMES)}  # sparse, as COCO's


def instances(images: dict[int, list[str]], part: str) -> dict[str, Any]:
    return {
        "categories": [{"id": number, "name": name, "supercategory": "x"} for name, number in IDS.items()],
        "images": [{"id": number, "file_name": f"COCO_{part}_{number:012}.jpg"} for number in images],
        "annotations": [
            {"id": i, "image_id": number, "category_id": IDS[name], "iscrowd": 0, "area": 5.0}
            for number, names in images.items()
            for i, name in enumerate(names)
        ],
    }


def write(folder: Path, year: str = "2014") -> None:
    (folder / "annotations").mkdir()
    parts = {f"train{year}": {7: ["dog", "person", "dog"], 3: []}, f"val{year}": {9: ["cat", "hot dog"]}}
    for part, images in parts.items():
        (folder / f"annotations/instances_{part}.json").write_text(json.dumps(instances(images, part)))


@pytest.mark.parametrize("year", ["2014", "2017"])
def test_48_17(tmp_path: Path, year: str) -> None:
    write(tmp_path, year)
    source = Source(tmp_path)
    found = read(source, "48-17")
    names = found.labels.names
    assert names == tuple(name for name in NAMES if name in {*SEEN_48.split(), *UNSEEN_17.split()})
    assert {name for name, seen in zip(names, found.seen, strict=True) if not seen} == set(UNSEEN_17.split())
    assert found.paths == (
        f"train{year}/COCO_train{year}_000000000007.jpg",
        f"train{year}/COCO_train{year}_000000000003.jpg",
        f"val{year}/COCO_val{year}_000000000009.jpg",
    )
    assert found.split.tolist() == ["train", "train", "test"]
    assert [{names[label] for label in found.positive.row(i)} for i in range(3)] == [{"dog", "person"}, set(), {"cat"}]
    assert all(count["agrees"] for count in source.counts)
    assert "2,729" in source.remarks[0]


def test_65_15(tmp_path: Path) -> None:
    write(tmp_path)
    found = read(Source(tmp_path), "65-15")
    names = found.labels.names
    assert names == tuple(NAMES)
    assert {name for name, seen in zip(names, found.seen, strict=True) if not seen} == set(FIFTEEN)
    assert {names[label] for label in found.positive.row(2)} == {"cat", "hot dog"}
    assert len(read(Source(tmp_path), "").labels) == 80


def test_missing_and_damaged(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="2 of 2 files") as refused:
        read(Source(tmp_path), "48-17")
    assert "annotations_trainval2014.zip" in refused.value.problems[0]
    write(tmp_path)
    path = tmp_path / "annotations/instances_val2014.json"
    whole = path.read_text()
    broken: list[str] = [whole[: len(whole) // 2], "[]", "{}", whole.replace('"image_id": 9', '"image_id": 10')]
    broken += [whole.replace('"file_name"', '"name"'), whole.replace('"category_id": ', '"category_id": 9')]
    for text in broken:
        path.write_text(text)
        with pytest.raises(InputError) as refused:
            read(Source(tmp_path), "48-17")
        assert refused.value.where == str(path)
    for name in ("train", "val"):
        path = tmp_path / f"annotations/instances_{name}2014.json"
        path.write_text(json.dumps({"categories": [], "images": [], "annotations": []}))
    with pytest.raises(InputError) as refused:
        read(Source(tmp_path), "48-17")
    assert len(refused.value.problems) == 21


@pytest.mark.skipif(not REAL.exists(), reason="needs ../shared/data")
def test_the_published_divisions() -> None:
    names = (REAL / "coco/names80.txt").read_text().splitlines()
    classes = json.loads((REAL / "ram-benchmarks/classes.json").read_text())
    assert set(UNSEEN_17.split()) == set(classes["COCO-17"])
    assert {*SEEN_48.split(), *UNSEEN_17.split()} == set(classes["COCO-65"])
    assert len(SEEN_48.split()) == 48
    assert len(FIFTEEN) == 15
    assert set(FIFTEEN) <= set(names)
