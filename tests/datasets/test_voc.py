from pathlib import Path

import pytest

from c2srt_cli.datasets.source import Source
from c2srt_cli.datasets.voc import NAMES, read
from c2srt_cli.errors import InputError


def described(*objects: tuple[str, int]) -> str:
    inside = "".join(f"<object><name>{name}</name><difficult>{hard}</difficult></object>" for name, hard in objects)
    return f"<annotation><filename>x.jpg</filename><!-- by hand -->{inside}</annotation>"


def write(folder: Path, train: str = "trainval", test: str = "test") -> None:
    for name in ("ImageSets/Main", "Annotations"):
        (folder / name).mkdir(parents=True)
    (folder / f"ImageSets/Main/{train}.txt").write_text("000005\n000007\n")
    (folder / f"ImageSets/Main/{test}.txt").write_text("000001\n")
    (folder / "Annotations/000005.xml").write_text(described(("chair", 0), ("Chair", 0), ("dog", 1), ("tvmonitor", 0)))
    (folder / "Annotations/000007.xml").write_text(described(("car", 1)))
    (folder / "Annotations/000001.xml").write_text("<annotation><object><name>dog</name></object></annotation>")


@pytest.mark.parametrize("lists", [("trainval", "test"), ("train", "val")])
def test_what_is_difficult_does_not_count(tmp_path: Path, lists: tuple[str, str]) -> None:
    write(tmp_path, *lists)
    source = Source(tmp_path)
    found = read(source, "")
    assert found.labels.names == NAMES
    assert len(NAMES) == 20
    assert found.seen.all()
    assert found.paths == ("JPEGImages/000005.jpg", "JPEGImages/000007.jpg", "JPEGImages/000001.jpg")
    assert found.split.tolist() == ["train", "train", "test"]
    labels = [{NAMES[label] for label in found.positive.row(i)} for i in range(3)]
    assert labels == [{"chair", "tvmonitor"}, set(), {"dog"}]
    assert len(source.remarks) == (lists[1] == "val")


def test_missing(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "Annotations/000007.xml").unlink()
    with pytest.raises(InputError, match="1 of 3 files") as refused:
        read(Source(tmp_path), "")
    assert refused.value.problems[0].startswith("Annotations/000007.xml: from http://host.robots")
    (tmp_path / "ImageSets/Main/test.txt").unlink()
    with pytest.raises(InputError, match="1 of 2 files"):
        read(Source(tmp_path), "")


@pytest.mark.parametrize(
    "text",
    [
        "<annotation>",
        "",
        described(("unicorn", 0)),
        '<!DOCTYPE a [<!ENTITY b "c">]><annotation/>',
    ],
)
def test_damaged(tmp_path: Path, text: str) -> None:
    write(tmp_path)
    path = tmp_path / "Annotations/000001.xml"
    path.write_text(text)
    with pytest.raises(InputError) as refused:
        read(Source(tmp_path), "")
    assert refused.value.where == str(path)


def test_a_image_in_both_lists(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "ImageSets/Main/test.txt").write_text("000005\n")
    with pytest.raises(InputError) as refused:
        read(Source(tmp_path), "")
    assert refused.value.problems == ("1 images stand twice in the lists",)
