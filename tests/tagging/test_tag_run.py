import json
import math
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from photos import Killed, content, die_at, stop_after, write_photos
from tiny import write_tiny_model
from tiny_runs import BATCH, HIDDEN, LABELS, SEEN, split_for, train_run, write_inputs

from c2srt_cli.artifacts import fingerprint, read_manifest, write_json
from c2srt_cli.cli import main
from c2srt_cli.datasets.annotations import read_annotations
from c2srt_cli.doctor import examine
from c2srt_cli.embeddings.embed import EmbedOptions, embed, prepare_embedding
from c2srt_cli.embeddings.encoder import Machine
from c2srt_cli.embeddings.store import Store
from c2srt_cli.embeddings.text import embed_labels
from c2srt_cli.errors import InputError, Interrupted, UsageError
from c2srt_cli.evaluation.score import predictor
from c2srt_cli.graph.category_graph import read_graph
from c2srt_cli.images import PixelSpec, load_pixels
from c2srt_cli.labels import LabelSet
from c2srt_cli.methods.registry import METHODS
from c2srt_cli.predict.attach import attach
from c2srt_cli.progress import Progress
from c2srt_cli.scoring.calibration import Calibration, RunCalibration
from c2srt_cli.tagging import journal
from c2srt_cli.tagging.decision import Rule
from c2srt_cli.tagging.job import TagJob
from c2srt_cli.tagging.outputs import tag_to_files, tag_to_stream
from c2srt_cli.tagging.record import TaggedImage
from c2srt_cli.tagging.tag import TagOptions, prepare_tagging
from c2srt_cli.tagging.tagger import tag_images
from c2srt_cli.tagging.writers import WRITERS
from c2srt_cli.training.config import resolve
from c2srt_cli.training.run import Run

FP32 = Machine(precision="float32", batch=BATCH, workers=1)
BF16 = Machine(precision="bfloat16", batch=BATCH, workers=1)
KINDS: dict[str, dict[str, Any]] = {
    "label-propagation": {"gain": 0.8},
    "c2srt": {},
    "clip-ft": {},
    "mkt": {"k": 8},
}
POOLS: dict[str, dict[str, Any]] = {
    "isr": {"patches.alpha": 0.6, "patches.max_patches": 60},
    "topk": {"patches": "topk", "patches.k": 60},
    "max": {"patches": "max"},
    "mean": {"patches": "mean"},
    "none": {"patches": "none"},
}


@pytest.fixture(autouse=True)
def _one_thread(tiny: str) -> None:
    """A model this small loses time on more."""


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_inputs(tmp_path_factory.mktemp("inputs"))


@pytest.fixture(scope="module")
def runs(inputs: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    folder = tmp_path_factory.mktemp("runs")
    return {name: train_run(inputs, folder / name, name, **given) for name, given in KINDS.items()}


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    path = tmp_path / "labels.txt"
    path.write_text("\n".join(["Thing 6", HIDDEN[1], "thing 2", HIDDEN[0], "thing 0", "new"]) + "\n")
    return path


def prepare(photographs: Path, labels: Path, run: Run | None, **options: Any) -> TagJob:
    rule = Rule(top_k=3 if run is not None and run.options.method == "mkt" else None)
    folder = None if run is None else run.folder
    options = {"machine": FP32, "all_scores": True, "run": folder, "rule": rule, **options}
    return prepare_tagging(TagOptions((str(photographs),), labels, **options), Progress())


def tagged(job: TagJob) -> dict[str, TaggedImage]:
    found = {result.path: result for batch in tag_images(job, job.source.items, Progress()) for _, result in batch}
    assert all(isinstance(result, TaggedImage) for result in found.values())
    return found  # type: ignore[return-value]


def embedded(photographs: Path, out: Path, inputs: Path, **options: Any) -> Path:
    options = {
        "needed": split_for("label-propagation"),
        "machine": FP32,
        "backbone": f"local-dir:{inputs / 'model'}",
        **options,
    }
    embed(prepare_embedding(EmbedOptions((str(photographs),), out, **options), Progress()), Progress())
    return out


def copied(run: Run, folder: Path) -> Run:
    shutil.copytree(run.folder, folder)
    return Run.open(folder)


def calibrated(run: Run, folder: Path, photographs: Path) -> tuple[Run, RunCalibration]:
    """A copy that knows probabilities; every threshold lies among the scores of its labels."""
    (folder.parent / "own.txt").write_text("\n".join(run.labels.names))
    job = prepare(photographs, folder.parent / "own.txt", run)
    scores = np.array([row.scores for row in tagged(job).values()])  # (N, L)
    maps = Calibration(9.0, -1.0, {}), Calibration(4.0, 0.5, {})
    parts = zip(maps, (run.seen, ~run.seen), strict=True)
    seen_bar, unseen_bar = (float(np.median(one.probability(scores[:, part]))) for one, part in parts)
    own = {"thing 2": np.quantile(scores[:, 2], 0.3), "thing 6": np.quantile(scores[:, 6], 0.9)}
    thresholds = {name: float(maps[name == "thing 6"].probability(score)) for name, score in own.items()}
    known = RunCalibration(*maps, seen_bar, unseen_bar, thresholds)
    shutil.copytree(run.folder, folder)
    write_json(folder / "calibration.json", known.record())
    return Run.open(folder), known


class TestScores:
    @pytest.mark.parametrize("name", list(KINDS))
    def test_are_those_that_evaluate_ranks(self, name: str, inputs: Path, runs: dict[str, Run], tmp_path: Path) -> None:
        """All labels of the run, in another order, from the same tokens."""
        order = [5, 0, 7, 2, 1, 6, 3, 4]
        (tmp_path / "all.txt").write_text("\n".join(f"thing {i}" for i in order))
        known, store = read_annotations(inputs / "a"), Store.open(inputs / "e")
        one = predictor(str(runs[name].folder), store, known, "default", Progress())
        found = tagged(prepare(inputs / "e", tmp_path / "all.txt", runs[name]))
        ((_, tokens, _),) = store.batches(range(len(store)), len(store))
        with torch.inference_mode():
            wanted = one(tokens).ranking.numpy()
        assert len(found) == len(store)
        for path, scores in zip(store.paths.to_pylist(), wanted, strict=True):
            np.testing.assert_allclose(found[path].scores or (), scores[order], rtol=0, atol=1e-5)

    @pytest.mark.parametrize("name", list(KINDS))
    def test_of_photographs_are_those_of_the_whole_tower(
        self, name: str, inputs: Path, runs: dict[str, Run], labels: Path
    ) -> None:
        """The early stages up to the split, then what the learner makes of its tokens."""
        run = runs[name]
        graph = inputs / "graph.json" if run.graph else None
        job = prepare(inputs / "photos", labels, run, graph=graph and str(graph))
        found = tagged(job)
        model = run.method()

        def text(some: LabelSet) -> torch.Tensor:
            return embed_labels(model, some, ("a photo of a {}.",), Progress())

        attached = attach(run, job.labels, text, None if graph is None else read_graph(graph))
        names = sorted(found)
        pixels = np.stack([load_pixels(inputs / "photos" / n, PixelSpec(**job.pixels)).array for n in names])
        with torch.inference_mode():
            tokens = model.backbone.early_stages(torch.from_numpy(pixels), 1)
            asked = attached.vocabulary.of(attached.columns)
            scores = model.scores(model.embed(tokens, asked, 1, None), asked).ranking.numpy()
        for path, row in zip(names, scores, strict=True):
            np.testing.assert_allclose(found[path].scores or (), row, rtol=0, atol=1e-5)

    @pytest.mark.parametrize("name", list(KINDS))
    def test_photographs_and_their_embeddings_agree_to_the_bit(
        self, name: str, inputs: Path, runs: dict[str, Run], labels: Path, tmp_path: Path
    ) -> None:
        """Where tokens are stored as they are computed, and from any split that is early enough."""
        photographs = prepare(inputs / "photos", labels, runs[name], machine=BF16)
        wanted = tagged(photographs)
        splits: tuple[dict[str, Any], ...] = (
            {},
            {"split_stage": 0},
            {"split_stage": 1, "patch_attention": "value", "streams": "both"},
        )
        for number, split_stage in enumerate(splits):
            e = embedded(inputs / "photos", tmp_path / f"{number}", inputs, machine=BF16, **split_stage)
            tokens = prepare(e, labels, runs[name], machine=Machine())
            assert tokens.encoder.runtime == photographs.encoder.runtime
            assert tagged(tokens) == wanted

    @pytest.mark.parametrize("name", list(KINDS))
    def test_order_and_company_do_not_matter(self, name: str, inputs: Path, runs: dict[str, Run], labels: Path) -> None:
        together = tagged(prepare(inputs / "photos", labels, runs[name]))
        for path in sorted((inputs / "photos").iterdir())[1:4]:
            (alone,) = tagged(prepare(path, labels, runs[name])).values()
            np.testing.assert_allclose(alone.scores or (), together[path.name].scores or (), rtol=0, atol=1e-6)

    def test_many_labels_are_scored_a_few_images_at_a_time(
        self, inputs: Path, runs: dict[str, Run], labels: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        wanted = tagged(prepare(inputs / "photos", labels, runs["c2srt"]))
        monkeypatch.setattr("c2srt_cli.predict.predictor.BLOCK", 1)
        for path, row in tagged(prepare(inputs / "photos", labels, runs["c2srt"])).items():
            np.testing.assert_allclose(row.scores or (), wanted[path].scores or (), rtol=0, atol=1e-6)


class TestDecision:
    def test_each_label_from_its_own_threshold_on(
        self, inputs: Path, runs: dict[str, Run], labels: Path, tmp_path: Path
    ) -> None:
        run, known = calibrated(runs["label-propagation"], tmp_path / "run", inputs / "photos")
        job = prepare(inputs / "photos", labels, run)
        given = 0
        for row in tagged(job).values():
            expected = {}
            for name, score in zip(job.labels.names, row.scores or (), strict=True):
                seen = name in {f"thing {i}" for i in range(SEEN)}
                slope, intercept = (9.0, -1.0) if seen else (4.0, 0.5)
                probability = 1 / (1 + math.exp(-(slope * score + intercept)))
                bar = known.thresholds.get(name.lower(), known.threshold if seen else known.unseen_threshold)
                if probability >= bar:
                    expected[name] = probability
            assert {tag.label: tag.probability for tag in row.tags} == pytest.approx(expected)
            given += len(expected)
        assert 0 < given < len(job.labels) * len(job.source.items)

    def test_what_the_user_says_goes_first(self, inputs: Path, runs: dict[str, Run], tmp_path: Path) -> None:
        run, known = calibrated(runs["label-propagation"], tmp_path / "run", inputs / "photos")
        (tmp_path / "table.csv").write_text("label,threshold\nthing 2,1.0\nthing 6,0.0\nnew,\nthing 0,\n")
        for rule in (Rule(), Rule(threshold=0.55)):
            job = prepare(inputs / "photos", tmp_path / "table.csv", run, rule=rule)
            for row in tagged(job).values():
                probability = job.predictor.probability(np.array(row.scores))
                assert probability is not None
                learned = [known.unseen_threshold, known.threshold]
                bars = [1.0, 0.0, *(learned if rule.by_preset else [0.55, 0.55])]
                expected = {n for n, p, bar in zip(job.labels.names, probability, bars, strict=True) if p >= bar}
                assert {tag.label for tag in row.tags} == expected
        job = prepare(inputs / "photos", tmp_path / "table.csv", run, rule=Rule(top_k=2))
        for row in tagged(job).values():
            scores = dict(zip(job.labels.names, row.scores or (), strict=True))
            del scores["thing 2"]  # its own threshold holds as well
            assert [tag.label for tag in row.tags] == sorted(scores, key=lambda name: -scores[name])[:2]

    def test_the_relative_rule_without_calibration(self, inputs: Path, runs: dict[str, Run], labels: Path) -> None:
        job = prepare(inputs / "photos", labels, runs["label-propagation"])
        for row in tagged(job).values():
            scores = dict(zip(job.labels.names, row.scores or (), strict=True))
            bar = max(scores.values()) - math.log(10) / 100
            assert {tag.label for tag in row.tags} == {name for name, score in scores.items() if score >= bar}
            assert {tag.probability for tag in row.tags} == {None}
        with pytest.raises(UsageError, match="not calibrated"):
            prepare(inputs / "photos", labels, runs["label-propagation"], rule=Rule(threshold=0.5))

    def test_scores_that_depend_on_the_vocabulary_have_no_probability(
        self, inputs: Path, runs: dict[str, Run], labels: Path, tmp_path: Path
    ) -> None:
        run, _ = calibrated(runs["mkt"], tmp_path / "run", inputs / "photos")
        for row in tagged(prepare(inputs / "photos", labels, run)).values():
            assert {tag.probability for tag in row.tags} == {None}
            assert len(row.tags) == 3
        for rule in (Rule(), Rule(threshold=0.5)):
            with pytest.raises(UsageError, match="scales its scores over the vocabulary"):
                prepare(inputs / "photos", labels, run, rule=rule)


class TestExplain:
    @pytest.mark.parametrize("name", [*KINDS, *POOLS])
    def test_patches_and_sources(
        self, name: str, inputs: Path, runs: dict[str, Run], labels: Path, tmp_path: Path
    ) -> None:
        """Of zero-shot poolings and of runs: patches by a plain loop over the embeddings of each image."""
        run = runs.get(name)
        method = METHODS["zero-shot"].defaults() if run else resolve("zero-shot", POOLS[name])
        backbone = None if run else f"local-dir:{inputs / 'model'}"
        out = tmp_path / "reasons.jsonl"
        options: dict[str, Any] = {"method": method, "backbone": backbone, "rule": Rule(top_k=3)}
        job = prepare(inputs / "photos", labels, run, explain=out, **options)
        tag_to_files(job, WRITERS["jsonl"], tmp_path / "tags.jsonl", Progress(), overwrite=False)
        lines = [json.loads(line) for line in out.read_text().splitlines()]
        rows = [json.loads(line) for line in (tmp_path / "tags.jsonl").read_text().splitlines()]
        assert [line["path"] for line in lines] == [row["path"] for row in rows]
        patches: dict[str, torch.Tensor] = {}
        for batch in job.source.batches(job.source.items):
            trained = batch.embedding.patches.double()
            patches |= {item.name: part for item, part in zip(batch.items, trained, strict=False)}
        kind = {"label-propagation": "isr", "c2srt": "isr", "clip-ft": "none", "mkt": "topk"}.get(name, name)
        alpha, cap = (0.5, 8 if name == "mkt" else 32) if run else (0.6, 60)
        for line, row in zip(lines, rows, strict=True):
            assert line["grid"] == [4, 4]
            assert [entry["label"] for entry in line["labels"]] == [tag["label"] for tag in row["tags"]]
            for entry, tag in zip(line["labels"], row["tags"], strict=True):
                text = job.text[job.labels.names.index(entry["label"])].double()
                norms = [1.0 if name == "mkt" else float(patch.norm()) for patch in patches[line["path"]]]
                found = [float(text @ patch) / n for patch, n in zip(patches[line["path"]], norms, strict=True)]
                wanted = chosen(found, kind, alpha, math.ceil(cap * 16 / 196))
                assert [4 * patch["row"] + patch["col"] for patch in entry["patches"]] == wanted
                np.testing.assert_allclose(
                    [patch["similarity"] for patch in entry["patches"]], [found[i] for i in wanted], atol=2e-6
                )
                assert tag["share"] == (len(wanted) / 16 if wanted else None)
                if run is None or run.graph is None:
                    assert entry["sources"] == []
                else:
                    self.check_sources(entry, job, run)

    @staticmethod
    def check_sources(entry: dict[str, Any], job: TagJob, run: Run) -> None:
        """Against the graph that the labels are attached to."""
        assert run.graph is not None
        assert job.predictor.attached is not None
        graph = job.predictor.attached.graph
        assert graph is not None
        names = [label.key for label in graph.labels]
        seen = {label.key for label, known in zip(run.labels, run.seen, strict=True) if known}
        there: dict[str, Any] = {
            names[edge.source]: (edge.relation, edge.strength)
            for edge in graph.edges
            if names[edge.target] == entry["label"].lower()
        }
        if run.options.method == "label-propagation" and entry["label"].lower() in seen:
            there = {}  # what is seen needs nobody
        said = {s["label"]: (s["relation"], pytest.approx(s["strength"])) for s in entry["sources"]}
        assert there == said
        attention = [source["attention"] for source in entry["sources"]]
        assert attention == sorted(attention, reverse=True)
        if run.options.method == "c2srt":
            assert sum(attention) == pytest.approx(len(attention), abs=1e-4)  # 1 where each has its equal share
        else:
            assert attention == [pytest.approx(source["strength"], abs=1e-4) for source in entry["sources"]]
        added = sum(source["contribution"] for source in entry["sources"])
        assert added == pytest.approx(entry["score"] - entry["base_score"], abs=1e-5)

    @pytest.mark.parametrize("name", ["jsonl", "xmp"])
    def test_killed_at_any_write(  # noqa: PLR0917
        self,
        name: str,
        inputs: Path,
        runs: dict[str, Run],
        labels: Path,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """No line is lost or stands twice."""
        where = tmp_path / "now"

        def job() -> TagJob:
            options: dict[str, Any] = {"rule": Rule(top_k=2), "all_scores": False}
            return prepare(inputs / "photos", labels, runs["label-propagation"], explain=where / "why.jsonl", **options)

        def run(made: TagJob, progress: Progress | None = None) -> None:
            out = where / "tags.jsonl" if name == "jsonl" else where / "sidecars"
            tag_to_files(made, WRITERS[name], out, progress or Progress(), overwrite=False)

        prepared = job()
        run(prepared)
        expected = content(where)
        assert len(expected["why.jsonl"].splitlines()) == len(prepared.source.items)
        real = os.fsync
        for number in range(1, 60):
            shutil.rmtree(where)
            with monkeypatch.context() as patch:
                patch.setattr(os, "fsync", die_at(number, real))
                patch.setattr(journal, "SYNC", 0)
                try:
                    run(prepared)
                except Killed:
                    pass
                else:
                    break
            run(prepared)
            assert content(where) == expected, f"killed at write {number}"
        assert number > 8

    def test_a_stream_has_it_too(self, inputs: Path, runs: dict[str, Run], labels: Path, tmp_path: Path) -> None:
        job = prepare(inputs / "photos", labels, runs["c2srt"], explain=tmp_path / "why.jsonl")
        for _ in range(2):  # its own file is replaced
            with (tmp_path / "tags").open("w") as stream:
                tag_to_stream(job, WRITERS["jsonl"], stream, Progress())
            assert len((tmp_path / "why.jsonl").read_text().splitlines()) == len(job.source.items)
        (tmp_path / "why.jsonl").write_text("the user's")
        with pytest.raises(InputError, match="not written by c2srt"), (tmp_path / "tags").open("w") as stream:
            tag_to_stream(job, WRITERS["jsonl"], stream, Progress())
        assert (tmp_path / "why.jsonl").read_text() == "the user's"

    def test_files_that_it_is_not_written_to(
        self, inputs: Path, runs: dict[str, Run], labels: Path, tmp_path: Path
    ) -> None:
        run = copied(runs["c2srt"], tmp_path / "run")
        before = content(tmp_path)
        for target in (labels, run.folder / "model.safetensors", run.folder / "config.toml"):
            with pytest.raises(UsageError, match="never written to"):
                job = prepare(inputs / "photos", labels, run, explain=target)
                tag_to_files(job, WRITERS["jsonl"], tmp_path / "t.jsonl", Progress(), overwrite=True)
            with pytest.raises(UsageError, match="never written to"):
                tag_to_files(
                    prepare(inputs / "photos", labels, run), WRITERS["jsonl"], target, Progress(), overwrite=True
                )
        with pytest.raises(UsageError, match="the file of the tags"):
            job = prepare(inputs / "photos", labels, run, explain=tmp_path / "t.jsonl")
            tag_to_files(job, WRITERS["jsonl"], tmp_path / "t.jsonl", Progress(), overwrite=True)
        assert content(tmp_path) == before


def chosen(found: list[float], kind: str, alpha: float, cap: int) -> list[int]:
    """Places of the patches that a pooling takes, best first."""
    best_first = sorted(range(len(found)), key=lambda i: (-found[i], i))
    if kind == "isr":
        weights = [math.exp(100 * value) for value in found]
        count, mass = 0, 0.0
        while mass < alpha * sum(weights) and count < cap:
            mass += weights[best_first[count]]
            count += 1
        return best_first[:count]
    return best_first[: {"topk": cap, "max": 1}.get(kind, 0)]


class TestRefusals:
    def test_what_the_run_has_decided(self, inputs: Path, runs: dict[str, Run], labels: Path) -> None:
        given: dict[str, Any] = {
            "templates": "clip",
            "method": resolve("zero-shot", {"alpha": 0.3}),
            "patch_attention": "value",
            "fit": "pad",
        }
        with pytest.raises(UsageError, match="decided by the run") as refused:
            prepare(inputs / "photos", labels, runs["c2srt"], **given)
        assert refused.value.problems == ("--templates", "--set", "--patch-attention", "--fit")

    def test_another_backbone(self, inputs: Path, runs: dict[str, Run], labels: Path, tmp_path: Path) -> None:
        other = write_tiny_model(tmp_path / "model", seed=5)
        for photos, run in ((inputs / "photos", runs["c2srt"]), (inputs / "e", None)):
            with pytest.raises(UsageError, match="is not the backbone that this was made with") as refused:
                prepare(photos, labels, run, backbone=other)
            assert refused.value.problems[0].startswith("weights_sha256: ")

    def test_a_graph_without_use(self, inputs: Path, runs: dict[str, Run], labels: Path) -> None:
        graph = str(inputs / "graph.json")
        with pytest.raises(UsageError, match="none in common"):
            prepare(inputs / "photos", labels, None, graph="coco-80", backbone=f"local-dir:{inputs / 'model'}")
        unfitted = resolve("zero-shot", {"propagation.gain": "fit"})
        with pytest.raises(UsageError, match="no annotations to fit the gain on"):
            prepare(inputs / "photos", labels, None, graph=graph, method=unfitted)
        with pytest.raises(UsageError, match="moves nothing"):
            prepare(inputs / "photos", labels, runs["clip-ft"], graph=graph)
        with pytest.raises(InputError, match="neither a graph file"):
            prepare(inputs / "photos", labels, runs["c2srt"], graph="no such")

    def test_what_is_no_run(self, inputs: Path, labels: Path, runs: dict[str, Run], tmp_path: Path) -> None:
        for folder in (inputs / "e", tmp_path / "nothing"):
            with pytest.raises((InputError, UsageError), match=r"is not a run|no method or run"):
                prepare_tagging(TagOptions((str(inputs / "photos"),), labels, run=folder), Progress())
        run = copied(runs["c2srt"], tmp_path / "run")
        (run.folder / "manifest.json").rename(run.folder / "unfinished.json")
        with pytest.raises(InputError, match="unfinished"):
            prepare(inputs / "photos", labels, run)

    def test_embeddings_that_it_cannot_go_on_from(
        self, inputs: Path, runs: dict[str, Run], labels: Path, tmp_path: Path
    ) -> None:
        photos = inputs / "photos"
        late = embedded(photos, tmp_path / "late", inputs, split_stage=2)
        local = embedded(photos, tmp_path / "local", inputs, needed=split_for("zero-shot"))
        fit = embedded(photos, tmp_path / "fit", inputs, fit="pad")
        other = write_tiny_model(tmp_path / "model", seed=5)
        foreign = embedded(photos, tmp_path / "foreign", inputs, backbone=other)
        faults = {
            late: ["split: 2 of 3 stages"],
            local: ["streams: the local one", "split: 3 of 3"],
            fit: ["pixels: "],
            foreign: ["backbone: "],
        }
        for folder, starts in faults.items():
            with pytest.raises(InputError, match="cannot go on from these") as refused:
                prepare(folder, labels, runs["c2srt"])
            problems = refused.value.problems
            assert [p.startswith(s) for p, s in zip(problems, starts, strict=True)] == [True] * len(starts), problems
            assert " --for c2srt --fit " in (refused.value.hint or "")

    def test_a_tagging_goes_on_with_the_same_run_only(
        self, inputs: Path, runs: dict[str, Run], labels: Path, tmp_path: Path
    ) -> None:
        out = tmp_path / "tags.jsonl"
        job = prepare(inputs / "photos", labels, runs["label-propagation"])
        with pytest.raises(Interrupted):
            tag_to_files(job, WRITERS["jsonl"], out, stop_after(2), overwrite=False)
        other = train_run(inputs, tmp_path / "other", gain=0.8, seed=3)
        with pytest.raises(InputError, match="other options") as refused:
            tag_to_files(prepare(inputs / "photos", labels, other), WRITERS["jsonl"], out, Progress(), overwrite=False)
        assert {problem.partition(":")[0] for problem in refused.value.problems} == {"run", "run_weights_sha256"}
        with pytest.raises(InputError, match="other options") as refused:
            graph = prepare(inputs / "photos", labels, runs["label-propagation"], graph=str(inputs / "graph.json"))
            tag_to_files(graph, WRITERS["jsonl"], out, Progress(), overwrite=False)
        assert [problem.partition(":")[0] for problem in refused.value.problems] == ["graph"]
        assert tag_to_files(job, WRITERS["jsonl"], out, Progress(), overwrite=False).resumed == 2 * BATCH
        made = read_manifest_of(out)
        manifest = read_manifest(runs["label-propagation"].folder, "run", 2)
        assert made["inputs"]["run"] == made["options"]["run"] == fingerprint(manifest)
        assert (made["options"]["method"], made["kind"]) == ("label-propagation", "tags")


def read_manifest_of(out: Path) -> dict[str, Any]:
    made: dict[str, Any] = json.loads(out.with_name(f"{out.name}.manifest.json").read_text())
    return made


def test_as_a_user_types_it(  # noqa: PLR0917
    inputs: Path,
    runs: dict[str, Run],
    labels: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def c2srt(*arguments: object) -> tuple[int | str | None, str, str]:
        monkeypatch.setattr("sys.argv", ["c2srt", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            main()
        return end.value.code or 0, *capsys.readouterr()

    monkeypatch.setenv("COLUMNS", "200")
    command = (
        "tag",
        inputs / "photos",
        "-l",
        labels,
        "--run",
        runs["label-propagation"].folder,
        "--precision",
        "float32",
    )
    extra = ("--batch-size", BATCH, "--graph", inputs / "graph.json", "--explain", tmp_path / "why.jsonl", "--top-k", 2)
    code, out, err = c2srt(*command, *extra)
    assert code == 0, err
    assert "2 of 6 labels are seen ones of the run; 1 are its unseen ones; 3 are new to it" in err
    assert "attached 2 by the graph and 1 by their texts" in err
    job = prepare(
        inputs / "photos", labels, runs["label-propagation"], graph=str(inputs / "graph.json"), rule=Rule(top_k=2)
    )
    expected = {path: [tag.label for tag in row.tags] for path, row in tagged(job).items()}
    found = {row["path"]: [tag["label"] for tag in row["tags"]] for row in map(json.loads, out.splitlines())}
    assert found == expected
    code, _, err = c2srt(*command, "--set", "patches=max", "--templates", "default")
    assert code == 2
    assert "decided by the run" in err
    assert "--templates" in err
    assert "--set" in err


def test_doctor_verifies_runs_and_explanations(
    inputs: Path, runs: dict[str, Run], labels: Path, tmp_path: Path
) -> None:
    job = prepare(inputs / "photos", labels, runs["c2srt"], explain=tmp_path / "why.jsonl")
    tag_to_files(job, WRITERS["jsonl"], tmp_path / "t.jsonl", Progress(), overwrite=False)
    run, _ = calibrated(runs["c2srt"], tmp_path / "run", inputs / "photos")
    found = examine([runs["c2srt"].folder, run.folder, tmp_path / "why.jsonl", tmp_path / "t.jsonl"])[-4:]
    assert [finding.state for finding in found] == ["ok"] * 4
    assert f"{LABELS} labels, {SEEN} of them seen, not calibrated" in found[0].detail
    assert found[1].detail.endswith("seen, calibrated")
    assert found[2].detail == "explanations, as they were written"
    (run.folder / "model.safetensors").write_bytes(b"damaged")
    assert examine([run.folder])[-1].state == "bad"


def test_photographs_beside_those_of_the_training(runs: dict[str, Run], labels: Path, tmp_path: Path) -> None:
    """--no-draft may be asked for; the rest of the pixels is as the run says."""
    write_photos(tmp_path / "more", 2, seed=7, suffix=".jpg")
    job = prepare(tmp_path / "more", labels, runs["c2srt"], draft=False)
    made = runs["c2srt"].manifest["options"]["pixels"]
    assert job.pixels == {**made, "draft": False}
    assert len(tagged(job)) == 2
