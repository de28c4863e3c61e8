"""Random views of images: what they show, and what trains on them."""

import csv
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_runs import needs_graph, split_for, stops_before_the_end, write_with_graph

from c2srt_cli.artifacts import read_json
from c2srt_cli.embeddings.embed import EmbedOptions, embed, prepare_embedding
from c2srt_cli.images import load_pixels
from c2srt_cli.progress import Progress
from c2srt_cli.training import run as runs
from c2srt_cli.training.augment import View, augmented, draw, show
from c2srt_cli.training.config import resolve
from c2srt_cli.training.images import ImageSet
from c2srt_cli.training.prepare import TrainOptions, prepare_training
from c2srt_cli.training.tokens import TokenSet
from c2srt_cli.training.train import train

PHOTOS, TRAIN, LABELS, SEEN = 26, 18, 8, 5


@pytest.fixture(autouse=True)
def _one_thread(tiny: str) -> None:
    """A model this small loses time on more."""


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images, annotations ``a``, embeddings ``e`` and a graph over their labels."""
    return write_with_graph(tmp_path_factory.mktemp("inputs"), photos=PHOTOS, train=TRAIN, labels=LABELS, seen=SEEN)


def options(inputs: Path, out: Path, method: str = "label-propagation", **given: Any) -> TrainOptions:
    own = {"epochs": 2, "batch_size": 8, "validation": 0.2, "lr": 1e-3, "calibrate": False}
    config = resolve(method, {**own, **given})
    graph = str(inputs / "graph.json") if needs_graph(config) else None
    return TrainOptions(None, inputs / "a", out, config, graph, images=True, backbone=f"local-dir:{inputs / 'model'}")


def run(*given: Any, **changes: Any) -> None:
    train(prepare_training(options(*given, **changes), Progress()), Progress())


def history(folder: Path) -> list[dict[str, float]]:
    with (folder / runs.HISTORY).open() as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


def image_set(inputs: Path, out: Path, **given: Any) -> ImageSet:
    found = prepare_training(options(inputs, out, validation=0.0, **given), Progress()).data.train
    assert isinstance(found, ImageSet)
    return found


def by_number(images: ImageSet, places: np.ndarray, size: int) -> dict[int, tuple[torch.Tensor, torch.Tensor]]:
    """Tokens and teacher's embedding of each image."""
    found: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}
    for rows, tokens, whole in images.batches(places, size):
        if len(rows):
            assert tokens.x is not None
            found |= {int(row): (tokens.x[i], whole[i]) for i, row in enumerate(rows)}
    return found


def noise(size: int = 48) -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, (size, size, 3), np.uint8)


class TestViews:
    @pytest.mark.parametrize("size", [1, 2, 64, 224])
    def test_they_lie_within_the_image(self, size: int) -> None:
        random = np.random.default_rng(0)
        for view in (draw(size, random) for _ in range(2000)):
            assert 0 <= view.left <= view.left + view.width <= size
            assert 0 <= view.top <= view.top + view.height <= size
            assert min(view.width, view.height) > 0

    def test_area_aspect_and_place_fill_their_ranges(self) -> None:
        random, size = np.random.default_rng(0), 1000
        views = [draw(size, random) for _ in range(4000)]
        area = np.array([view.width * view.height for view in views]) / size**2
        aspect = np.array([view.width / view.height for view in views])
        assert 0.498 < area.min() < 0.51
        assert 0.99 < area.max() <= 1
        assert area.mean() == pytest.approx(0.75, abs=0.01)
        assert 0.748 < aspect.min() < 0.76
        assert 1.32 < aspect.max() < 1.336
        assert np.log(aspect).mean() == pytest.approx(0, abs=0.02)
        for place, side in (("left", "width"), ("top", "height")):
            free = np.array([getattr(v, place) / max(1, size - getattr(v, side)) for v in views])
            assert np.quantile(free, [0.1, 0.5, 0.9]) == pytest.approx([0.1, 0.5, 0.9], abs=0.03)
        assert np.mean([view.mirrored for view in views]) == pytest.approx(0.5, abs=0.03)

    def test_they_show_a_part_and_its_mirror_image(self) -> None:
        array = noise()
        np.testing.assert_array_equal(show(array, View(0, 0, 48, 48, False)), array)
        np.testing.assert_array_equal(show(array, View(0, 0, 48, 48, True)), np.flip(array, 1))
        part = Image.fromarray(array).crop((5, 9, 5 + 40, 9 + 36)).resize((48, 48), Image.Resampling.BICUBIC)
        got = show(array, View(5, 9, 40, 36, False))
        np.testing.assert_array_equal(got, np.asarray(part))
        np.testing.assert_array_equal(show(array, View(5, 9, 40, 36, True)), got[:, ::-1])
        assert (got.shape, got.dtype) == (array.shape, array.dtype)

    def test_they_depend_on_seed_epoch_and_number(self) -> None:
        array, key = noise(), {"seed": 1, "epoch": 2, "number": 3}
        np.testing.assert_array_equal(augmented(array, **key), augmented(array, **key))
        for name in key:
            assert not np.array_equal(augmented(array, **key), augmented(array, **{**key, name: 7})), name
        assert not np.array_equal(augmented(array, **key), augmented(array, seed=2, epoch=1, number=3))


def test_tokens_are_of_the_views_and_the_teacher_sees_images_as_they_are(inputs: Path, tmp_path: Path) -> None:
    plain = image_set(inputs, tmp_path / "run")
    shown = plain.augmented(seed=4, epoch=1, teacher=True)
    places = plain.shuffled(np.random.default_rng(0))
    as_they_are, found = by_number(plain, places, 8), by_number(shown, places, 8)
    encoder = plain.job.encoder
    assert found.keys() == as_they_are.keys() == set(plain.rows.tolist())
    for file, row in zip(plain.files, plain.rows.tolist(), strict=True):
        array = load_pixels(file.path, plain.job.pixels).array
        tokens, _ = encoder.forward([augmented(array, seed=4, epoch=1, number=row)])
        assert tokens.x is not None
        assert torch.equal(found[row][0], tokens.x[0].to(torch.bfloat16))
        assert not torch.equal(found[row][0], as_they_are[row][0])
        assert torch.equal(found[row][1], as_they_are[row][1])
        assert torch.equal(found[row][1], encoder.forward([array])[1].global_[0])


def test_a_view_does_not_depend_on_company_and_the_teacher_is_asked_once(inputs: Path, tmp_path: Path) -> None:
    images = image_set(inputs, tmp_path / "run")
    places = np.arange(len(images))
    first = by_number(images.augmented(seed=0, epoch=0, teacher=True), places, 8)
    other = by_number(image_set(inputs, tmp_path / "run").augmented(seed=0, epoch=0, teacher=True), places[::-2], 3)
    assert len(other) == len(places) // 2
    for number, (tokens, whole) in other.items():
        assert torch.equal(tokens, first[number][0])
        assert torch.equal(whole, first[number][1])
    assert images.teacher is not None
    kept = dict(images.teacher)
    assert kept.keys() == set(images.rows.tolist())
    assert all(whole.dtype == torch.float32 and whole.shape == (32,) for whole in kept.values())
    later = by_number(images.augmented(seed=0, epoch=1, teacher=True), places, 8)
    assert not any(torch.equal(later[number][0], first[number][0]) for number in kept)
    assert all(torch.equal(later[number][1], whole) for number, whole in kept.items())
    assert all(images.teacher[number] is whole for number, whole in kept.items())


def test_images_that_cannot_be_read_are_left_out(inputs: Path, tmp_path: Path) -> None:
    images = image_set(inputs, tmp_path / "run")
    (tmp_path / "none.png").write_bytes(b"no picture")
    files = [replace(f, path=tmp_path / "none.png") if i in (2, 3, 9) else f for i, f in enumerate(images.files)]
    shown = replace(images, files=files).augmented(seed=0, epoch=0, teacher=True)
    places = np.arange(len(files))
    found, whole = by_number(shown, places, 2), by_number(images, places, 8)
    left_out = {int(images.rows[i]) for i in (2, 3, 9)}
    assert found.keys() == set(images.rows.tolist()) - left_out
    assert images.failed.keys() == {images.files[i].name for i in (2, 3, 9)}
    assert all(torch.equal(embedding, whole[number][1]) for number, (_, embedding) in found.items())


def test_without_views_a_run_ends_with_the_weights_of_one_from_tokens(
    inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = f"local-dir:{inputs / 'model'}"
    same = EmbedOptions(
        (), tmp_path / "e", annotations=inputs / "a", backbone=model, needed=split_for("label-propagation")
    )
    embed(prepare_embedding(same, Progress()), Progress())
    for kind in (ImageSet, TokenSet):  # else each has an order of its own
        monkeypatch.setattr(kind, "shuffled", lambda self, _: np.arange(len(self)))
    wanted = replace(options(inputs, tmp_path / "tokens"), embeddings=tmp_path / "e", images=False, backbone=None)
    tokens = prepare_training(wanted, Progress())
    # all but the images as from images: the labels' embeddings may have been stored in another precision
    job = prepare_training(options(inputs, tmp_path / "tokens", augment=False), Progress())
    data = replace(job.data, train=tokens.data.train, validation=tokens.data.validation)
    train(replace(job, data=data), Progress())
    run(inputs, tmp_path / "plain", augment=False)
    for name in (runs.WEIGHTS, runs.HISTORY, runs.METRICS):
        assert (tmp_path / "plain" / name).read_bytes() == (tmp_path / "tokens" / name).read_bytes(), name


@pytest.mark.parametrize(
    ("method", "given"),
    [("label-propagation", {}), ("clip-ft", {}), ("ram", {"lr_new": 1e-2})],
    ids=str,
)
def test_a_stopped_run_ends_with_the_weights_of_one_that_was_not(
    method: str, given: dict[str, Any], inputs: Path, tmp_path: Path
) -> None:
    """RAM reads both streams of a view; RAM and CLIP-FT have no teacher."""
    run(inputs, tmp_path / "whole", method, **given)

    def go() -> None:
        job = prepare_training(options(inputs, tmp_path / "parts", method, **given), Progress())
        train(job, Progress(stopped=lambda: True))

    stops = stops_before_the_end(go)
    assert stops >= 3
    for name in (runs.WEIGHTS, runs.HISTORY, runs.METRICS):
        assert (tmp_path / "parts" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name
    run(inputs, tmp_path / "plain", method, augment=False, **given)
    assert (tmp_path / "plain" / runs.WEIGHTS).read_bytes() != (tmp_path / "whole" / runs.WEIGHTS).read_bytes()
    assert read_json(tmp_path / "whole" / "manifest.json")["options"]["method"]["training"]["augment"] is True


def test_validation_images_are_shown_as_they_are(inputs: Path, tmp_path: Path) -> None:
    """With weights that do not move, their mean AP is that of the backbone as it is, in every epoch."""
    still: dict[str, Any] = {"lr": 1e-30, "lr_new": 1e-30, "weight_decay": 0.0, "validation": 0.5}
    run(inputs, tmp_path / "views", **still)
    run(inputs, tmp_path / "plain", augment=False, **still)
    views, plain = history(tmp_path / "views"), history(tmp_path / "plain")
    assert [row["val_map"] for row in views] == [row["val_map"] for row in plain]
    assert views[0]["distillation"] > plain[0]["distillation"] + 1e-3
