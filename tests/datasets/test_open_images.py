from pathlib import Path

import numpy as np
import pytest

from c2srt_cli.datasets import open_images
from c2srt_cli.datasets.open_images import read
from c2srt_cli.datasets.source import Source
from c2srt_cli.errors import InputError

REAL = Path(__file__).parents[3] / "shared/data/open-images"
UNSEEN = (Path(open_images.__file__).with_name("open_images_unseen.txt")).read_text().split()
SEEN = ["/m/seen1", "/m/seen2", "/m/seen3"]
ROWS = {
    "train": ["b,verification,/m/seen1,1", "a,verification,/m/seen2,0", "b,crowdsource,/m/seen2,0", "c,v,/m/other,1"],
    "validation": ["d,verification,/m/seen1,1"],
    "test": [
        f"e,verification,{UNSEEN[0]},1",
        f"e,verification,{UNSEEN[399]},0",
        "f,verification,/m/seen1,0",
        "e,crowdsource,/m/seen3,0",
        "f,crowdsource,/m/seen1,1",
    ],
}


def write(folder: Path, rows: dict[str, list[str]] = ROWS) -> None:
    """The official files: three trainable classes, all 400 unseen ones."""
    (folder / "classes-trainable.txt").write_text("".join(f"{mid}\n" for mid in SEEN))
    names = [f'{SEEN[0]},"Bat, the animal"', f"{SEEN[1]},Snowshoe", f"{SEEN[2]},Snowshoe", "/m/other,Other"]
    names += [f"{mid},{'Snowshoe' if i == 5 else f'thing {i}'}" for i, mid in enumerate(UNSEEN)]
    (folder / "class-descriptions.csv").write_text("".join(f"{line}\n" for line in names))
    for part, lines in rows.items():
        path = folder / part / f"{part}-annotations-human-imagelabels.csv"
        path.parent.mkdir(exist_ok=True)
        path.write_text("ImageID,Source,LabelName,Confidence\n" + "".join(f"{line}\n" for line in lines))


def test_only_what_was_verified_is_known(tmp_path: Path) -> None:
    write(tmp_path)
    source = Source(tmp_path)
    found = read(source, "7186-400")
    assert found.paths == ("train/b.jpg", "train/a.jpg", "train/c.jpg", "validation/d.jpg", "test/e.jpg", "test/f.jpg")
    assert found.split.tolist() == ["train"] * 3 + ["val"] + ["test"] * 2
    assert not found.complete
    assert [label.id for label in found.labels] == [*SEEN, *UNSEEN]
    assert (found.labels.labels[0].name, len(set(found.labels.names))) == ("Bat, the animal", 403)
    assert found.seen.tolist() == [True] * 3 + [False] * 400
    expected = np.zeros((6, 403), np.int8)
    expected[0, [0, 1]] = 1, -1
    expected[1, 1] = -1
    expected[3, 0] = 1
    expected[4, [2, 3, 402]] = -1, 1, -1
    expected[5, 0] = 1  # found both absent and present
    np.testing.assert_array_equal(found.truth(np.arange(6), np.arange(403)), expected)
    assert found.negative.row(5).tolist() == []
    figures = {count["what"]: count["found"] for count in source.counts}
    assert figures["labels found both present and absent, now present"] == 1
    assert figures["training images with a verified seen class"] == 2
    assert figures["test images"] == 2
    assert figures["unseen classes of a test image that has one"] == 1
    assert figures["seen classes with a verified test image"] == 2
    assert figures["names that repeat among the seen classes"] == 1
    assert "unseen class: snowshoe; the MID is the key" in source.remarks[-1]


def test_a_split_without_rows(tmp_path: Path) -> None:
    write(tmp_path, {**ROWS, "train": [], "test": []})
    assert read(Source(tmp_path), "").paths == ("validation/d.jpg",)


def test_missing_files(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "test/test-annotations-human-imagelabels.csv").unlink()
    with pytest.raises(InputError, match="1 of 5 files") as refused:
        read(Source(tmp_path), "")
    assert refused.value.problems[0].endswith("openimages/2018_04/test/test-annotations-human-imagelabels.csv")


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("validation/validation-annotations-human-imagelabels.csv", b""),
        ("validation/validation-annotations-human-imagelabels.csv", b"ImageID,LabelName\na,/m/seen1\n"),
        ("validation/validation-annotations-human-imagelabels.csv", b"ImageID,LabelName,Confidence\na,/m/seen1,0.7\n"),
        ("validation/validation-annotations-human-imagelabels.csv", b"ImageID,LabelName,Confidence\na,/m/seen1,yes\n"),
        ("validation/validation-annotations-human-imagelabels.csv", b"ImageID,LabelName,Confidence\na,/m/seen1\n"),
        ("classes-trainable.txt", b"/m/seen1\n/m/seen1\n"),
        ("classes-trainable.txt", b"/m/nameless\n"),
        ("class-descriptions.csv", b"/m/seen1\n"),
        ("class-descriptions.csv", b"\xff\xff"),
    ],
)
def test_damaged_files(tmp_path: Path, name: str, data: bytes) -> None:
    write(tmp_path)
    (tmp_path / name).write_bytes(data)
    with pytest.raises(InputError) as refused:
        read(Source(tmp_path), "")
    assert refused.value.where in {str(tmp_path / name), str(tmp_path / "classes-trainable.txt")}


@pytest.mark.skipif(not REAL.exists(), reason="needs ../shared/data/open-images")
def test_the_real_classes(tmp_path: Path) -> None:
    write(tmp_path)
    for name in ("classes-trainable.txt", "class-descriptions.csv"):
        (tmp_path / name).write_bytes((REAL / name).read_bytes())
    assert (REAL / "unseen-400.txt").read_text().split() == UNSEEN
    source = Source(tmp_path)
    found = read(source, "")
    figures = {count["what"]: count["found"] for count in source.counts}
    assert (figures["classes, seen"], figures["classes, unseen"]) == (7186, 400)
    assert "lamborghini, snowshoe" in source.remarks[-1]
    assert figures["names that repeat among the seen classes"] == 115  # 113 where capitals count
    assert len(set(found.labels.names)) == 7586
