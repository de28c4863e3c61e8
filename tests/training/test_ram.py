"""RAM from stored tokens to tags: what learns, what is kept, and on what its scores depend."""

import math
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from sklearn.linear_model import LogisticRegression
from tiny import bare
from tiny_runs import needs_graph, split_for, stops_before_the_end, write_embedded, write_with_graph
from torch.nn.functional import normalize

from c2srt_cli.backbone.embedding import ImageEmbedding
from c2srt_cli.backbone.registry import load_backbone
from c2srt_cli.backbone.tower import Tokens
from c2srt_cli.datasets.annotations import read_annotations
from c2srt_cli.embeddings.embed import EmbedOptions, embed, prepare_embedding
from c2srt_cli.embeddings.encoder import Machine
from c2srt_cli.embeddings.store import Store
from c2srt_cli.errors import InputError
from c2srt_cli.evaluation.protocol import protocol
from c2srt_cli.evaluation.score import predictor, score_split
from c2srt_cli.methods.isr import patch_cap
from c2srt_cli.methods.kcot import teacher_plan
from c2srt_cli.methods.method import Method
from c2srt_cli.methods.vocabulary import Labels
from c2srt_cli.progress import Progress
from c2srt_cli.tagging.decision import Rule
from c2srt_cli.tagging.job import TagJob
from c2srt_cli.tagging.tag import TagOptions, prepare_tagging
from c2srt_cli.tagging.tagger import tag_images
from c2srt_cli.training import run as runs
from c2srt_cli.training.config import resolve
from c2srt_cli.training.fit import build
from c2srt_cli.training.prepare import TrainOptions, prepare_training
from c2srt_cli.training.run import Run
from c2srt_cli.training.train import TrainResult, train
from c2srt_cli.training.validation import predict

with warnings.catch_warnings():  # of back ends that are not installed
    warnings.simplefilter("ignore")
    import ot

PHOTOS, LABELS, SEEN = 30, 8, 5
#: Every part moves, and the label words differ under two templates.
PLAIN: dict[str, Any] = {"text_tokens.count": 0, "adapters.vision_tokens": 0}


@pytest.fixture(autouse=True)
def _one_thread(tiny: str) -> None:
    """A model this small loses time on more."""


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images, annotations ``a``, embeddings ``e`` with both streams, and a graph."""
    return write_with_graph(
        tmp_path_factory.mktemp("inputs"), photos=PHOTOS, train=22, labels=LABELS, seen=SEEN, method="ram"
    )


def run(inputs: Path, out: Path, progress: Any = None, **given: Any) -> TrainResult:
    own = {"epochs": 2, "batch_size": 8, "validation": 0.2, "lr_new": 1e-2, "calibrate": False}
    config = resolve(given.pop("method", "ram"), {**own, **given})
    graph = str(inputs / "graph.json") if needs_graph(config) else None
    wanted = TrainOptions(inputs / "e", inputs / "a", out, config, graph)
    return train(prepare_training(wanted, progress or Progress()), progress or Progress())


def scores_of(inputs: Path, run: Path, folder: Path) -> dict[str, np.ndarray]:
    """Scores of the test images in each setting, ``(L, N)``."""
    known, store = read_annotations(inputs / "a"), Store.open(inputs / "e")
    one = predictor(str(run), store, known, "default", Progress())
    files = score_split(one, store, known, protocol("table"), folder=folder, progress=Progress())
    return {setting: file.read(np.arange(len(file.columns))) for setting, file in files.items()}


def test_the_tower_stays_as_it_is_and_all_else_learns(inputs: Path, tmp_path: Path) -> None:
    result = run(inputs, tmp_path / "run")
    assert (result.epochs, result.diverged) == (2, False)
    kept = load_file(tmp_path / "run" / runs.WEIGHTS)
    assert not any(name.startswith("visual.") for name in kept)
    opened = Run.open(tmp_path / "run")
    torch.manual_seed(0)
    job = prepare_training(
        TrainOptions(inputs / "e", inputs / "a", tmp_path / "other", opened.options, None), Progress()
    )
    torch.manual_seed(opened.options.training.seed)
    fresh = build(opened.options, job.backbone).learned()
    assert kept.keys() == fresh.keys()
    assert not {name for name in kept if torch.equal(kept[name], fresh[name].detach())}
    scores = scores_of(inputs, tmp_path / "run", tmp_path / "s")
    assert {name: found.shape for name, found in scores.items()} == {"ZSL": (3, 8), "GZSL": (LABELS, 8)}
    for found in scores.values():  # the mean of two softmaxes over what is ranked
        np.testing.assert_allclose(found.sum(0), 1.0, atol=1e-5)


@pytest.mark.parametrize("patch_attention", ["value-all", "none"])
def test_step_0_is_two_softmaxes_of_the_backbone_as_it_is(patch_attention: str, inputs: Path, tmp_path: Path) -> None:
    """METHODS 3: the plan by POT, on the frozen value-value stream."""
    if patch_attention == "none":
        run(
            inputs,
            tmp_path / "run",
            lr_new=1e-30,
            weight_decay=0.0,
            epochs=1,
            patch_attention=patch_attention,
            trained_stages=1,
            lr=1e-30,
            **PLAIN,
            **{"adapters.stages": 0},
        )
    else:
        run(inputs, tmp_path / "run", lr_new=1e-30, weight_decay=0.0, epochs=1, **PLAIN)
    got = scores_of(inputs, tmp_path / "run", tmp_path / "s")["GZSL"]
    opened, store, known = Run.open(tmp_path / "run"), Store.open(inputs / "e"), read_annotations(inputs / "a")
    backbone = opened.method().backbone
    test = store.find([known.paths[i] for i in known.rows("test")])
    ((_, tokens, _),) = store.batches(test, len(test))
    with torch.inference_mode():
        assert tokens.x is not None
        assert tokens.local is not None
        tokens = Tokens(tokens.x.float(), tokens.local.float() if patch_attention == "value-all" else None)
        whole, patches = backbone.late_stages(
            tokens, 0, patch_attention=None if patch_attention == "none" else patch_attention
        )
        assert whole is not None
        text = opened.text
        for i in range(len(test)):
            cosines = normalize(patches[i], dim=-1) @ text.T
            cost = 1 - (backbone.logit_scale * cosines).softmax(1)
            a = (cosines.max(1).values / 0.1).softmax(0).double()
            b = np.full(LABELS, 1 / LABELS)
            plan = ot.sinkhorn(a.numpy() / a.numpy().sum(), b, cost.double().numpy(), 0.1, stopThr=1e-9)
            local = LABELS * (torch.from_numpy(plan).float() * cosines).sum(0)
            sides = backbone.logit_scale * (text @ normalize(whole[i], dim=-1)), 10.0 * local
            wanted = torch.stack(sides).softmax(1).mean(0)
            np.testing.assert_allclose(got[:, i], wanted, atol=2e-3 * float(wanted.max()))


def test_the_teacher_is_heard_in_training_alone(inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And reads labels as the frozen text tower gives them, whatever tokens have learned."""
    heard = list[torch.Tensor]()

    def counted(similarity: torch.Tensor, truth: torch.Tensor, *rest: Any) -> torch.Tensor:
        heard.append(similarity)
        return teacher_plan(similarity, truth, *rest)

    monkeypatch.setattr("c2srt_cli.methods.method.teacher_plan", counted)
    run(inputs, tmp_path / "taught", epochs=1)
    assert len(heard) == 3  # steps
    assert not any(similarity.requires_grad for similarity in heard)
    opened = Run.open(tmp_path / "taught")
    job = prepare_training(TrainOptions(inputs / "e", inputs / "a", tmp_path / "other", opened.options), Progress())
    model = opened.method().train()
    moved = job.data.labels_of(model, np.arange(SEEN))
    torch.testing.assert_close(moved.frozen_text, job.data.vocabulary.text[:SEEN])
    assert (moved.text - moved.frozen_text).abs().max() > 1e-2
    ((_, tokens, _),) = job.data.train.batches(np.arange(2), 2)
    image = model.embed(tokens.to("cpu", torch.float32), moved, job.data.split_stage, "value-all")
    assert image.frozen is not None
    del heard[:]
    model.scores(image, moved, torch.ones(2, SEEN))
    (similarity,) = heard
    frozen = normalize(image.frozen.patches, dim=-1)
    torch.testing.assert_close(similarity, frozen @ job.data.vocabulary.text[:SEEN].T)
    del heard[:]
    run(inputs, tmp_path / "alone", epochs=1, **{"patches.tkt_weight": 0.0})
    assert not heard
    first, second = (load_file(tmp_path / name / runs.WEIGHTS) for name in ("taught", "alone"))
    assert any(not torch.equal(first[name], second[name]) for name in first)
    scores_of(inputs, tmp_path / "taught", tmp_path / "s")
    assert not heard


def test_what_starts_at_random_as_published(inputs: Path) -> None:
    """A second learner takes the first one's tokens away before it looks for a start of its own."""
    made = list[Method]()
    backbone = load_backbone(f"local-dir:{inputs / 'model'}")
    for random in (False, True, False):
        config = resolve("ram", {"adapters.random_init": random, "text_tokens.random_init": random, "layers": 2})
        torch.manual_seed(0)
        made.append(build(config, backbone))
        assert made[-1].adapters is not None
        assert bool(made[-1].adapters.stages[0].out.weight.any()) == random  # type: ignore[operator, union-attr]
    one, plain, again = (list(model.text_tokens.vectors) for model in made if model.text_tokens)
    assert all(0.015 < vector.std() < 0.025 for vector in plain)
    for first, second, third in zip(one, again, plain, strict=True):
        assert torch.equal(first, second)
        assert not torch.equal(first, third)


def test_softmaxes_are_transferred_and_so_are_their_logits(inputs: Path, tmp_path: Path) -> None:
    """The same weights; for unseen labels a third of the logit is the trained one, and their sources come on top."""
    given = {"patches": "topk", "patches.k": 32, "zero_shot_weight": 2 / 3, **PLAIN}
    run(inputs, tmp_path / "alone", **given)
    run(inputs, tmp_path / "run", **given, **{"propagation.gain": 0.3})
    first, second = (load_file(tmp_path / name / runs.WEIGHTS) for name in ("alone", "run"))
    assert all(torch.equal(first[name], second[name]) for name in first)
    opened, store, known = Run.open(tmp_path / "run"), Store.open(inputs / "e"), read_annotations(inputs / "a")
    model, columns = opened.method(), np.arange(LABELS)
    ((_, tokens, _),) = store.batches(store.find([known.paths[i] for i in known.rows("test")]), PHOTOS)
    scales, logits = second["log_scales"].exp(), list[torch.Tensor]()
    with torch.inference_mode():
        asked = opened.vocabulary().of(columns)
        image = model.embed(
            tokens.to("cpu", torch.float32), asked, int(store.manifest["options"]["split_stage"]), "value-all"
        )
        found = model.scores(image, asked)
        assert image.frozen is not None
        for now in (image, image.frozen):
            whole_then, patches_then = now.global_, now.patches
            cosines = normalize(patches_then, dim=-1) @ opened.text.T  # (B, P, L)
            local = cosines.sort(1, descending=True).values[:, : patch_cap(cosines.shape[1], 32)]
            sides = normalize(whole_then, dim=-1) @ opened.text.T, local.mean(1)
            logits.append(torch.stack([scale * side for scale, side in zip(scales, sides, strict=True)]))
    both = logits[0].clone()  # (2, B, L)
    both[..., SEEN:] = both[..., SEEN:] / 3 + 2 / 3 * logits[1][..., SEEN:]
    center = float(second["propagation.center"])
    wanted_run = TrainOptions(
        inputs / "e", inputs / "a", tmp_path / "other", opened.options, str(inputs / "graph.json")
    )
    job = prepare_training(wanted_run, Progress())
    trained, _ = predict(Run.open(tmp_path / "alone").method(), job.data, np.arange(SEEN), logit=True)
    assert opened.graph is not None
    softmaxes, means = both.softmax(2).mean(0), both.mean(0) / model.backbone.logit_scale
    for got, own, mean in (
        (scores_of(inputs, tmp_path / "run", tmp_path / "s")["GZSL"].T, softmaxes, 1 / LABELS),
        (found.logit.numpy(), means, center),
    ):
        wanted = own.clone()
        for edge in opened.graph.edges:
            if edge.target >= SEEN:
                wanted[:, edge.target] += 0.3 * edge.strength * (own[:, edge.source] - mean)
        np.testing.assert_allclose(got, wanted, atol=1e-5)
        assert not np.allclose(got, own, atol=1e-3)
    assert center == pytest.approx(float(trained.mean()), abs=1e-3)


@pytest.mark.parametrize("given", [{}, {"adapters.norm": "batch", "ema": 0.9}], ids=str)
def test_a_run_stopped_after_every_step_is_the_same(given: dict[str, Any], inputs: Path, tmp_path: Path) -> None:
    run(inputs, tmp_path / "whole", **given)
    stops = stops_before_the_end(
        lambda: run(inputs, tmp_path / "parts", **given, progress=Progress(stopped=lambda: True))
    )
    assert stops >= 4
    for name in (runs.WEIGHTS, runs.HISTORY, runs.METRICS):
        assert (tmp_path / "parts" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name
    kept = load_file(tmp_path / "whole" / runs.WEIGHTS)
    assert any("running_mean" in name for name in kept) == ("adapters.norm" in given)


@pytest.mark.parametrize(
    "given",
    [
        {"method": "label-propagation", "patches": "kcot", "gain": 0.4},
        {"method": "label-propagation", "adapters.stages": 2, "patch_attention": "value-all"},
        {"patches": "isr"},
        {"patches": "mean", "adapters.stages": 0},
        {"patches": "topk", "zero_shot_weight": 0.5, "text_tokens.count": 0},
        {"propagation.gain": "fit"},
        {"method": "c2srt", "patches": "kcot", "trained_stages": 1, "patch_attention": "value-all"},
    ],
    ids=str,
)
def test_modules_of_both_papers_go_together(given: dict[str, Any], inputs: Path, tmp_path: Path) -> None:
    assert not run(inputs, tmp_path / "run", epochs=1, **given).diverged
    for found in scores_of(inputs, tmp_path / "run", tmp_path / "s").values():
        assert np.isfinite(found).all()
        assert len(np.unique(found)) > found.size / 2


def tagging(labels: Path, run: Path, source: Path, **options: Any) -> TagJob:
    wanted = {"machine": Machine(precision="float32", batch=4, workers=1), "all_scores": True, "run": run, **options}
    return prepare_tagging(TagOptions((str(source),), labels, **wanted), Progress())


def scores(job: TagJob) -> np.ndarray:
    found = {result.path: result for batch in tag_images(job, job.source.items, Progress()) for _, result in batch}
    return np.array([found[path].scores for path in sorted(found)])  # type: ignore[union-attr]


def test_images_and_their_embeddings_get_the_same_tags(inputs: Path, tmp_path: Path) -> None:
    run(inputs, tmp_path / "run")
    (tmp_path / "labels.txt").write_text("thing 1\na new one\nThing 6\nthing 0\n")
    (tmp_path / "fewer.txt").write_text("thing 1\na new one\n")
    options: dict[str, Any] = {"rule": Rule(top_k=2)}
    photos = scores(tagging(tmp_path / "labels.txt", tmp_path / "run", inputs / "photos", **options))
    tokens = scores(tagging(tmp_path / "labels.txt", tmp_path / "run", inputs / "e", **options))
    np.testing.assert_allclose(photos, tokens, atol=2e-3)  # tokens are stored in bfloat16
    np.testing.assert_allclose(photos.sum(1), 1.0, atol=1e-5)  # the published score, a softmax
    fewer = scores(tagging(tmp_path / "fewer.txt", tmp_path / "run", inputs / "photos", **options))
    assert np.abs(fewer - photos[:, :2]).max() > 1e-4  # adapters and transport read the vocabulary
    wanted = EmbedOptions(
        (str(inputs / "photos"),),
        tmp_path / "e",
        needed=split_for("label-propagation"),
        backbone=f"local-dir:{inputs / 'model'}",
    )
    embed(prepare_embedding(wanted, Progress()), Progress())
    with pytest.raises(Exception, match="cannot go on from these embeddings") as caught:
        tagging(tmp_path / "labels.txt", tmp_path / "run", tmp_path / "e", **options)
    assert "patch attention: none there, ram reads value-all" in caught.value.problems  # type: ignore[attr-defined]


def test_probabilities_come_from_logits(inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Platt's map by scikit-learn on the mean of both logits of the validation set, which the tags then carry."""
    monkeypatch.setattr("c2srt_cli.training.calibrate.LEAST", 1)
    run(inputs, tmp_path / "run", calibrate=True, validation=0.4)
    opened, store = Run.open(tmp_path / "run"), Store.open(inputs / "e")
    (tmp_path / "labels.txt").write_text("".join(f"thing {i}\n" for i in range(SEEN)))
    job = tagging(tmp_path / "labels.txt", tmp_path / "run", inputs / "e")
    config = resolve("ram", {"epochs": 2, "batch_size": 8, "validation": 0.4, "lr_new": 1e-2})
    again = prepare_training(TrainOptions(inputs / "e", inputs / "a", tmp_path / "other", config), Progress())
    model: Any = opened.method()
    validation = again.data.validation
    numbers, tokens, _ = next(validation.batches(np.arange(len(validation)), 99))
    with torch.inference_mode():
        asked = opened.vocabulary().of(np.arange(SEEN))
        image = model.embed(tokens.to("cpu", torch.float32), asked, again.data.split_stage, "value-all")
        sides, _ = model.base_scores(image, asked.text)
        logits = (sides * model.log_scales.exp()).mean(-1).numpy() / model.backbone.logit_scale
    present = again.data.annotations.truth(numbers, np.arange(SEEN)) > 0
    target = np.where(present, (present.sum() + 1) / (present.sum() + 2), 1 / ((~present).sum() + 2))
    rows = np.concatenate([logits.ravel(), logits.ravel()])[:, None]
    given = np.repeat([1, 0], logits.size)
    weights = np.concatenate([target.ravel(), 1 - target.ravel()])
    wanted = LogisticRegression(C=np.inf, tol=1e-10, max_iter=2000).fit(rows * 10, given, weights)
    calibration = opened.calibration
    assert calibration is not None
    assert calibration.seen.slope == pytest.approx(10 * wanted.coef_[0, 0], rel=1e-2, abs=1e-3)
    paths = {again.data.annotations.paths[n]: row for n, row in zip(numbers.tolist(), logits, strict=True)}
    found: dict[str, Any] = {
        result.path: result for batch in tag_images(job, job.source.items, Progress()) for _, result in batch
    }
    assert len(store) == PHOTOS
    told = 0
    for path, row in paths.items():
        for tag in found[path].tags:
            told += 1
            logit = row[int(tag.label.split()[1])]
            assert tag.probability == pytest.approx(float(calibration.seen.probability(np.array(logit))), abs=1e-4)
    assert told


def test_a_machine_that_is_probed_for_the_first_time(
    inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(inputs, tmp_path / "run", epochs=1)
    monkeypatch.setenv("C2SRT_HOME", str(tmp_path / "home"))
    (tmp_path / "labels.txt").write_text("thing 1\na new one\n")
    job = tagging(tmp_path / "labels.txt", tmp_path / "run", inputs / "photos", machine=Machine(), rule=Rule(top_k=1))
    assert np.isfinite(scores(job)).all()


def test_images_of_which_no_label_is_known() -> None:
    """As a batch of Open Images may be."""
    one = bare("ram", 8, 100.0)
    image = ImageEmbedding(torch.randn(2, 8), torch.randn(2, 4, 8))
    none = Labels(torch.randn(0, 8), torch.randn(0, 8), (), torch.empty(0).long(), torch.empty(0).bool(), 0)
    assert one.scores(image, none, torch.zeros(2, 0)).ranking.shape == (2, 0)


def test_regions_that_could_not_be_matched_are_told(inputs: Path, tmp_path: Path) -> None:
    notes = list[str]()
    progress = Progress(note=notes.append)
    run(inputs, tmp_path / "run", progress, ot_reg=1e-4, tkt_weight=0.0, lpd_temperature=0.001)
    told = [
        note for note in notes if "are not matched within 100 iterations; a larger patches.ot_reg than 0.0001" in note
    ]
    assert len(told) == 2  # epochs
    known, store = read_annotations(inputs / "a"), Store.open(inputs / "e")
    one = predictor(str(tmp_path / "run"), store, known, "default", Progress())
    score_split(one, store, known, protocol("table"), folder=tmp_path / "s", progress=progress)
    assert any(note.startswith("GZSL: ") for note in notes)
    (tmp_path / "labels.txt").write_text("thing 1\na new one\n")
    job = tagging(tmp_path / "labels.txt", tmp_path / "run", inputs / "photos", rule=Rule(top_k=1))
    list(tag_images(job, job.source.items, progress))
    assert notes[-1].endswith("a larger patches.ot_reg than 0.0001 would be")


def test_tokens_of_another_stream_are_refused(inputs: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="patch attention: value-all there, ram reads value") as caught:
        run(inputs, tmp_path / "run", patch_attention="value")
    assert "--patch-attention value" in (caught.value.hint or "")


def test_what_a_cnn_has_no_place_for_is_left_out_and_said(tmp_path: Path) -> None:
    from tiny import write_tiny_model

    notes = list[str]()
    write_embedded(tmp_path, photos=PHOTOS, train=22, labels=LABELS, seen=SEEN)
    write_tiny_model(tmp_path / "cnn", vision_cfg={"timm_model_name": "test_convnext", "timm_pool": "avg"})
    wanted = EmbedOptions(
        (),
        tmp_path / "c",
        annotations=tmp_path / "a",
        backbone=f"local-dir:{tmp_path / 'cnn'}",
        needed=split_for("ram"),
    )
    embed(prepare_embedding(wanted, Progress()), Progress())
    config = resolve("ram", {"epochs": 1, "batch_size": 8, "calibrate": False, "text_tokens.layers": 9})
    job = prepare_training(
        TrainOptions(tmp_path / "c", tmp_path / "a", tmp_path / "run", config), Progress(note=notes.append)
    )
    assert (job.options.adapters.vision_tokens, job.options.text_tokens.layers) == (0, 2)
    assert len([note for note in notes if "vision tokens" in note or "text tokens" in note]) == 2
    assert math.isfinite(train(job, Progress()).val_map or math.nan)
