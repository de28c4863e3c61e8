import errno
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pyarrow.parquet as pq
import pytest
import torch
from photos import Killed, content, die_at, encoding_threads, file_limit, fingerprints, stop_after, write_photos
from PIL import Image
from safetensors.torch import load_file
from stored import stored_rows
from tiny_runs import split_for

from c2srt_cli import __version__, artifacts
from c2srt_cli.artifacts import read_json, stamps
from c2srt_cli.backbone.registry import load_backbone
from c2srt_cli.embeddings import shards
from c2srt_cli.embeddings.embed import EmbedOptions, EmbedResult, embed, prepare_embedding
from c2srt_cli.embeddings.encoder import Machine
from c2srt_cli.embeddings.job import EmbedJob
from c2srt_cli.embeddings.manifest import EmbeddingOptions
from c2srt_cli.embeddings.shards import read_shard, shard_numbers
from c2srt_cli.embeddings.store import Store
from c2srt_cli.errors import InputError, Interrupted, UsageError
from c2srt_cli.images import PixelSpec, load_pixels
from c2srt_cli.progress import Progress

BATCH = 3
FIRST = "part-00000"


def prepared(photos: Path, out: Path, tiny: str, **options: Any) -> EmbedJob:
    options = {"machine": Machine(precision="float32", batch=BATCH, workers=2), **options}
    return prepare_embedding(EmbedOptions((str(photos),), out, backbone=tiny, **options), Progress())


def run(photos: Path, out: Path, tiny: str, *, progress: Progress | None = None, **options: Any) -> EmbedResult:
    return embed(prepared(photos, out, tiny, **options), progress or Progress())


@pytest.fixture
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shards of four images, which batches of three do not fill evenly."""
    monkeypatch.setattr(shards, "SHARD", 4)


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """Eleven files, three of them no images."""
    folder = tmp_path / "photos"
    write_photos(folder, 8)
    (folder / "p0000a.jpg").write_text("no image")
    (folder / "p0005a.jpg").write_bytes(b"")
    (folder / "p0009.jpg").symlink_to(".nowhere.jpg")
    return folder


def by_path(folder: Path) -> dict[str, dict[str, torch.Tensor]]:
    """Every embedded image's tensors, read with safetensors alone."""
    return {
        row["path"]: {name: tensor[row["row"]].clone() for name, tensor in load_file(shard_of(part, row)).items()}
        for part in sorted(folder.glob("part-*"))
        for row in pq.read_table(part / "index.parquet").to_pylist()
        if row["status"] == "ok"
    }


def shard_of(part: Path, row: dict[str, Any]) -> Path:
    return part / f"shard-{row['shard']:05}.safetensors"


def same(first: dict[str, dict[str, torch.Tensor]], second: dict[str, dict[str, torch.Tensor]]) -> bool:
    return first.keys() == second.keys() and all(
        torch.equal(tensor, second[path][name]) for path, tensors in first.items() for name, tensor in tensors.items()
    )


def reference_batch(model: Any, transform: Any, paths: list[Path]) -> torch.Tensor:
    """open_clip's own global embeddings of up to a batch of images, in the batch shape of the run."""
    pictures = []
    for path in paths:
        with Image.open(path) as image:
            pictures.append(transform(image.convert("RGB")))
    x = torch.stack(pictures)
    x = torch.cat([x, x.new_zeros(BATCH - len(x), *x.shape[1:])])
    with torch.inference_mode():
        embedded: torch.Tensor = model.visual(x)[: len(paths)]
    return embedded


class TestContent:
    def test_global_is_what_open_clip_computes_from_the_files(self, tiny: str, tmp_path: Path) -> None:
        paths = write_photos(tmp_path / "photos", 7)
        run(tmp_path / "photos", tmp_path / "e", tiny)
        model, _, transform = open_clip.create_model_and_transforms(tiny)
        model.eval()
        stored = by_path(tmp_path / "e")
        for start in range(0, 7, BATCH):
            expected = reference_batch(model, transform, paths[start : start + BATCH])
            found = torch.stack([stored[path.name]["global"] for path in paths[start : start + BATCH]])
            assert found.dtype == torch.float32
            torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)

    @pytest.mark.parametrize(
        ("options", "expected"),
        [
            ({}, (3, "value", "local")),
            ({"patch_attention": "none"}, (3, None, "global")),
            ({"needed": split_for("label-propagation")}, (1, None, "global")),
            ({"needed": split_for("mkt")}, (1, None, "global")),
            ({"needed": split_for("ram")}, (0, "value-all", "both")),
            ({"needed": split_for("label-propagation"), "patch_attention": "value"}, (1, "value", "both")),
            ({"split_stage": 2}, (2, "value", "both")),
            ({"split_stage": 2, "streams": "global"}, (2, None, "global")),
            ({"streams": "both", "patch_attention": "value-all"}, (3, "value-all", "both")),
            ({"fit": "squash"}, (3, "value", "local")),
        ],
    )
    def test_tokens_are_the_trunk_of_the_same_pixels(
        self, tiny: str, tmp_path: Path, options: dict[str, Any], expected: tuple[int, str | None, str]
    ) -> None:
        split_stage, patch_attention, streams = expected
        paths = write_photos(tmp_path / "photos", 4)
        run(tmp_path / "photos", tmp_path / "e", tiny, **options)
        stored, backbone = by_path(tmp_path / "e"), load_backbone(tiny)
        spec = PixelSpec(64, fit=options.get("fit", "crop"))
        for start in range(0, 4, BATCH):
            part = paths[start : start + BATCH]
            arrays = [load_pixels(path, spec).array for path in part]
            pixels = torch.from_numpy(np.stack([*arrays, *[np.zeros_like(arrays[0])] * (BATCH - len(part))]))
            with torch.inference_mode():
                tokens = backbone.early_stages(
                    pixels,
                    split_stage,
                    patch_attention=patch_attention,
                    streams="both" if patch_attention else "global",
                )
            computed = {"tokens": tokens.x, "local": tokens.local}
            kept = {"global": {"tokens"}, "local": {"local"}, "both": {"tokens", "local"}}[streams]
            for row, path in enumerate(part):
                found = stored[path.name]
                assert found.keys() - {"global"} == kept
                for name in kept:
                    whole = computed[name]
                    assert whole is not None
                    assert torch.equal(found[name], whole[row].to(torch.bfloat16))
        made = json.loads((tmp_path / "e/manifest.json").read_text())["options"]
        assert (made["split_stage"], made["patch_attention"], made["streams"]) == expected

    @pytest.mark.parametrize(
        ("options", "where"),
        [
            ({"split_stage": 4}, "--split-stage 4"),
            ({"split_stage": 2, "streams": "local"}, "--streams local"),
            ({"streams": "local", "patch_attention": "none"}, "--streams local"),
            ({"streams": "global", "patch_attention": "value"}, "--patch-attention value"),
            ({"needed": split_for("label-propagation"), "streams": "both"}, "--streams both"),
        ],
    )
    def test_contradictions_are_refused(self, tiny: str, tmp_path: Path, options: dict[str, Any], where: str) -> None:
        write_photos(tmp_path / "photos", 1)
        with pytest.raises(UsageError) as refused:
            run(tmp_path / "photos", tmp_path / "e", tiny, **options)
        assert refused.value.where == where
        assert not (tmp_path / "e").exists()

    @pytest.mark.usefixtures("small_shards")
    def test_index_and_manifest(self, tiny: str, mixed: Path, tmp_path: Path) -> None:
        labels = tmp_path / "labels.txt"
        labels.write_text("cat\ndog\n")
        result = run(mixed, tmp_path / "e", tiny, labels=labels)
        assert (result.total, result.encoded, result.removed) == (11, 11, 0)
        rows = pq.read_table(tmp_path / "e" / FIRST / "index.parquet").to_pylist()
        assert [row["path"] for row in rows] == sorted(path.name for path in mixed.iterdir())
        reasons = {"p0000a.jpg": "unsupported", "p0005a.jpg": "empty", "p0009.jpg": "missing"}
        counts: dict[int, int] = {}
        for position, row in enumerate(rows):
            path = mixed / row["path"]
            assert row["shard"] == position // 4
            assert row["reason"] == reasons.get(row["path"], "")
            if row["reason"]:
                assert (row["status"], row["row"]) == ("failed", -1)
                readable = path.is_file() and path.stat().st_size
                assert row["sha256"] == (hashlib.sha256(path.read_bytes()).hexdigest() if readable else "")
                assert row["detail"]
                continue
            assert row["status"] == "ok"
            assert row["row"] == counts.get(row["shard"], 0)
            counts[row["shard"]] = row["row"] + 1
            assert row["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
            assert (row["size"], row["mtime_ns"]) == (path.stat().st_size, path.stat().st_mtime_ns)
            with Image.open(path) as image:
                assert (row["width"], row["height"]) == image.size
        assert [row.reason for row in result.failures] == ["unsupported", "empty", "missing"]

        manifest = json.loads((tmp_path / "e/manifest.json").read_text())
        assert manifest.keys() == {"kind", "schema", "tool", "options", "inputs", "parts"}
        assert (manifest["kind"], manifest["tool"]) == ("embeddings", __version__)
        plain = json.dumps([["cat", [], None, ""], ["dog", [], None, ""]], separators=(",", ":"))
        assert manifest["inputs"] == {"labels": hashlib.sha256(plain.encode()).hexdigest()}
        weights = (Path(tiny.removeprefix("local-dir:")) / "open_clip_model.safetensors").read_bytes()
        assert manifest["options"]["weights_sha256"] == hashlib.sha256(weights).hexdigest()
        assert manifest["options"]["root"] == str(mixed)
        assert manifest["options"]["runtime"] == {"device": "cpu", "dtype": "float32", "batch": 3, "threads": 1}
        assert not (tmp_path / "e/unfinished.json").exists()

    @pytest.mark.usefixtures("small_shards")
    def test_a_failure_shifts_nobody(self, tiny: str, mixed: Path, tmp_path: Path) -> None:
        run(mixed, tmp_path / "e", tiny)
        together = by_path(tmp_path / "e")
        assert len(together) == 8
        for name, tensors in together.items():
            run(mixed / name, tmp_path / "alone", tiny, overwrite=True)
            assert same(by_path(tmp_path / "alone"), {name: tensors})

    def test_nothing_but_failures(self, tiny: str, tmp_path: Path) -> None:
        (tmp_path / "photos").mkdir()
        for name in "ab":
            (tmp_path / f"photos/{name}.jpg").write_bytes(b"")
        result = run(tmp_path / "photos", tmp_path / "e", tiny)
        assert len(result.failures) == 2
        assert Store.open(tmp_path / "e").verify() == 2
        assert run(tmp_path / "photos", tmp_path / "e", tiny).encoded == 0

    def test_no_lock_and_no_temporary_file_stays(self, tiny: str, mixed: Path, tmp_path: Path) -> None:
        left = ".shard-00000.safetensors.0123abcd.c2srt-tmp"
        (tmp_path / "e").mkdir()
        (tmp_path / "e" / left).write_bytes(b"left by a killed run")
        with pytest.raises(Interrupted):
            run(mixed, tmp_path / "e", tiny, progress=stop_after(1))
        (tmp_path / "e" / FIRST / left).write_bytes(b"left by a killed run")
        run(mixed, tmp_path / "e", tiny)
        assert content(tmp_path / "e").keys() == {
            "manifest.json",
            *(f"{FIRST}/{name}" for name in ("index.parquet", "manifest.json", "shard-00000.safetensors")),
        }


def clock(path: Path) -> None:
    """Let the system's clock, which may stand still for milliseconds, go on from where it was when ``path`` changed."""
    probe = path.with_name("clock.txt")
    while not probe.exists() or probe.stat().st_ctime_ns <= path.stat().st_ctime_ns:
        time.sleep(0.001)
        probe.touch()
    probe.unlink()


class TestMovedAndUpgraded:
    """What decides values is compared, what is called otherwise by now is not."""

    def test_a_library_that_has_moved_keeps_its_embeddings(self, tiny: str, mixed: Path, tmp_path: Path) -> None:
        run(mixed, tmp_path / "e", tiny)
        before = by_path(tmp_path / "e")
        notes: list[str] = []
        mixed.rename(tmp_path / "moved")
        result = run(tmp_path / "moved", tmp_path / "e", tiny, progress=Progress(note=notes.append))
        assert (result.total, result.encoded, result.removed) == (11, 0, 0)
        assert f"the images have moved from {mixed} to {tmp_path / 'moved'}" in notes
        assert Store.open(tmp_path / "e").options.root == str(tmp_path / "moved")
        assert same(by_path(tmp_path / "e"), before)

    def test_other_images_do_not_take_their_place_unasked(self, tiny: str, mixed: Path, tmp_path: Path) -> None:
        run(mixed, tmp_path / "e", tiny)
        before = content(tmp_path / "e")
        write_photos(tmp_path / "others", 2, seed=9)
        for photos, root in ((tmp_path / "others", None), (mixed, tmp_path)):
            with pytest.raises(InputError, match="these are embeddings of the images in") as refused:
                run(photos, tmp_path / "e", tiny, root=root)
            assert "--root" in str(refused.value.hint)
            assert content(tmp_path / "e") == before
        assert run(tmp_path / "others", tmp_path / "e", tiny, overwrite=True).encoded == 2

    def test_a_part_of_the_library_under_its_root(self, tiny: str, tmp_path: Path) -> None:
        write_photos(tmp_path / "library/a", 2)
        write_photos(tmp_path / "library/b", 2, seed=1)
        run(tmp_path / "library", tmp_path / "e", tiny)
        result = run(tmp_path / "library/a", tmp_path / "e", tiny, root=tmp_path / "library")
        assert (result.total, result.encoded, result.removed) == (2, 0, 2)
        assert {row.path for row in stored_rows(Store.open(tmp_path / "e"))} == {"a/p0000.png", "a/p0001.png"}

    @pytest.mark.parametrize(
        "change", [{"torch": "2.0.0"}, {"backbone": "local-dir:/nowhere"}, {"config_sha256": None}, {"templates": []}]
    )
    def test_what_is_only_recorded(self, tiny: str, mixed: Path, tmp_path: Path, change: dict[str, Any]) -> None:
        run(mixed, tmp_path / "e", tiny)
        before, path = content(tmp_path / "e"), tmp_path / "e/manifest.json"
        path.write_text(json.dumps(read_json(path) | {"options": read_json(path)["options"] | change}))
        write_photos(mixed, 1, seed=3, start=50)
        assert run(mixed, tmp_path / "e", tiny).encoded == 1
        assert content(tmp_path / "e")[f"{FIRST}/shard-00000.safetensors"] == before[f"{FIRST}/shard-00000.safetensors"]
        assert read_json(path)["options"]["torch"] == torch.__version__

    @pytest.mark.parametrize(
        ("change", "said"),
        [
            ({"weights_sha256": "ab" * 32}, "weights_sha256: "),
            ({"config_sha256": "ab" * 32}, "config_sha256: "),
            ({"mean": [0.1, 0.2, 0.3]}, "mean: "),
            ({"split_stage": 2, "streams": "both"}, "split_stage: 2 there, 3 now"),
            ({"runtime": {"device": "cuda:1", "dtype": "float32", "batch": 3, "threads": 1}}, "runtime.device: 'cuda'"),
        ],
    )
    def test_what_decides(self, tiny: str, mixed: Path, tmp_path: Path, change: dict[str, Any], said: str) -> None:
        run(mixed, tmp_path / "e", tiny)
        path = tmp_path / "e/manifest.json"
        path.write_text(json.dumps(read_json(path) | {"options": read_json(path)["options"] | change}))
        with pytest.raises(InputError, match="made with other options") as refused:
            run(mixed, tmp_path / "e", tiny)
        assert any(problem.startswith(said) for problem in refused.value.problems)


class TestIncremental:
    @pytest.mark.usefixtures("small_shards")
    def test_a_rerun_does_nothing(self, tiny: str, mixed: Path, tmp_path: Path) -> None:
        run(mixed, tmp_path / "e", tiny)
        before = content(tmp_path / "e")
        result = run(mixed, tmp_path / "e", tiny)
        assert (result.total, result.encoded, len(result.failures)) == (11, 0, 3)
        assert content(tmp_path / "e") == before

    @pytest.mark.usefixtures("small_shards")
    def test_new_changed_touched_vanished_mended(
        self, tiny: str, mixed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        run(mixed, tmp_path / "e", tiny)
        write_photos(mixed, 2, seed=1, start=20)  # new
        write_photos(mixed, 1, seed=2, start=1)  # changed
        os.utime(mixed / "p0002.png", ns=(1, 1))  # touched
        (mixed / "p0003.png").unlink()  # vanished
        shutil.copy(mixed / "p0004.png", mixed / ".nowhere.jpg")  # mended: the link leads somewhere
        shutil.copy(mixed / "p0004.png", mixed / "p0005a.jpg")  # mended
        result = run(mixed, tmp_path / "e", tiny)
        assert (result.total, result.encoded, result.removed) == (12, 5, 1)
        assert [row.path for row in result.failures] == ["p0000a.jpg"]
        run(mixed, tmp_path / "fresh", tiny)
        assert same(by_path(tmp_path / "e"), by_path(tmp_path / "fresh"))
        rows = {row.path: row for row in stored_rows(Store.open(tmp_path / "e"))}
        assert rows["p0002.png"].mtime_ns == 1
        assert Store.open(tmp_path / "e").verify() == 12

        # the touched file is known by its new times: nothing is hashed again
        monkeypatch.setattr(stamps, "file_sha256", lambda path: pytest.fail(f"hashed {path}"))
        assert run(mixed, tmp_path / "e", tiny).encoded == 0

    @pytest.mark.parametrize("how", ["in place", "renamed over", "copied over", "folders swapped"])
    def test_a_changed_file_of_the_same_size_and_time(self, tiny: str, tmp_path: Path, how: str) -> None:
        """What exiftool -P, rsync --times and cp -p leave: only the system's own clock shows that bytes differ."""
        one, other = tmp_path / "photos/one", tmp_path / "photos/other"
        for folder, color in ((one, (200, 30, 30)), (other, (30, 30, 200))):
            folder.mkdir(parents=True)
            Image.new("RGB", (64, 48), color).save(folder / "a.bmp")  # of one size
            os.utime(folder / "a.bmp", ns=(10**18, 10**18))
        run(tmp_path / "photos", tmp_path / "e", tiny)
        image, donor = one / "a.bmp", other / "a.bmp"
        clock(image)
        if how == "in place":
            image.write_bytes(donor.read_bytes())
            os.utime(image, ns=(10**18, 10**18))
        elif how == "renamed over":
            shutil.copy2(donor, other / "b.tmp")
            (other / "b.tmp").replace(image)
        elif how == "copied over":
            shutil.copy2(donor, image)
        else:
            one.rename(tmp_path / "photos/third")
            other.rename(one)
            (tmp_path / "photos/third").rename(other)
        result = run(tmp_path / "photos", tmp_path / "e", tiny)
        assert result.encoded == (2 if how == "folders swapped" else 1)
        run(tmp_path / "photos", tmp_path / "fresh", tiny)
        assert same(by_path(tmp_path / "e"), by_path(tmp_path / "fresh"))

    def test_a_restored_folder_is_read_but_not_encoded_again(self, tiny: str, tmp_path: Path) -> None:
        write_photos(tmp_path / "photos", 3)
        (tmp_path / "photos/broken.jpg").write_bytes(b"\xff\xd8\xff broken")
        run(tmp_path / "photos", tmp_path / "e", tiny)
        before = by_path(tmp_path / "e")
        clock(tmp_path / "photos/broken.jpg")
        shutil.copytree(tmp_path / "photos", tmp_path / "copy")  # times kept, as by cp -a
        shutil.rmtree(tmp_path / "photos")
        (tmp_path / "copy").rename(tmp_path / "photos")
        result = run(tmp_path / "photos", tmp_path / "e", tiny)
        assert (result.total, result.encoded, len(result.failures)) == (4, 0, 1)
        assert same(by_path(tmp_path / "e"), before)
        rows = {row.path: row for row in stored_rows(Store.open(tmp_path / "e"))}
        assert rows["broken.jpg"].ctime_ns == (tmp_path / "photos/broken.jpg").stat().st_ctime_ns

    @pytest.mark.usefixtures("small_shards")
    def test_shards_without_a_living_row_are_deleted(self, tiny: str, tmp_path: Path) -> None:
        paths = write_photos(tmp_path / "photos", 9)
        run(tmp_path / "photos", tmp_path / "e", tiny)
        for path in paths[4:8]:
            path.unlink()
        result = run(tmp_path / "photos", tmp_path / "e", tiny)
        assert (result.encoded, result.removed) == (0, 4)
        assert shard_numbers(tmp_path / "e" / FIRST) == [0, 2]
        write_photos(tmp_path / "photos", 1, start=30)
        assert run(tmp_path / "photos", tmp_path / "e", tiny).encoded == 1
        assert shard_numbers(tmp_path / "e" / FIRST) == [0, 2]

    def test_a_file_that_becomes_readable(self, tiny: str, tmp_path: Path) -> None:
        write_photos(tmp_path / "photos", 2)
        os.mkfifo(tmp_path / "photos/pipe.jpg")
        result = run(tmp_path / "photos", tmp_path / "e", tiny)
        assert [row.reason for row in result.failures] == ["unreadable"]
        assert run(tmp_path / "photos", tmp_path / "e", tiny).encoded == 0
        (tmp_path / "photos/pipe.jpg").unlink()
        shutil.copy(tmp_path / "photos/p0000.png", tmp_path / "photos/pipe.jpg")
        result = run(tmp_path / "photos", tmp_path / "e", tiny)
        assert (result.encoded, result.failures) == (1, ())

    def test_a_format_that_can_be_read_at_last(
        self, tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        pillow_heif = pytest.importorskip("pillow_heif", reason="needs the extra heif")
        write_photos(tmp_path / "photos", 2)
        pillow_heif.from_pillow(Image.new("RGB", (64, 48), (200, 30, 30))).save(tmp_path / "photos/a.heic")
        # under its own suffix it would not be searched for
        (tmp_path / "photos/a.heic").rename(tmp_path / "photos/a.jpg")
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, "pillow_heif", None)  # as if the extra were not installed
            result = run(tmp_path / "photos", tmp_path / "e", tiny)
            assert [row.reason for row in result.failures] == ["unsupported"]
            assert run(tmp_path / "photos", tmp_path / "e", tiny).encoded == 0
        result = run(tmp_path / "photos", tmp_path / "e", tiny)
        assert (result.encoded, result.failures) == (1, ())

    def test_a_file_that_grows_while_it_is_read_is_tried_again(
        self, tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = write_photos(tmp_path / "photos", 1)[0]
        whole = path.read_bytes()
        path.write_bytes(whole[:100])
        from c2srt_cli.images import picture

        def read_then_grow(file: Path, spec: PixelSpec) -> Any:
            try:
                return load_pixels(file, spec)
            finally:
                file.write_bytes(whole)

        monkeypatch.setattr(picture, "load_pixels", read_then_grow)
        assert [row.reason for row in run(tmp_path / "photos", tmp_path / "e", tiny).failures] == ["corrupt"]
        assert run(tmp_path / "photos", tmp_path / "e", tiny).failures == ()

    def test_labels_come_and_stay(self, tiny: str, tmp_path: Path) -> None:
        write_photos(tmp_path / "photos", 2)
        labels = tmp_path / "labels.txt"
        labels.write_text("cat\n")
        run(tmp_path / "photos", tmp_path / "e", tiny)
        assert json.loads((tmp_path / "e/manifest.json").read_text())["inputs"] == {}
        run(tmp_path / "photos", tmp_path / "e", tiny, labels=labels)
        with_labels = content(tmp_path / "e")
        assert "labels" in json.loads(with_labels["manifest.json"])["inputs"]
        run(tmp_path / "photos", tmp_path / "e", tiny)
        assert content(tmp_path / "e") == with_labels


class TestRefusals:
    def test_other_options_are_named(self, tiny: str, tmp_path: Path) -> None:
        write_photos(tmp_path / "photos", 2)
        run(tmp_path / "photos", tmp_path / "e", tiny)
        before = fingerprints(tmp_path / "e")
        with pytest.raises(InputError) as refused:
            run(tmp_path / "photos", tmp_path / "e", tiny, fit="pad", machine=Machine(precision="float32", batch=2))
        assert refused.value.exit_code == 3
        assert refused.value.problems == (
            "pixels.fit: 'crop' there, 'pad' now",
            "runtime.batch: 3 there, 2 now",
        )
        assert fingerprints(tmp_path / "e") == before
        run(tmp_path / "photos", tmp_path / "e", tiny, fit="pad", overwrite=True)
        assert Store.open(tmp_path / "e").manifest["options"]["pixels"]["fit"] == "pad"

    def test_the_runtime_is_taken_over(self, tiny: str, tmp_path: Path) -> None:
        write_photos(tmp_path / "photos", 2)
        run(tmp_path / "photos", tmp_path / "e", tiny)
        run(tmp_path / "photos", tmp_path / "e", tiny, machine=Machine())
        assert Store.open(tmp_path / "e").manifest["options"]["runtime"]["batch"] == BATCH

    @pytest.mark.parametrize("name", ["notes.txt", "shard-00000.safetensors", "manifest.json"])
    @pytest.mark.parametrize("overwrite", [False, True])
    def test_a_foreign_folder_is_left_alone(self, tiny: str, tmp_path: Path, name: str, overwrite: bool) -> None:
        write_photos(tmp_path / "photos", 1)
        (tmp_path / "e").mkdir()
        (tmp_path / "e" / name).write_text('["mine"]')
        before = fingerprints(tmp_path / "e")
        with pytest.raises(InputError, match="holds no embeddings"):
            run(tmp_path / "photos", tmp_path / "e", tiny, overwrite=overwrite)
        assert fingerprints(tmp_path / "e") == before

    def test_another_artifact_is_left_alone(self, tiny: str, tmp_path: Path) -> None:
        write_photos(tmp_path / "photos", 1)
        artifacts.write_json(tmp_path / "e/manifest.json", artifacts.manifest("run", 1, {}, {}))
        before = fingerprints(tmp_path / "e")
        with pytest.raises(InputError, match="holds run"):
            run(tmp_path / "photos", tmp_path / "e", tiny, overwrite=True)
        assert fingerprints(tmp_path / "e") == before

    def test_a_file_is_no_folder(self, tiny: str, tmp_path: Path) -> None:
        write_photos(tmp_path / "photos", 1)
        (tmp_path / "e").write_text("a file")
        with pytest.raises(InputError):
            run(tmp_path / "photos", tmp_path / "e", tiny)
        assert (tmp_path / "e").read_text() == "a file"

    def test_a_second_writer_is_refused(self, tiny: str, tmp_path: Path) -> None:
        write_photos(tmp_path / "photos", 1)
        hold = (
            "import sys, pathlib; from c2srt_cli.artifacts import lock\n"
            "with lock(pathlib.Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"
        )
        command = [sys.executable, "-c", hold, str(tmp_path / "e/.lock")]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
            assert other.stdout is not None
            assert other.stdout.readline() == b"held\n"
            with pytest.raises(UsageError, match="another c2srt"):
                run(tmp_path / "photos", tmp_path / "e", tiny)
            other.kill()
        assert run(tmp_path / "photos", tmp_path / "e", tiny).encoded == 1

    @pytest.mark.parametrize("overwrite", [False, True])
    def test_too_little_space_is_noticed_before_anything_is_written(
        self, tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, overwrite: bool
    ) -> None:
        write_photos(tmp_path / "photos", 2)
        run(tmp_path / "photos", tmp_path / "e", tiny)
        before = fingerprints(tmp_path / "e")
        write_photos(tmp_path / "photos", 5, start=2)
        usage = shutil.disk_usage(tmp_path)
        monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1 << 20))
        with pytest.raises(InputError, match=r"1\.0 MiB are free"):
            run(tmp_path / "photos", tmp_path / "e", tiny, overwrite=overwrite)
        assert fingerprints(tmp_path / "e") == before

    @pytest.mark.usefixtures("small_shards")
    def test_a_full_disk_is_an_error_for_people_and_loses_nothing(self, tiny: str, tmp_path: Path) -> None:
        write_photos(tmp_path / "photos", 9)
        run(tmp_path / "photos", tmp_path / "whole", tiny)
        job = prepared(tmp_path / "photos", tmp_path / "e", tiny)
        shard = (tmp_path / "whole" / FIRST / "shard-00000.safetensors").stat().st_size
        with file_limit(shard - 1), pytest.raises(InputError, match=os.strerror(errno.EFBIG)):
            embed(job, Progress())
        run(tmp_path / "photos", tmp_path / "e", tiny)
        assert content(tmp_path / "e") == content(tmp_path / "whole")


class TestDamage:
    @pytest.mark.usefixtures("small_shards")
    def test_images_of_a_damaged_shard_are_encoded_again(self, tiny: str, mixed: Path, tmp_path: Path) -> None:
        run(mixed, tmp_path / "e", tiny)
        intact = by_path(tmp_path / "e")
        shard = tmp_path / "e" / FIRST / "shard-00001.safetensors"
        shard.write_bytes(shard.read_bytes()[:-1])
        with pytest.raises(InputError, match="cannot be read"):
            Store.open(tmp_path / "e").verify()
        assert run(mixed, tmp_path / "e", tiny).encoded == 4
        assert shard_numbers(tmp_path / "e" / FIRST) == [0, 2, 3]
        assert same(by_path(tmp_path / "e"), intact)
        assert Store.open(tmp_path / "e").verify() == 11

    def test_a_missing_index_is_rebuilt(self, tiny: str, mixed: Path, tmp_path: Path) -> None:
        run(mixed, tmp_path / "e", tiny)
        before = content(tmp_path / "e")
        (tmp_path / "e" / FIRST / "index.parquet").write_bytes(b"PAR1")
        with pytest.raises(InputError, match="index"):
            Store.open(tmp_path / "e")
        assert run(mixed, tmp_path / "e", tiny).encoded == 0
        assert content(tmp_path / "e") == before


@pytest.mark.usefixtures("small_shards")
class TestResume:
    @pytest.fixture
    def whole(self, tiny: str, mixed: Path, tmp_path: Path) -> dict[str, bytes]:
        """The payload of a run that nobody stopped."""
        (tmp_path / "labels.txt").write_text("cat\ndog\n")
        run(mixed, tmp_path / "whole", tiny, labels=tmp_path / "labels.txt")
        return content(tmp_path / "whole")

    @pytest.mark.parametrize("batches", [1, 2, 3])
    def test_stopped_by_the_user(
        self, tiny: str, mixed: Path, tmp_path: Path, whole: dict[str, bytes], batches: int
    ) -> None:
        with pytest.raises(Interrupted, match="of 11 images"):
            run(mixed, tmp_path / "e", tiny, labels=tmp_path / "labels.txt", progress=stop_after(batches))
        with pytest.raises(InputError, match="unfinished"):
            Store.open(tmp_path / "e")
        made = EmbeddingOptions.of_manifest(tmp_path / "e", read_json(tmp_path / "e/unfinished.json"))
        folder = tmp_path / "e" / FIRST
        saved = sum(len(read_shard(folder, n, made).rows) for n in shard_numbers(folder))
        result = run(mixed, tmp_path / "e", tiny, labels=tmp_path / "labels.txt")
        assert result.encoded == 11 - saved < 11
        assert content(tmp_path / "e") == whole

    def test_stopped_again_and_again(self, tiny: str, mixed: Path, tmp_path: Path, whole: dict[str, bytes]) -> None:
        stops = 0
        while True:
            try:
                run(mixed, tmp_path / "e", tiny, labels=tmp_path / "labels.txt", progress=stop_after(1))
                break
            except Interrupted:
                stops += 1
        assert stops >= 3
        assert content(tmp_path / "e") == whole

    def test_killed_at_any_write(
        self, tiny: str, mixed: Path, tmp_path: Path, whole: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Whichever write a run dies at, the next one leaves what an unbroken one does."""
        job = prepared(mixed, tmp_path / "e", tiny, labels=tmp_path / "labels.txt")
        real = os.fsync
        for number in range(1, 40):
            with monkeypatch.context() as patch:
                patch.setattr(os, "fsync", die_at(number, real))
                try:
                    embed(job, Progress())
                except Killed:
                    pass
                else:
                    break
            embed(job, Progress())
            assert content(job.out) == whole, f"killed at write {number}"
            shutil.rmtree(job.out)
        assert number > 10

    @pytest.mark.usefixtures("no_collection")
    def test_a_failed_run_leaves_no_thread(
        self, tiny: str, mixed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Threads left to the garbage collector are joined from anywhere, also from where that waits for ever."""
        job = prepared(mixed, tmp_path / "e", tiny)
        monkeypatch.setattr(os, "fsync", die_at(3, os.fsync))
        with pytest.raises(Killed):
            embed(job, Progress())
        assert encoding_threads() == []

    def test_overwriting_killed_at_any_write_never_mixes(
        self, tiny: str, mixed: Path, tmp_path: Path, whole: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        job, real = prepared(mixed, tmp_path / "e", tiny, labels=tmp_path / "labels.txt"), os.fsync
        run(mixed, tmp_path / "padded", tiny, fit="pad")
        for number in range(1, 40):
            shutil.rmtree(job.out, ignore_errors=True)
            shutil.copytree(tmp_path / "padded", job.out)
            with monkeypatch.context() as patch:
                patch.setattr(os, "fsync", die_at(number, real))
                try:
                    embed(replace(job, overwrite=True), Progress())
                except Killed:
                    pass
                else:
                    break
            try:
                embed(job, Progress())
            except InputError as refused:  # still the old one
                assert refused.problems == ("pixels.fit: 'pad' there, 'crop' now",)
                embed(replace(job, overwrite=True), Progress())
            assert content(job.out) == whole, f"killed at write {number}"
        assert number > 10

    def test_a_image_that_changes_in_between(self, tiny: str, tmp_path: Path) -> None:
        photos = tmp_path / "photos"
        write_photos(photos, 9)
        with pytest.raises(Interrupted):
            run(photos, tmp_path / "e", tiny, progress=stop_after(3))
        write_photos(photos, 1, seed=5, start=1)  # in the complete shard
        write_photos(photos, 1, seed=6, start=5)  # in the one that was begun
        run(photos, tmp_path / "e", tiny)
        run(photos, tmp_path / "fresh", tiny)
        assert same(by_path(tmp_path / "e"), by_path(tmp_path / "fresh"))
        assert Store.open(tmp_path / "e").verify() == 9
