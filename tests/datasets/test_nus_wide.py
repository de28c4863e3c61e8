from pathlib import Path

import numpy as np
import pytest

from c2srt_cli.datasets import nus_wide
from c2srt_cli.datasets.nus_wide import read, twins
from c2srt_cli.datasets.source import Source
from c2srt_cli.errors import InputError

REAL = Path(__file__).parents[3] / "shared/data/nus-wide"
CONCEPTS = ["dog", "sky", "leaf"]
TAGS = ["nature", "sky", "dogs", "leaves", "blue"]
COUNT = 11


def write(folder: Path, *, newline: str = "\r\n") -> tuple[np.ndarray, np.ndarray]:
    """The official files of 11 images, 7 of them for training; tags ``(11, 5)`` and truth ``(11, 3)``."""
    rng = np.random.default_rng(0)
    tags, truth = rng.integers(0, 2, (COUNT, len(TAGS))), rng.integers(0, 2, (COUNT, len(CONCEPTS)))
    truth[8] = 0
    images = [f"actor\\{i:04}_{i}.jpg" for i in range(COUNT)]
    files = {
        "ConceptsList/Concepts81.txt": CONCEPTS,
        "NUS_WID_Tags/TagList1k.txt": TAGS,
        "NUS_WID_Tags/AllTags1k.txt": ["".join(f"{cell}\t" for cell in row) for row in tags],
        "ImageList/Imagelist.txt": images,
        "ImageList/TrainImagelist.txt": images[:7],
        "ImageList/TestImagelist.txt": images[7:],
    }
    files |= {f"Groundtruth/AllLabels/Labels_{name}.txt": truth[:, i].tolist() for i, name in enumerate(CONCEPTS)}
    for name, lines in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes("".join(f"{line}{newline}" for line in lines).encode())
    return tags, truth


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_tags_are_seen_and_concepts_unseen(tmp_path: Path, newline: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nus_wide, "BLOCK", 4)
    tags, truth = write(tmp_path, newline=newline)
    source = Source(tmp_path)
    found = read(source, "925-81")
    assert found.labels.names == ("nature", "dogs", "leaves", "blue", "dog", "sky", "leaf")
    assert found.seen.tolist() == [True] * 4 + [False] * 3
    assert found.paths[3] == "actor/0003_3.jpg"
    assert found.root == tmp_path / "Flickr"
    assert found.split.tolist() == ["train"] * 7 + ["test"] * 4
    expected = np.concatenate([tags[:, [0, 2, 3, 4]], truth], 1)
    np.testing.assert_array_equal(found.truth(np.arange(COUNT), np.arange(7)), 2 * expected - 1)
    figures = {count["what"]: count["found"] for count in source.counts}
    assert figures["tags that are concepts too, left out"] == 1
    assert figures["unseen labels of a test image"] == round(truth[7:].sum(1).mean(), 3)
    assert figures["labels of a test image"] == round(expected[7:].sum(1).mean(), 3)
    assert figures["test images with an unseen label (protocol L)"] == (truth[7:].any(1)).sum()
    assert figures["concepts whose singular or plural is a seen tag"] == 2
    assert "dog and dogs, leaf and leaves" in " ".join(source.remarks)


def test_files_may_lie_loose(tmp_path: Path) -> None:
    write(tmp_path)
    before = read(Source(tmp_path), "")
    for path in list(tmp_path.rglob("*.txt")):
        path.rename(tmp_path / path.name)
    assert read(Source(tmp_path), "").fingerprint == before.fingerprint


def test_missing_files_are_named_with_their_origin(tmp_path: Path) -> None:
    write(tmp_path)
    for name in ("sky", "leaf"):
        (tmp_path / f"Groundtruth/AllLabels/Labels_{name}.txt").unlink()
    with pytest.raises(InputError, match="2 of 3 files") as refused:
        read(Source(tmp_path), "")
    assert refused.value.problems[0] == (
        "Groundtruth/AllLabels/Labels_sky.txt: from https://github.com/NExTplusplus/NUS-WIDE"
    )
    with pytest.raises(InputError, match="6 of 6 files"):
        read(Source(tmp_path / "ImageList/none"), "")


@pytest.mark.parametrize(
    ("name", "old", "new", "problem"),
    [
        ("NUS_WID_Tags/AllTags1k.txt", "\t\r\n", "\t0\t\r\n", "line 1: not 5 cells of 0 or 1 with tabs between"),
        ("NUS_WID_Tags/AllTags1k.txt", "0\t\r\n", "7\t\r\n", "something else than 0, 1 and tabs"),
        ("Groundtruth/AllLabels/Labels_dog.txt", "1\r\n", "1\r\n1\r\n", "12 lines for 11 images"),
        ("Groundtruth/AllLabels/Labels_dog.txt", "1\r\n", "2\r\n", "b'2' where 0 or 1 should be"),
        ("ImageList/TestImagelist.txt", "0008_8", "0006_6", "in 2 splits"),
        ("ImageList/TestImagelist.txt", "0008_8", "0099_9", "actor/0099_9.jpg is not in Imagelist.txt"),
        ("ImageList/Imagelist.txt", "0008_8", "0007_7", "1 images stand twice"),
        ("ConceptsList/Concepts81.txt", "leaf", "dog", "dog stands twice"),
    ],
)
def test_damaged_files(tmp_path: Path, name: str, old: str, new: str, problem: str) -> None:
    write(tmp_path)
    path = tmp_path / name
    text = path.read_bytes().decode()
    assert old in text
    path.write_bytes(text.replace(old, new, 1).encode())
    with pytest.raises(InputError) as refused:
        read(Source(tmp_path), "")
    assert problem in " ".join(refused.value.problems)
    assert refused.value.where == str(path) or "in 2 splits" in problem


def test_truncated_tags(tmp_path: Path) -> None:
    write(tmp_path)
    path = tmp_path / "NUS_WID_Tags/AllTags1k.txt"
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-2]))
    with pytest.raises(InputError) as refused:
        read(Source(tmp_path), "")
    assert refused.value.problems == ("9 lines for 11 images",)


@pytest.mark.skipif(not REAL.exists(), reason="needs ../shared/data/nus-wide")
def test_the_real_names() -> None:
    concepts, tags = ((REAL / name).read_text().split() for name in ("Concepts81.txt", "TagList1k.txt"))
    seen = [tag for tag in tags if tag not in concepts]
    assert (len(concepts), len(tags), len(seen)) == (81, 1000, 925)
    pairs = twins(concepts, seen)
    assert len({concept for concept, _ in pairs}) == 31
    assert {("dog", "dogs"), ("cat", "cats"), ("tree", "trees"), ("bridge", "bridges"), ("flowers", "flower")} <= set(
        pairs
    )
