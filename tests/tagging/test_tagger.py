import csv
import hashlib
import io
import json
import os
import shutil
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from odd_files import make_odd_files
from photos import Killed, content, die_at, encoding_threads, file_limit, fingerprints, stop_after, write_photos
from tiny import write_tiny_model
from tiny_runs import split_for

from c2srt_cli.backbone import names
from c2srt_cli.backbone.registry import load_backbone
from c2srt_cli.embeddings.embed import EmbedOptions, embed, prepare_embedding
from c2srt_cli.embeddings.encoder import Machine
from c2srt_cli.embeddings.text import embed_labels
from c2srt_cli.errors import InputError, Interrupted, UsageError
from c2srt_cli.images import PixelSpec, find_images, load_pixels
from c2srt_cli.labels import read_labels
from c2srt_cli.labels.everyday import everyday_labels
from c2srt_cli.methods.zero_shot import score
from c2srt_cli.progress import Progress
from c2srt_cli.scoring.presets import Preset
from c2srt_cli.tagging import journal
from c2srt_cli.tagging import tag as tag_module
from c2srt_cli.tagging.decision import Rule
from c2srt_cli.tagging.job import TagJob
from c2srt_cli.tagging.outputs import tag_to_files, tag_to_stream
from c2srt_cli.tagging.record import FailedImage, TaggedImage
from c2srt_cli.tagging.sources import ImageSource
from c2srt_cli.tagging.tag import TagOptions, prepare_tagging
from c2srt_cli.tagging.tagger import tag_images
from c2srt_cli.tagging.update import TagResult
from c2srt_cli.tagging.writers import WRITERS
from c2srt_cli.training.config import resolve

BATCH = 3
FP32 = Machine(precision="float32", batch=BATCH, workers=2)
PART_FILES = ("index.parquet", "shard-00000.safetensors")
BF16 = Machine(precision="bfloat16", batch=BATCH, workers=2)


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    path = tmp_path / "labels.txt"
    path.write_text("".join(f"thing number {i}\n" for i in range(40)))
    return path


def prepare(inputs: Path, labels: Path, tiny: str | None, **options: Any) -> TagJob:
    options = {"machine": FP32, "backbone": tiny, **options}
    return prepare_tagging(TagOptions((str(inputs),), labels, **options), Progress())


def results(job: TagJob) -> dict[str, TaggedImage | FailedImage]:
    return {result.path: result for batch in tag_images(job, job.source.items, Progress()) for _, result in batch}


def tagged(job: TagJob) -> dict[str, TaggedImage]:
    return {path: result for path, result in results(job).items() if isinstance(result, TaggedImage)}


def to_file(
    job: TagJob,
    out: Path,
    *,
    format: str = "jsonl",  # noqa: A002
    progress: Progress | None = None,
    **options: Any,
) -> TagResult:
    return tag_to_files(job, WRITERS[format], out, progress or Progress(), **{"overwrite": False, **options})


def embedded(photos: Path, out: Path, tiny: str, machine: Machine, **options: Any) -> Path:
    made = EmbedOptions((str(photos),), out, backbone=tiny, machine=machine, **options)
    embed(prepare_embedding(made, Progress()), Progress())
    return out


def calibrated(tiny: str, folder: Path, scoring: dict[str, Any], slope: float = 20.0) -> str:
    """A copy of the model that carries a calibration."""
    shutil.copytree(Path(tiny.removeprefix("local-dir:")), folder)
    calibration = {"method": "logistic", "slope": slope, "intercept": 0.25, "scoring": scoring}
    (folder / "calibration.json").write_text(json.dumps(calibration))
    return f"local-dir:{folder}"


POOLS: list[dict[str, Any]] = [
    {"patches": "isr", "patches.max_patches": 50},
    {"patches": "topk", "patches.k": 50},
    {"patches": "max"},
    {"patches": "mean"},
    {"patches": "none"},
]


class TestScores:
    @pytest.mark.parametrize("given", POOLS, ids=str)
    def test_are_those_of_the_embeddings(self, tiny: str, tmp_path: Path, labels: Path, given: dict[str, Any]) -> None:
        paths = write_photos(tmp_path / "photos", 5)
        job = prepare(tmp_path / "photos", labels, tiny, method=resolve("zero-shot", given), all_scores=True)
        found = tagged(job)
        backbone = load_backbone(tiny)
        text = embed_labels(backbone, read_labels(labels), ("a photo of a {}.",), Progress())
        for start in range(0, 5, BATCH):
            part = paths[start : start + BATCH]
            arrays = [load_pixels(path, PixelSpec(64)).array for path in part]
            pixels = torch.from_numpy(np.stack([*arrays, *[np.zeros_like(arrays[0])] * (BATCH - len(part))]))
            with torch.inference_mode():
                tokens = backbone.early_stages(pixels, 0, streams="global")
                global_embedding, patches = backbone.late_stages(tokens, 0, patch_attention="value")
                assert global_embedding is not None
                scores, shares = score(
                    global_embedding, patches, text, logit_scale=100.0, pooling=resolve("zero-shot", given).patches
                )
            for row, path in enumerate(part):
                result = found[path.name]
                assert result.scores is not None
                np.testing.assert_allclose(result.scores, scores[row], atol=2e-6)
                kept = np.flatnonzero(scores[row] >= scores[row].max() - np.log(10) / 100)[:11]
                kept = kept[np.argsort(-scores[row, kept].numpy(), kind="stable")][:10]
                assert [tag.label for tag in result.tags] == [f"thing number {i}" for i in kept]
                assert [tag.score for tag in result.tags] == [result.scores[i] for i in kept]
                expected = [None] * len(kept) if shares is None else shares[row, kept].tolist()
                assert [tag.share for tag in result.tags] == expected
                assert {tag.probability for tag in result.tags} == {None}

    def test_photographs_and_their_embeddings_agree_to_the_bit(self, tiny: str, tmp_path: Path, labels: Path) -> None:
        write_photos(tmp_path / "photos", 40)
        (tmp_path / "photos/p0003a.jpg").write_bytes(b"no image")
        e = embedded(tmp_path / "photos", tmp_path / "e", tiny, BF16)
        from_photos = prepare(tmp_path / "photos", labels, tiny, machine=BF16, all_scores=True)
        from_store = prepare(e, labels, None, machine=Machine(), all_scores=True)
        assert from_store.encoder.runtime == from_photos.encoder.runtime
        assert tagged(from_store) == tagged(from_photos)
        assert [bad.path for bad in from_store.source.problems] == ["p0003a.jpg"]
        assert from_store.source.root == from_photos.source.root

    def test_batches_scored_side_by_side_give_the_same(self, tiny: str, tmp_path: Path, labels: Path) -> None:
        write_photos(tmp_path / "photos", 70)
        e = embedded(tmp_path / "photos", tmp_path / "e", tiny, BF16)
        job = prepare(e, labels, None, machine=Machine(), all_scores=True)
        alone, four = (replace(job, encoder=replace(job.encoder, cores=cores)) for cores in (1, 4))
        assert (alone.encoder.lanes, four.encoder.lanes) == (1, 4)
        assert list(tagged(four).items()) == list(tagged(alone).items())

    def test_in_float32_they_agree_as_far_as_storage_does(self, tiny: str, tmp_path: Path, labels: Path) -> None:
        write_photos(tmp_path / "photos", 7)
        e = embedded(tmp_path / "photos", tmp_path / "e", tiny, FP32)
        options: dict[str, Any] = {"all_scores": True, "method": resolve("zero-shot", {"patches": "mean"})}
        first = tagged(prepare(tmp_path / "photos", labels, tiny, **options))
        second = tagged(prepare(e, labels, None, **options))
        for path, result in first.items():
            # bfloat16 has 8 bits
            np.testing.assert_allclose(np.array(result.scores), np.array(second[path].scores), atol=3e-3)

    @pytest.mark.parametrize("options", [{"split_stage": 1}, {"split_stage": 0, "patch_attention": "value-all"}])
    def test_from_an_earlier_split(self, tiny: str, tmp_path: Path, labels: Path, options: dict[str, Any]) -> None:
        write_photos(tmp_path / "photos", 4)
        e = embedded(tmp_path / "photos", tmp_path / "e", tiny, BF16, **options)
        from_store = prepare(e, labels, None, machine=Machine(), all_scores=True)
        from_photos = prepare(
            tmp_path / "photos",
            labels,
            tiny,
            machine=BF16,
            all_scores=True,
            patch_attention=options.get("patch_attention"),
        )
        assert tagged(from_store) == tagged(from_photos)

    def test_order_and_company_do_not_matter(self, tiny: str, tmp_path: Path, labels: Path) -> None:
        photos = tmp_path / "photos"
        write_photos(photos, 7)
        together = tagged(prepare(photos, labels, tiny, all_scores=True))
        for path in photos.iterdir():
            alone = tagged(prepare(path, labels, tiny, all_scores=True))
            assert alone == {path.name: together[path.name]}

    def test_20_000_labels(self, tiny: str, tmp_path: Path) -> None:
        write_photos(tmp_path / "photos", 2)
        many, few = tmp_path / "many.txt", tmp_path / "few.txt"
        names = [f"item {i:05} of many" for i in range(20_000)]
        many.write_text("\n".join(names))
        few.write_text("\n".join(names[::1000]))
        options: dict[str, Any] = {"all_scores": True, "rule": Rule(top_k=30)}
        all_of_them = tagged(prepare(tmp_path / "photos", many, tiny, **options))
        some = tagged(prepare(tmp_path / "photos", few, tiny, **options))
        for path, result in all_of_them.items():
            scores, part = np.array(result.scores), np.array(some[path].scores)
            assert scores.shape == (20_000,)
            np.testing.assert_allclose(scores[::1000], part, atol=2e-6)
            best = np.argsort(-scores, kind="stable")[:30]
            assert [tag.label for tag in result.tags] == [names[i] for i in best]

    def test_numbers_that_overflow_are_reported(self, tiny: str, tmp_path: Path, labels: Path) -> None:
        write_photos(tmp_path / "photos", 2)
        job = prepare(tmp_path / "photos", labels, tiny)
        bias = next(p for n, p in job.encoder.backbone.model.named_parameters() if n == "visual.ln_post.bias")
        with torch.no_grad():
            bias.fill_(torch.inf)
        assert {type(result) for result in results(job).values()} == {FailedImage}


class TestLabels:
    def test_synonyms_templates_and_thresholds_reach_the_rows(self, tiny: str, tmp_path: Path) -> None:
        write_photos(tmp_path / "photos", 3)
        (tmp_path / "words.csv").write_text("label,synonyms\nanimal|cat,kitty\ndog,\n")
        (tmp_path / "plain.txt").write_text("cat\nkitty\ndog\n")
        options: dict[str, Any] = {
            "all_scores": True,
            "rule": Rule(top_k=9),
            "method": resolve("zero-shot", {"patches": "none"}),
        }

        def prepared(labels: str, templates: str) -> TagJob:
            (tmp_path / "templates.txt").write_text(templates)
            path = str(tmp_path / "templates.txt")
            return prepare(tmp_path / "photos", tmp_path / labels, tiny, templates=path, **options)

        job = prepared("words.csv", "a {}\nthe {}\n")
        singles = [prepared("plain.txt", "a {}"), prepared("plain.txt", "the {}")]
        cat = (singles[0].text[:2] + singles[1].text[:2]).sum(0)
        torch.testing.assert_close(job.text[0], cat / cat.norm())
        for path, result in tagged(job).items():
            assert result.scores is not None
            # cosines with a mean of unit vectors: the mean of the cosines, over its norm
            parts = [tagged(single)[path].scores for single in singles]
            mean = np.mean([part[:2] for part in parts if part is not None])
            np.testing.assert_allclose(result.scores[0], mean * 4 / float(cat.norm()), atol=1e-5)
            assert {tag.label for tag in result.tags} == {"animal|cat", "dog"}

    def test_stored_text_embeddings_are_used(
        self, tiny: str, tmp_path: Path, labels: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write_photos(tmp_path / "photos", 2)
        e = embedded(tmp_path / "photos", tmp_path / "e", tiny, BF16, labels=labels)
        (tmp_path / "copy.txt").write_bytes(labels.read_bytes())
        with monkeypatch.context() as patch:
            patch.setattr(tag_module, "embed_labels", lambda *_: pytest.fail("embedded again"))
            stored = tagged(prepare(e, tmp_path / "copy.txt", None, machine=Machine()))
        assert stored == tagged(prepare(tmp_path / "photos", labels, tiny, machine=BF16))
        labels.write_text("cat\n")
        rows = tagged(prepare(e, labels, None, machine=Machine(), rule=Rule(top_k=1))).values()
        assert {tag.label for row in rows for tag in row.tags} == {"cat"}


class TestDecision:
    def test_what_does_not_stand_out_is_not_given(self, tiny: str, tmp_path: Path) -> None:
        write_photos(tmp_path / "photos", 6)
        everyday = read_labels(everyday_labels()).names
        of_background = tagged(prepare(tmp_path / "photos", everyday_labels(), tiny, all_scores=True))
        scores = np.array([row.scores for row in of_background.values()], np.float64)
        standard = (scores - scores.mean(1, keepdims=True)) / scores.std(1, ddof=1, keepdims=True)
        best, place = standard[0].max(), int(standard[0].argmax())
        assert best > 1.5, "else the case is empty"
        for label in (everyday[place], everyday[int(standard[0].argmin())]):
            (tmp_path / "one.txt").write_text(label)
            found = tagged(prepare(tmp_path / "photos", tmp_path / "one.txt", tiny))  # alone, so the best asked for
            column = everyday.index(label)
            assert [bool(row.tags) for row in found.values()] == (standard[:, column] >= 1.5).tolist()
        scale = load_backbone(tiny).logit_scale
        presets: list[tuple[Preset, float, float]] = [
            ("strict", 0.3, 2.5),
            ("balanced", 0.1, 1.5),
            ("generous", 0.03, 1.0),
        ]
        for preset, odds, above in presets:
            found = tagged(prepare(tmp_path / "photos", everyday_labels(), tiny, rule=Rule.asked(preset)))
            for mine, z, row in zip(scores, standard, found.values(), strict=True):
                close = (mine >= mine.max() + np.log(odds) / scale) & (z >= above)
                ranked = [everyday[i] for i in np.argsort(-mine, kind="stable") if close[i]]
                assert [tag.label for tag in row.tags] == ranked[:10]

    def test_threshold(self, tiny: str, tmp_path: Path, labels: Path) -> None:
        write_photos(tmp_path / "photos", 3)
        spec = calibrated(tiny, tmp_path / "model", {"pool": "isr", "alpha": 0.5})
        options: dict[str, Any] = {"all_scores": True}
        job = prepare(tmp_path / "photos", labels, spec, rule=Rule(threshold=0.6), **options)
        for row in tagged(job).values():
            assert row.scores is not None
            chance = {
                label: 1 / (1 + np.exp(-(20 * s + 0.25))) for label, s in zip(job.labels.names, row.scores, strict=True)
            }
            assert {tag.label for tag in row.tags} == {label for label, p in chance.items() if p >= 0.6}
            for tag in row.tags:
                assert tag.probability == pytest.approx(chance[tag.label], abs=1e-9)
            assert all(first.score >= second.score for first, second in pairwise(row.tags))

    def test_thresholds_of_labels(self, tiny: str, tmp_path: Path) -> None:
        write_photos(tmp_path / "photos", 3)
        table = tmp_path / "labels.csv"
        table.write_text("label,threshold\nnever,1.0\nalways,0.0\n" + "".join(f"thing {i},\n" for i in range(20)))
        spec = calibrated(tiny, tmp_path / "model", {})
        for rule in (Rule(), Rule(threshold=0.9)):
            job = prepare(tmp_path / "photos", table, spec, rule=rule, all_scores=True)
            for row in tagged(job).values():
                assert row.scores is not None
                given = {tag.label for tag in row.tags}
                best, probable = max(row.scores), (np.log(9) - 0.25) / 20  # the score of probability 0.9
                bar = best - np.log(10) / 100 if rule.threshold is None else probable
                above = sorted((-s, name) for name, s in zip(job.labels.names, row.scores, strict=True) if s >= bar)
                expected = {name for _, name in (above if rule.threshold else above[:10])}
                assert given == (expected | {"always"}) - {"never"}

    def test_no_threshold_without_calibration_of_this_scoring(self, tiny: str, tmp_path: Path, labels: Path) -> None:
        write_photos(tmp_path / "photos", 1)
        spec = calibrated(tiny, tmp_path / "model", {"pool": "isr", "alpha": 0.5})
        for backbone, given in ((tiny, {}), (spec, {"alpha": 0.4}), (spec, {"patches": "max"})):
            with pytest.raises(UsageError, match="not calibrated") as refused:
                prepare(
                    tmp_path / "photos", labels, backbone, method=resolve("zero-shot", given), rule=Rule(threshold=0.5)
                )
            assert refused.value.exit_code == 2

    def test_top_k(self, tiny: str, tmp_path: Path, labels: Path) -> None:
        write_photos(tmp_path / "photos", 3)
        for row in tagged(prepare(tmp_path / "photos", labels, tiny, rule=Rule(top_k=17), all_scores=True)).values():
            assert [tag.score for tag in row.tags] == sorted(row.scores or (), reverse=True)[:17]


class TestEmbeddingsAsInput:
    def test_options_of_another_making_are_refused(self, tiny: str, tmp_path: Path, labels: Path) -> None:
        write_photos(tmp_path / "photos", 1)
        e = embedded(tmp_path / "photos", tmp_path / "e", tiny, FP32)
        with pytest.raises(UsageError) as refused:
            prepare(e, labels, None, fit="pad", patch_attention="none", draft=False)
        assert refused.value.problems == (
            "--fit: pad asked, crop there",
            "--patch-attention: none asked, value there",
            "--draft: False asked, True there",
        )
        prepare(e, labels, tiny, fit="crop", patch_attention="value")

    def test_a_relative_name_of_the_same_model(
        self, tiny: str, tmp_path: Path, labels: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write_photos(tmp_path / "photos", 1)
        e = embedded(tmp_path / "photos", tmp_path / "e", tiny, FP32)
        folder = Path(tiny.removeprefix("local-dir:"))
        monkeypatch.chdir(folder.parent)
        prepare(e, labels, f"local-dir:{folder.name}")

    def test_other_weights_are_refused(self, tiny: str, tmp_path: Path, labels: Path) -> None:
        write_photos(tmp_path / "photos", 1)
        shutil.copytree(Path(tiny.removeprefix("local-dir:")), tmp_path / "model")
        e = embedded(tmp_path / "photos", tmp_path / "e", f"local-dir:{tmp_path / 'model'}", FP32)
        weights = tmp_path / "model/open_clip_model.safetensors"
        data = bytearray(weights.read_bytes())
        data[-1] ^= 1
        weights.write_bytes(data)
        with pytest.raises(InputError, match="was made with another backbone") as refused:
            prepare(e, labels, None)
        assert refused.value.problems[0].startswith("weights_sha256: ")

    def test_those_of_an_earlier_mini_are_refused_by_name(
        self, tiny: str, tmp_path: Path, labels: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write_photos(tmp_path / "my photos", 1)
        monkeypatch.setattr(names, "MINI", Path(tiny.removeprefix("local-dir:")))
        e = embedded(tmp_path / "my photos", tmp_path / "e", "mini", FP32)
        monkeypatch.setattr(names, "MINI", Path(write_tiny_model(tmp_path / "next", seed=1).removeprefix("local-dir:")))
        with pytest.raises(InputError, match="was made with an earlier mini than") as refused:
            prepare(e, labels, None)
        assert refused.value.hint is not None
        assert f"c2srt embed '{tmp_path / 'my photos'}' --out {e} --overwrite" in refused.value.hint

    def test_alone_and_finished(self, tiny: str, tmp_path: Path, labels: Path) -> None:
        write_photos(tmp_path / "photos", 1)
        e = embedded(tmp_path / "photos", tmp_path / "e", tiny, FP32)
        with pytest.raises(UsageError, match="by themselves"):
            prepare_tagging(TagOptions((str(e), str(tmp_path / "photos")), labels), Progress())
        (e / "manifest.json").rename(e / "unfinished.json")
        with pytest.raises(InputError, match="unfinished"):
            prepare(e, labels, None)

    def test_says_when_patches_come_from_the_global_stream(self, tiny: str, tmp_path: Path, labels: Path) -> None:
        write_photos(tmp_path / "photos", 1)
        e = embedded(tmp_path / "photos", tmp_path / "e", tiny, FP32, needed=split_for("label-propagation"))
        notes: list[str] = []
        prepare_tagging(TagOptions((str(e),), labels, machine=FP32), Progress(note=notes.append))
        assert any("no value-value stream" in note for note in notes)


class TestFiles:
    def test_every_format(self, tiny: str, tmp_path: Path, labels: Path) -> None:
        write_photos(tmp_path / "photos", 4)
        (tmp_path / "photos/broken.jpg").write_bytes(b"no image")
        job = prepare(tmp_path / "photos", labels, tiny, all_scores=True)
        expected = tagged(job)
        for name, writer in WRITERS.items():
            if writer.kind == "parts":  # not by this function
                continue
            out = tmp_path / (f"out{writer.suffix or '.table'}" if writer.kind != "sidecar" else f"out-{name}")
            out = tmp_path / "out-excel.csv" if name == "excel" else out
            result = to_file(job, out, format=name)
            assert (result.tagged, [bad.path for bad in result.failures]) == (4, ["broken.jpg"])
            first = content(tmp_path)
            to_file(job, out, format=name)
            assert content(tmp_path) == first, "a rerun writes the same bytes"
        lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
        rows = list(csv.DictReader((tmp_path / "out.csv").read_text().splitlines()))
        table = pq.read_table(tmp_path / "out.parquet").to_pylist()
        for i, (path, row) in enumerate(sorted(expected.items())):
            names = [tag.label for tag in row.tags]
            assert lines[i]["path"] == rows[i]["path"] == table[i]["path"] == path
            assert [tag["label"] for tag in lines[i]["tags"]] == rows[i]["labels"].split(";") == names
            assert table[i]["labels"] == names
            assert row.scores is not None
            np.testing.assert_allclose([table[i][label] for label in job.labels.names], row.scores, rtol=1e-7)
            np.testing.assert_allclose(list(lines[i]["scores"].values()), row.scores, atol=5.1e-7)
            assert (tmp_path / f"out-txt/{path}.txt").read_text().splitlines() == names
            sidecar = (tmp_path / f"out-xmp/{path}.xmp").read_text()
            assert all(f"<rdf:li>{name}</rdf:li>" in sidecar for name in names)
            folder = Path(tiny.removeprefix("local-dir:"))
            assert f"local-dir:{folder.name}<" in sidecar
            assert str(folder.parent) not in sidecar, "sidecars go to other people"
        failures = [json.loads(line) for line in (tmp_path / "out.csv.failures.jsonl").read_text().splitlines()]
        assert failures == [{"path": "broken.jpg", "reason": "unsupported", "detail": failures[0]["detail"]}]
        assert (tmp_path / "out-xmp/c2srt-failures.jsonl").exists()
        to_file(job, tmp_path / "out.csv", format="excel")  # onto a file of another format
        assert (tmp_path / "out.csv").read_bytes() == (tmp_path / "out-excel.csv").read_bytes()

    def test_manifest_and_nothing_left_behind(self, tiny: str, tmp_path: Path, labels: Path) -> None:
        write_photos(tmp_path / "photos", 2)
        out = tmp_path / "out" / "tags.csv"
        to_file(prepare(tmp_path / "photos", labels, tiny), out, format="csv")
        assert sorted(path.name for path in out.parent.iterdir()) == ["tags.csv", "tags.csv.manifest.json"]
        made = json.loads((out.parent / "tags.csv.manifest.json").read_text())
        assert made["sha256"] == hashlib.sha256(out.read_bytes()).hexdigest()
        assert made["inputs"] == {"labels": read_labels(labels).fingerprint}
        assert (made["kind"], made["options"]["format"], made["options"]["runtime"]["batch"]) == ("tags", "csv", BATCH)

    def test_failures_go_away_when_they_are_mended(self, tiny: str, tmp_path: Path, labels: Path) -> None:
        write_photos(tmp_path / "photos", 1)
        (tmp_path / "photos/broken.jpg").write_bytes(b"")
        to_file(prepare(tmp_path / "photos", labels, tiny), tmp_path / "t.jsonl")
        assert (tmp_path / "t.jsonl.failures.jsonl").exists()
        shutil.copy(tmp_path / "photos/p0000.png", tmp_path / "photos/broken.jpg")
        to_file(prepare(tmp_path / "photos", labels, tiny), tmp_path / "t.jsonl")
        assert not (tmp_path / "t.jsonl.failures.jsonl").exists()

    def test_a_file_of_the_user_is_not_replaced(self, tiny: str, tmp_path: Path, labels: Path) -> None:
        write_photos(tmp_path / "photos", 1)
        out = tmp_path / "tags.jsonl"
        out.write_text("mine")
        job = prepare(tmp_path / "photos", labels, tiny)
        with pytest.raises(InputError, match="not written by c2srt") as refused:
            to_file(job, out)
        assert refused.value.exit_code == 3
        to_file(job, out, overwrite=True)
        to_file(job, out)
        out.write_text(out.read_text() + "an edit\n")
        with pytest.raises(InputError, match="changed since"):
            to_file(job, out)
        assert out.read_text().endswith("an edit\n")
        with pytest.raises(InputError, match="is a folder"):
            to_file(job, tmp_path / "photos", overwrite=True)

    @pytest.mark.parametrize("how", ["itself", "hard link", "symbolic link"])
    @pytest.mark.parametrize("what", ["labels.txt", "templates.txt", "photos/p0001.png"])
    def test_what_is_read_is_never_written(self, tiny: str, tmp_path: Path, labels: Path, what: str, how: str) -> None:
        write_photos(tmp_path / "photos", 2)
        (tmp_path / "templates.txt").write_text("a {}")
        out = tmp_path / what
        if how == "hard link":
            out = tmp_path / "link"
            out.hardlink_to(tmp_path / what)
        elif how == "symbolic link":
            out = tmp_path / "link"
            out.symlink_to(tmp_path / what)
        job = prepare(tmp_path / "photos", labels, tiny, templates=str(tmp_path / "templates.txt"))
        before = fingerprints(tmp_path)
        with pytest.raises(UsageError, match="never written to"):
            to_file(job, out, overwrite=True)
        assert fingerprints(tmp_path) == before

    @pytest.mark.parametrize("name", ["manifest.json", *(f"part-00000/{one}" for one in PART_FILES)])
    def test_embeddings_are_never_written_by_tag(self, tiny: str, tmp_path: Path, labels: Path, name: str) -> None:
        write_photos(tmp_path / "photos", 1)
        e = embedded(tmp_path / "photos", tmp_path / "e", tiny, FP32)
        before = fingerprints(tmp_path)
        with pytest.raises(UsageError, match="never written to"):
            to_file(prepare(e, labels, None), e / name, overwrite=True)
        assert fingerprints(tmp_path) == before

    def test_sidecars_of_photographs_that_have_moved(self, tiny: str, tmp_path: Path, labels: Path) -> None:
        write_photos(tmp_path / "photos", 1)
        e = embedded(tmp_path / "photos", tmp_path / "e", tiny, FP32)
        (tmp_path / "photos").rename(tmp_path / "elsewhere")
        job = prepare(e, labels, None)
        with pytest.raises(InputError, match="no longer there"):
            to_file(job, job.source.root, format="xmp")
        assert not (tmp_path / "photos").exists()
        assert to_file(job, tmp_path / "elsewhere", format="xmp").tagged == 1

    def test_sidecars_go_beside_photographs_that_are_there_and_the_same(
        self, tiny: str, tmp_path: Path, labels: Path
    ) -> None:
        """Embeddings say where their photographs were: of somebody else's that may be any folder here."""
        write_photos(tmp_path / "photos", 4)
        e = embedded(tmp_path / "photos", tmp_path / "e", tiny, FP32)
        (tmp_path / "photos").rename(tmp_path / "new")
        beside = {"writer": WRITERS["xmp"]}
        (tmp_path / "photos").mkdir()
        with pytest.raises(InputError, match="no longer there") as refused:
            prepare(e, labels, None, **beside)
        assert "--root" in str(refused.value.hint)
        (tmp_path / "new/p0001.png").unlink()
        (tmp_path / "new/p0002.png").write_bytes(b"another picture")
        job = prepare(e, labels, None, root=tmp_path / "new", **beside)
        assert job.source.root == tmp_path / "new"
        result = to_file(job, job.source.root, format="xmp")
        assert result.tagged == 2
        assert {(f.path, f.reason) for f in result.failures} == {("p0001.png", "missing"), ("p0002.png", "changed")}
        assert sorted(path.name for path in (tmp_path / "new").glob("*.xmp")) == ["p0000.png.xmp", "p0003.png.xmp"]
        assert not list((tmp_path / "photos").iterdir())

    def test_names_below_a_folder_further_up(self, tiny: str, tmp_path: Path, labels: Path) -> None:
        write_photos(tmp_path / "library/2024/may", 2)
        job = prepare(tmp_path / "library/2024", labels, tiny, root=tmp_path / "library")
        assert job.source.root == tmp_path / "library"
        assert [item.name for item in job.source.items] == ["2024/may/p0000.png", "2024/may/p0001.png"]
        with pytest.raises(UsageError, match="the photographs are in"):
            prepare(tmp_path / "library/2024", labels, tiny, root=tmp_path / "library/2023")

    def test_a_target_that_cannot_be_written(self, tiny: str, tmp_path: Path, labels: Path) -> None:
        write_photos(tmp_path / "photos", 1)
        (tmp_path / "file").touch()
        with pytest.raises(InputError, match="cannot be written"):
            to_file(prepare(tmp_path / "photos", labels, tiny), tmp_path / "file/tags.jsonl")


FORMATS = ["jsonl", "parquet", "xmp"]


class TestResume:
    @pytest.fixture
    def photos(self, tmp_path: Path) -> Path:
        folder = tmp_path / "photos"
        write_photos(folder, 8)
        (folder / "p0003a.jpg").write_bytes(b"no image")
        return folder

    @pytest.fixture
    def small(self, tiny: str, photos: Path, labels: Path) -> TagJob:
        return prepare(photos, labels, tiny, rule=Rule(top_k=3))

    @staticmethod
    def target(folder: Path, name: str) -> Path:
        return folder if name == "xmp" else folder / f"tags.{name}"

    def whole(self, job: TagJob, folder: Path, name: str) -> dict[str, bytes]:
        to_file(job, self.target(folder, name), format=name)
        return content(folder)

    @pytest.mark.parametrize("name", FORMATS)
    def test_a_journal_cut_anywhere(self, tiny: str, tmp_path: Path, photos: Path, labels: Path, name: str) -> None:
        job = prepare(photos, labels, tiny, all_scores=name != "xmp", rule=Rule(top_k=3))
        expected = self.whole(job, tmp_path / "whole", name)
        target = self.target(tmp_path / "cut", name)
        with pytest.raises(Interrupted, match="7 of 9 images"):
            to_file(job, target, format=name, progress=stop_after(2))
        journals = [path for path in (tmp_path / "cut").iterdir() if path.name.endswith(".journal")]
        assert list((tmp_path / "cut").iterdir()) == journals
        journal, data = journals[0], journals[0].read_bytes()
        lines = [i + 1 for i, byte in enumerate(data) if byte == 10]
        some = np.random.default_rng(0).integers(0, len(data), 8 if name == "jsonl" else 2).tolist()
        near = {end + step for end in lines[-4:] for step in (-1, 0, 1)} if name == "jsonl" else set()
        for size in sorted({0, *lines[::2], *near, *some} - {len(data) + 1}):
            journal.parent.mkdir(exist_ok=True)
            journal.write_bytes(data[:size])
            to_file(job, target, format=name)
            assert content(tmp_path / "cut") == expected, f"cut at byte {size}"
            shutil.rmtree(tmp_path / "cut")

    @pytest.mark.parametrize("name", [*FORMATS, "txt", "kohya"])
    def test_killed_at_any_write(
        self, small: TagJob, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        job = small
        expected = self.whole(job, tmp_path / "whole", name)
        real = os.fsync
        for number in range(1, 40):
            target = self.target(tmp_path / f"{number}", name)
            with monkeypatch.context() as patch:
                patch.setattr(os, "fsync", die_at(number, real))
                patch.setattr(journal, "SYNC", 0)
                try:
                    to_file(job, target, format=name)
                except Killed:
                    pass
                else:
                    break
            to_file(job, target, format=name)
            assert content(tmp_path / f"{number}") == expected, f"killed at write {number}"
        assert number > 8

    def test_only_the_rest_is_tagged(self, tiny: str, tmp_path: Path, photos: Path, labels: Path) -> None:
        job = prepare(photos, labels, tiny)
        with pytest.raises(Interrupted):
            to_file(job, tmp_path / "t.jsonl", progress=stop_after(1))
        seen: list[tuple[int, int]] = []
        result = to_file(job, tmp_path / "t.jsonl", progress=Progress(advance=lambda *at: seen.append(at)))
        assert (result.tagged, result.resumed, len(result.failures)) == (8, 3, 1)
        assert seen[-1] == (6, 6)

    def test_a_photograph_that_changes_in_between_is_done_again(
        self, tiny: str, tmp_path: Path, photos: Path, labels: Path
    ) -> None:
        with pytest.raises(Interrupted):
            to_file(prepare(photos, labels, tiny), tmp_path / "t.jsonl", progress=stop_after(2))
        write_photos(photos, 1, seed=9, start=1)  # changed
        (photos / "p0000.png").unlink()  # gone
        shutil.copy(photos / "p0002.png", photos / "p0003a.jpg")  # mended
        result = to_file(prepare(photos, labels, tiny), tmp_path / "t.jsonl")
        to_file(prepare(photos, labels, tiny), tmp_path / "fresh.jsonl")
        assert (tmp_path / "t.jsonl").read_bytes() == (tmp_path / "fresh.jsonl").read_bytes()
        assert (result.tagged, result.resumed) == (8, 4)

    def test_other_options_are_named(self, tiny: str, tmp_path: Path, photos: Path, labels: Path) -> None:
        with pytest.raises(Interrupted):
            to_file(prepare(photos, labels, tiny), tmp_path / "t.jsonl", progress=stop_after(1))
        other = prepare(photos, labels, tiny, method=resolve("zero-shot", {"alpha": 0.4}), rule=Rule(top_k=3))
        with pytest.raises(InputError) as refused:
            to_file(other, tmp_path / "t.jsonl")
        assert refused.value.exit_code == 3
        assert refused.value.problems == ("options.patches.alpha: 0.5 there, 0.4 now", "rule.top_k: None there, 3 now")
        assert to_file(other, tmp_path / "t.jsonl", overwrite=True).resumed == 0

    def test_the_runtime_is_taken_over(self, tiny: str, tmp_path: Path, photos: Path, labels: Path) -> None:
        """A probe may measure something else the next time; the run that was begun goes on as it was."""
        out, writer = tmp_path / "t.jsonl", WRITERS["jsonl"]
        with pytest.raises(Interrupted):
            to_file(prepare(photos, labels, tiny), out, progress=stop_after(1))
        again = prepare(photos, labels, tiny, machine=Machine(), writer=writer, out=out)
        assert again.encoder.runtime.batch == BATCH
        assert to_file(again, out).resumed == 3
        with pytest.raises(Interrupted):
            to_file(again, photos, format="xmp", progress=stop_after(1))
        sidecars = prepare(photos, labels, tiny, machine=Machine(), writer=WRITERS["xmp"])
        assert sidecars.encoder.runtime == again.encoder.runtime

    def test_a_full_disk_loses_nothing(self, small: TagJob, tmp_path: Path) -> None:
        to_file(small, tmp_path / "whole.jsonl")
        with pytest.raises(Interrupted):
            to_file(small, tmp_path / "t.jsonl", progress=stop_after(1))
        size = (tmp_path / ".t.jsonl.journal").stat().st_size
        with file_limit(size + 10), pytest.raises(InputError, match="it resumes"):
            to_file(small, tmp_path / "t.jsonl")
        assert to_file(small, tmp_path / "t.jsonl").resumed == 3
        assert (tmp_path / "t.jsonl").read_bytes() == (tmp_path / "whole.jsonl").read_bytes()

    def test_what_a_killed_run_had_begun_to_write_is_removed(self, small: TagJob, tmp_path: Path) -> None:
        out = tmp_path / "side"
        with pytest.raises(Interrupted):
            to_file(small, out, format="xmp", progress=stop_after(1))
        (out / ".p0001.png.xmp.0123abcd.c2srt-tmp").write_text("<x:xmp")
        (out / ".p0001.png.xmp.tmp").write_text("the user's")
        to_file(small, out, format="xmp")
        hidden = {path.name for path in out.iterdir() if path.name.startswith(".")}
        assert hidden == {".p0001.png.xmp.tmp"}

    def test_a_stream_says_how_to_resume(self, small: TagJob) -> None:
        stream = io.StringIO()
        with pytest.raises(Interrupted) as stopped:
            tag_to_stream(small, WRITERS["jsonl"], stream, stop_after(1))
        assert len(stream.getvalue().splitlines()) == 3
        assert stopped.value.hint is not None
        assert "--out" in stopped.value.hint

    @pytest.mark.usefixtures("no_collection")
    def test_a_writer_that_fails_leaves_no_thread(self, small: TagJob) -> None:
        with pytest.raises(ValueError, match="closed file") as failed:
            tag_to_stream(small, WRITERS["jsonl"], closed := io.StringIO(), Progress(advance=lambda *_: closed.close()))
        assert failed.value  # its traceback holds on to every frame
        assert encoding_threads() == []

    def test_two_at_once_are_refused(self, tiny: str, tmp_path: Path, photos: Path, labels: Path) -> None:
        job, out = prepare(photos, labels, tiny), tmp_path / "t.jsonl"

        def meddle(_done: int, _total: int) -> None:
            with pytest.raises(UsageError, match="another c2srt"):
                to_file(job, out)

        assert to_file(job, out, progress=Progress(advance=meddle)).tagged == 8


def test_odd_files_between_good_ones(tiny: str, tmp_path: Path, labels: Path) -> None:
    """Each is tagged as if it were alone, or reported, and nothing in the folder is touched."""
    photos = tmp_path / "photos"
    photos.mkdir()
    expected = make_odd_files(photos)
    expected |= dict.fromkeys(path.name for path in write_photos(photos, 10))
    before = fingerprints(photos)
    job = prepare(photos, labels, tiny, all_scores=True, machine=replace(FP32, batch=8))
    result = to_file(job, tmp_path / "tags.jsonl")
    assert {bad.path: bad.reason for bad in result.failures} == {n: reason for n, reason in expected.items() if reason}
    assert len(result.failures) >= 40
    rows = {row["path"]: row for row in map(json.loads, (tmp_path / "tags.jsonl").read_text().splitlines())}
    assert rows.keys() == {name for name, reason in expected.items() if reason is None}
    together = tagged(job)
    for name in rows:
        pixels = PixelSpec(**job.pixels)
        found = find_images([str(photos / name)])
        alone = replace(job, source=ImageSource(found.root, found.files, found.problems, job.encoder, pixels, 1))
        (single,) = tagged(alone).values()
        assert replace(single, path=name) == together[name]
        assert [tag["label"] for tag in rows[name]["tags"]] == [tag.label for tag in single.tags]
    e = embedded(photos, tmp_path / "e", tiny, replace(FP32, batch=8))
    from_store = prepare(e, labels, None)
    assert {item.name for item in from_store.source.items} == rows.keys()
    assert {bad.path: bad.reason for bad in from_store.source.problems} == {n: r for n, r in expected.items() if r}
    assert fingerprints(photos) == before
