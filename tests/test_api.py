import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from photos import write_photos
from PIL import Image
from typer.testing import CliRunner

import c2srt_cli
from c2srt_cli import Label, LabelSet, Tagger, embed
from c2srt_cli.cli import app
from c2srt_cli.embeddings.store import Store
from c2srt_cli.errors import InputError, UsageError
from c2srt_cli.tagging.record import FailedImage, TaggedImage

LABELS = ("cat", "red fox", "sunset")


@pytest.fixture
def tagger(tiny: str) -> Tagger:
    return Tagger(LABELS, backbone=tiny, precision="float32", batch_size=4)


@pytest.fixture
def photos(tmp_path: Path) -> list[Path]:
    return sorted(write_photos(tmp_path / "photos", 6))


def tagged(results: Sequence[TaggedImage | FailedImage]) -> list[TaggedImage]:
    assert all(isinstance(one, TaggedImage) for one in results)
    return [one for one in results if isinstance(one, TaggedImage)]


def test_scores_are_those_of_the_command(tagger: Tagger, photos: list[Path], tiny: str) -> None:
    out = photos[0].parent.parent / "tags.jsonl"
    words = ", ".join(LABELS)
    arguments = [str(photos[0].parent), "--labels", words, "--backbone", tiny, "--precision", "float32"]
    done = CliRunner().invoke(app, ["tag", *arguments, "--batch-size", "4", "--all-scores", "--out", str(out)])
    assert done.exit_code == 0, done.output
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    there = np.array([list(row["scores"].values()) for row in rows])
    np.testing.assert_allclose(tagger.scores(photos), there, atol=5e-7)  # the file has six decimals
    mine = [[tag.label for tag in image.tags] for image in tagged(list(tagger.tag(photos)))]
    assert mine == [[tag["label"] for tag in row["tags"]] for row in rows]


def test_memory_scores_as_the_file(tagger: Tagger, photos: list[Path]) -> None:
    from_files = tagger.scores(photos)
    opened = [Image.open(path) for path in photos]
    np.testing.assert_array_equal(tagger.scores(opened), from_files)
    arrays = [np.asarray(Image.open(path).convert("RGB")) for path in photos]
    np.testing.assert_array_equal(tagger.scores(arrays), from_files)
    np.testing.assert_array_equal(tagger.scores(arrays[2]), from_files[2:3])
    np.testing.assert_array_equal(tagger.scores(photos[0].parent), from_files)


def test_a_turned_picture_in_memory_is_turned(tagger: Tagger, photos: list[Path], tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.open(photos[0]).convert("RGB").crop((0, 0, 30, 20)).save(tmp_path / "turned.png", exif=exif)
    np.testing.assert_array_equal(
        tagger.scores(Image.open(tmp_path / "turned.png")), tagger.scores(tmp_path / "turned.png")
    )


def test_rows_keep_their_order_and_names(tagger: Tagger, photos: list[Path], tmp_path: Path) -> None:
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff broken")
    array = np.zeros((5, 5, 3), np.uint8)
    results = list(tagger.tag([photos[1], tmp_path / "broken.jpg", array, photos[0]], top_k=2))
    assert [one.path for one in results] == [str(photos[1]), str(tmp_path / "broken.jpg"), "image 2", str(photos[0])]
    assert [type(one) for one in results] == [TaggedImage, FailedImage, TaggedImage, TaggedImage]
    first = results[0]
    assert isinstance(first, TaggedImage)
    row = tagger.scores(photos[1])[0]
    assert [tag.label for tag in first.tags] == [LABELS[i] for i in np.argsort(-row)[:2]]
    assert [tag.score for tag in first.tags] == [row[i] for i in np.argsort(-row)[:2]]


@pytest.mark.parametrize(
    ("picture", "reason"),
    [
        (np.zeros((4, 4, 3), np.float32), "unsupported"),
        (np.zeros((4, 4, 7), np.uint8), "unsupported"),
        (np.zeros((0, 4, 3), np.uint8), "empty"),
        ("nothing there.jpg", "missing"),
    ],
)
def test_what_is_no_picture(tagger: Tagger, picture: np.ndarray | str, reason: str) -> None:
    [failed] = tagger.tag([picture])
    assert isinstance(failed, FailedImage)
    assert failed.reason == reason
    with pytest.raises(InputError, match="cannot be read") as caught:
        tagger.scores([picture])
    assert reason in caught.value.problems[0]


def test_nothing_to_tag(tagger: Tagger) -> None:
    assert not list(tagger.tag([]))
    assert tagger.scores([]).shape == (0, 3)


def test_labels_are_checked(tiny: str) -> None:
    with pytest.raises(InputError) as caught:
        Tagger(["cat", " ", "Cat", "a\0b"], backbone=tiny)
    assert [problem.split(":")[0] for problem in caught.value.problems] == ["label 2", "label 4", "labels 1 and 3"]


def test_a_threshold_needs_probabilities(tagger: Tagger, photos: list[Path]) -> None:
    assert tagger.probabilities(photos[:1]) is None
    with pytest.raises(UsageError, match="not calibrated"):
        tagger.tag(photos, threshold=0.5)


def test_synonyms_and_own_labels(tiny: str, photos: list[Path]) -> None:
    plain = Tagger(["cat", "fox"], backbone=tiny, precision="float32", batch_size=4).scores(photos)
    rich = LabelSet.of(["cat", Label("fox", synonyms=("red fox",))])
    other = Tagger(rich, backbone=tiny, precision="float32", batch_size=4).scores(photos)
    np.testing.assert_array_equal(plain[:, 0], other[:, 0])
    assert np.abs(plain[:, 1] - other[:, 1]).max() > 1e-4


def test_shares_of_parts(tiny: str, photos: list[Path], tmp_path: Path) -> None:
    made: dict[str, Any] = {"backbone": tiny, "precision": "float32", "part_size": 2}
    first = embed(photos[0].parent, out=tmp_path / "e", share=(0, 2), **made)
    assert (first.open, embed(photos[0].parent, out=tmp_path / "e", share=(1, 2), **made).open) == (1, 0)
    assert len(Store.open(tmp_path / "e").parts) == 3


def test_names_that_are_not_there() -> None:
    with pytest.raises(AttributeError, match="no attribute 'tagger'"):
        _ = c2srt_cli.tagger
