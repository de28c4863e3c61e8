import json
from pathlib import Path
from typing import Any

import pytest

from c2srt_cli.datasets.coco import SEEN_48, UNSEEN_17
from c2srt_cli.datasets.ram_json import clean, read
from c2srt_cli.datasets.source import Source
from c2srt_cli.errors import InputError
from c2srt_cli.labels import LabelSet

REAL = Path(__file__).parents[3] / "shared/data/ram-benchmarks/classes.json"


def write(path: Path, images: list[Any], classes: list[str]) -> Path:
    path.write_text(json.dumps({"images": images, "classes": classes}))
    return path


def test_one_file(tmp_path: Path) -> None:
    images = [
        ["/mnt/nas/x/a/1.jpg", ["habor", "sea", "habor", "ships"]],
        ["/mnt/nas/x/a/2.jpg", []],
        ["/mnt/nas/x/b.jpg", ["sea"]],
    ]
    path = write(tmp_path / "test_MLRSNet.json", images, ["sea", "habor"])
    with pytest.raises(InputError, match="3 of 3 paths are absolute") as refused:
        read(Source(path), "files")
    assert refused.value.hint is not None
    assert "--prefix /mnt/nas/x/ " in refused.value.hint
    source = Source(path, images=tmp_path / "photos", prefix="/mnt/nas/x/")
    found = read(source, "files")
    assert found.paths == ("a/1.jpg", "a/2.jpg", "b.jpg")
    assert found.root == tmp_path / "photos"
    assert [(label.name, label.id) for label in found.labels] == [("sea", ""), ("harbor", "habor")]
    assert [found.positive.row(i).tolist() for i in range(3)] == [[0, 1], [], [0]]
    assert found.seen.all()
    assert set(found.split) == {"test"}
    assert source.remarks == ["test_MLRSNet.json: names that are no class, dropped: ships"]


def test_a_folder(tmp_path: Path) -> None:
    seen, unseen = ["person", "car"], ["cat"]
    write(tmp_path / "train_48.json", [["t/1.jpg", ["person"]]], seen)
    write(tmp_path / "test_17_filtered.json", [["v/1.jpg", ["cat", "cat"]]], unseen)
    write(tmp_path / "test_65_filtered.json", [["v/1.jpg", ["car"]], ["v/2.jpg", ["person"]]], [*seen, *unseen])
    source = Source(tmp_path)
    found = read(source, "files")
    names = found.labels.names
    assert {name for name, known in zip(names, found.seen, strict=True) if not known} == {"cat"}
    labels = {path: {names[label] for label in found.positive.row(i)} for i, path in enumerate(found.paths)}
    assert labels == {"t/1.jpg": {"person"}, "v/1.jpg": {"cat", "car"}, "v/2.jpg": {"person"}}
    assert (found.root, len(source.used)) == (tmp_path, 3)
    write(tmp_path / "train_more.json", [["v/1.jpg", ["car"]]], seen)
    with pytest.raises(InputError) as refused:
        read(Source(tmp_path), "files")
    assert refused.value.problems == ("v/1.jpg is in test too",)


def test_coco_and_its_counts(tmp_path: Path) -> None:
    classes = [*SEEN_48.split(), *UNSEEN_17.split()]
    path = write(tmp_path / "test_65_filtered.json", [["a.jpg", ["cat", "person", "car"]], ["b.jpg", ["cat"]]], classes)
    source = Source(path)
    found = read(source, "48-17")
    assert (found.seen.sum(), len(found.seen)) == (48, 65)
    assert source.counts == [
        {"what": f"images of {path.name}", "found": 2, "expected": 6392, "agrees": False},
        {"what": f"labels of an image of {path.name}", "found": 2.0, "expected": 2.57, "agrees": False},
    ]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("test.json", "{"),
        ("test.json", "[]"),
        ("test.json", '{"images": [["a.jpg"]], "classes": ["cat"]}'),
        ("test.json", '{"images": [["a.jpg", ["cat"]]], "classes": ["cat", "Cat"]}'),
        ("test.json", '{"images": [], "classes": ["cat"]}'),
        ("test.json", '{"images": [["../a.jpg", ["cat"]]], "classes": ["cat"]}'),
        ("mine.json", '{"images": [["a.jpg", ["cat"]]], "classes": ["cat"]}'),
    ],
)
def test_damaged(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(InputError) as refused:
        read(Source(tmp_path / name), "files")
    assert refused.value.where == str(tmp_path / name)


def test_an_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no"):
        read(Source(tmp_path), "files")


@pytest.mark.parametrize(
    ("raw", "name", "key"),
    [
        ("Female", "female", ""),
        ("AgeOver60", "age over 60", "AgeOver60"),
        ("Age18-60", "age 18-60", "Age18-60"),
        ("HoldObjectsInFront", "hold objects in front", "HoldObjectsInFront"),
        ("Hand Bag", "hand bag", ""),
        ("Wind Trubine", "wind turbine", "Wind Trubine"),
        ("Solar Pannel", "solar panel", "Solar Pannel"),
        ("Pusing", "pushing", "Pusing"),
        ("TShirt", "t-shirt", "TShirt"),
        ("tv", "tv", ""),
    ],
)
def test_names_are_cleaned(raw: str, name: str, key: str) -> None:
    assert (clean(raw).name, clean(raw).id) == (name, key)


@pytest.mark.skipif(not REAL.exists(), reason="needs ../shared/data/ram-benchmarks")
def test_the_real_classes() -> None:
    for classes in json.loads(REAL.read_text()).values():
        labels = LabelSet(tuple(map(clean, classes)))
        assert len({label.name for label in labels}) == len({label.key for label in labels}) == len(classes)
        assert all(label.name == label.name.lower() for label in labels)
