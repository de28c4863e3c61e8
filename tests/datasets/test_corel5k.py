import csv
from pathlib import Path

import pytest

from c2srt_cli.datasets.corel5k import NUS_81, read
from c2srt_cli.datasets.source import Source
from c2srt_cli.errors import InputError

REAL = Path(__file__).parents[3] / "shared/data/corel5k"
CONCEPTS = Path(__file__).parents[3] / "shared/data/nus-wide/Concepts81.txt"


@pytest.fixture
def small(tmp_path: Path) -> Path:
    (tmp_path / "words.txt").write_text("city\nmountain\nsky\nnets\n")
    (tmp_path / "annotations.csv").write_text(
        "path,split,labels\nimages/1.jpg,train,city;sky\nimages/2.jpg,train,mountain\nimages/3.jpg,test,sky;nets\n"
    )
    return tmp_path


def test_unseen_words_are_names_of_nus_wide(small: Path) -> None:
    source = Source(small)
    found = read(source, "nus-81")
    assert dict(zip(found.labels.names, found.seen.tolist(), strict=True)) == {
        "city": True,
        "mountain": False,
        "sky": False,
        "nets": True,
    }
    assert found.root == small
    figures = {count["what"]: count for count in source.counts}
    assert figures["words"] == {"what": "words", "found": 4, "expected": 374, "agrees": False}
    assert figures["training images without a seen word"]["found"] == 1
    assert read(Source(small), "").seen.all()


def test_faults(small: Path) -> None:
    path = small / "annotations.csv"
    path.write_text(path.read_text() + "images/4.jpg,test,moon\n")
    with pytest.raises(InputError) as refused:
        read(Source(small), "nus-81")
    assert refused.value.problems == ("line 5: unknown labels moon",)
    (small / "words.txt").write_text("city\nCity\n")
    with pytest.raises(InputError, match="not what it should be"):
        read(Source(small), "nus-81")
    (small / "words.txt").unlink()
    path.unlink()
    with pytest.raises(InputError, match="2 of 2 files of the dataset are missing") as refused:
        read(Source(small), "nus-81")
    assert [problem.split(":")[0] for problem in refused.value.problems] == ["annotations.csv", "words.txt"]
    assert "kobus.ca" in refused.value.problems[0]


@pytest.mark.skipif(not CONCEPTS.exists(), reason="needs ../shared/data/nus-wide")
def test_the_81_names() -> None:
    assert NUS_81.split() == CONCEPTS.read_text().split()


@pytest.mark.skipif(not REAL.exists(), reason="needs ../shared/data/corel5k")
def test_real() -> None:
    source = Source(REAL)
    found = read(source, "nus-81")
    assert all(count["agrees"] for count in source.counts)
    assert len(source.counts) == 8
    names = found.labels.names
    with (REAL / "annotations.csv").open(newline="") as file:
        for i, row in enumerate(csv.DictReader(file)):
            assert (row["path"], row["split"]) == (found.paths[i], found.split[i])
            assert {names[label] for label in found.positive.row(i)} == set(row["labels"].split(";"))
