"""``learn``, and ``tag --profile``, on the tiny model; scores against numpy on what the profile holds."""

import hashlib
import json
import math
import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from command_line import Run
from packets import bag, packet
from photos import content, write_photos
from safetensors.numpy import load_file
from tiny import write_tiny_model
from tiny_runs import train_run, write_dense_graph, write_embedded

from c2srt_cli import Tagger, embed
from c2srt_cli import learn as learn_from
from c2srt_cli.artifacts import read_json
from c2srt_cli.errors import Interrupted, UsageError
from c2srt_cli.graph.category_graph import CategoryGraph, Edge, write_graph
from c2srt_cli.labels import Label, LabelSet
from c2srt_cli.learning import keyword_run, learn
from c2srt_cli.learning.cache_fit import Examples, Start, fit
from c2srt_cli.learning.fit_labels import starts_of
from c2srt_cli.methods.registry import METHODS
from c2srt_cli.predict.cache_model import CacheModel
from c2srt_cli.predict.profile import Profile
from c2srt_cli.scoring.calibration import Calibration, RunCalibration
from c2srt_cli.scoring.presets import Preset
from c2srt_cli.tagging.decision import Rule
from c2srt_cli.tagging.job import TagJob
from c2srt_cli.training.config import resolve
from c2srt_cli.training.train import train

LABELS = ("cat", "dog", "house", "tree")
#: By label, the photographs that show it, and those that do not.
JUDGED = {"cat": ((0, 1, 2, 3, 4), (5, 6, 7)), "dog": ((8,), (9, 0))}
PHOTOS = 14


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    write_photos(tmp_path / "photos", PHOTOS)
    return tmp_path / "photos"


def verdict(photos: Path, number: int, label: str, said: str) -> str:
    path = photos / f"p{number:04}.png"
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    return json.dumps({"path": path.name, "sha256": sha256, "label": label, "verdict": said}) + "\n"


@pytest.fixture
def corrections(photos: Path) -> Path:
    lines = [
        verdict(photos, number, label, said)
        for label, sides in JUDGED.items()
        for said, side in zip(("yes", "no"), sides, strict=True)
        for number in side
    ]
    path = photos.parent / "corrections.jsonl"
    path.write_text("".join(lines))
    return path


def command(*arguments: object, backbone: str | None) -> list[object]:
    machine = ["--precision", "float32", "--batch-size", "4", "--workers", "1"]
    return [*arguments, *machine, *(["--backbone", backbone] if backbone else [])]


def tags(text: str) -> dict[str, list[str]]:
    return {row["path"]: [tag["label"] for tag in row["tags"]] for row in map(json.loads, text.splitlines())}


def scores(text: str) -> np.ndarray:
    return np.array([list(json.loads(row)["scores"].values()) for row in text.splitlines()])


def unit(tiny: str, photos: Path) -> np.ndarray:
    """Global embeddings of norm 1, by open_clip."""
    import open_clip
    import torch
    from PIL import Image

    model, _, preprocess = open_clip.create_model_and_transforms(tiny)
    images = torch.stack([preprocess(Image.open(path).convert("RGB")) for path in sorted(photos.glob("*.png"))])
    with torch.inference_mode():
        found: np.ndarray = torch.nn.functional.normalize(model.encode_image(images), dim=-1).numpy()
    return found


@pytest.fixture
def profile(c2srt: Run, tiny: str, photos: Path, corrections: Path) -> Path:
    out = photos.parent / "profile"
    done = c2srt(*command("learn", corrections, photos, "-l", ", ".join(LABELS), "-o", out, backbone=tiny))
    assert done.code == 0, done.err
    again = shlex.join(["c2srt", "tag", "PHOTOS", "--labels", ", ".join(LABELS), "--profile", str(out)])
    assert again in " ".join(done.err.split())  # as a shell takes it
    return out


def test_scores_are_what_the_profile_says(c2srt: Run, tiny: str, photos: Path, profile: Path) -> None:
    asked = command("tag", photos, "-l", "tree, Dog, cat", "--all-scores", "-f", "jsonl", backbone=tiny)
    plain, raised = c2srt(*asked), c2srt(*asked, "--profile", profile)
    assert raised.code == 0, raised.err
    stored, learned = load_file(profile / "examples.safetensors"), read_json(profile / "profile.json")["labels"]
    assert [(one["name"], one["yes"], one["no"]) for one in learned] == [("cat", 5, 3), ("dog", 1, 2)]
    embeddings = unit(tiny, photos)
    expected = scores(plain.out)
    for label, column in (("cat", 2), ("dog", 1)):
        sides = [np.exp(-5.5 * (1 - embeddings @ embeddings[list(side)].T)).mean(1) for side in JUDGED[label]]
        said, count = sides[0] - sides[1], sum(map(len, JUDGED[label]))
        own = expected[:, column]
        gain = count / (count + 10) * own.std() / said.std()
        added = scores(raised.out)[:, column] - own
        rows = np.array([number for side in JUDGED[label] for number in side])
        likeness = np.exp(-5.5 * (1 - embeddings[rows] @ embeddings.T))
        # nothing is calibrated: the bar lies where as many are given as before, at least one
        given = max(1, sum(label in (one.lower() for one in own_tags) for own_tags in tags(plain.out).values()))
        bar = float(np.quantile(own, 1 - given / PHOTOS))
        slope = 0.6 * 100.0  # of the tiny model's logit scale
        start = Start(slope, math.log(0.4 / 0.6) - slope * bar, 0.4)
        examples = Examples(np.isin(rows, JUDGED[label][0]), rows, own, likeness)
        expected_shift = fit(examples, start).shift
        np.testing.assert_allclose(added, gain * (said - said.mean()) + expected_shift, atol=2e-5)
        np.testing.assert_allclose(stored["thresholds"][["cat", "dog"].index(label)], bar, atol=1e-5)
    np.testing.assert_allclose(scores(raised.out)[:, 0], expected[:, 0], atol=1e-6)


def test_learned_labels_follow_their_thresholds_and_others_stay(
    c2srt: Run, tiny: str, photos: Path, profile: Path
) -> None:
    asked = command("tag", photos, "-l", ", ".join(LABELS), "--all-scores", "-f", "jsonl", backbone=tiny)
    plain, raised = c2srt(*asked), c2srt(*asked, "--profile", profile)
    before, after = tags(plain.out), tags(raised.out)
    names, thresholds = [one.name for one in Profile.open(profile).learned], Profile.open(profile).model
    assert thresholds is not None
    values = scores(raised.out)
    judged = {
        (f"p{n:04}.png", label): s for label, sides in JUDGED.items() for s, side in enumerate(sides) for n in side
    }
    refused_on = {name for (name, _), side in judged.items() if side}
    for row, name in enumerate(before):
        for column, label in enumerate(LABELS):
            if label not in names:
                assert name in refused_on or (label in after[name]) == (label in before[name])
                continue
            at = float(thresholds.thresholds[names.index(label)])
            expected = judged.get((name, label), 0 if values[row, column] >= at else 1) == 0
            assert (label in after[name]) == expected


@pytest.mark.parametrize("rule", [[], ["--top-k", "3"], ["--top-k", "4"]])
def test_what_was_refused_is_never_given_again(
    rule: list[str], c2srt: Run, tiny: str, photos: Path, profile: Path
) -> None:
    (photos / "moved").mkdir()
    (photos / "p0005.png").rename(photos / "moved/new name.png")
    with (photos / "p0006.png").open("ab") as file:
        file.write(b"what another program has added")
    asked = command("tag", photos, "-l", "cat, dog, house, tree", "-f", "jsonl", *rule, backbone=tiny)
    found = tags(c2srt(*asked, "--profile", profile).out)
    for name in ("moved/new name.png", "p0006.png", "p0007.png"):
        assert "cat" not in found[name]
    if rule:  # others take its place
        assert len(found["p0007.png"]) == 3
    if not rule:
        assert all("cat" in found[f"p{number:04}.png"] for number in JUDGED["cat"][0])


@pytest.mark.parametrize("split", ["whole", "with others"])
def test_embeddings_teach_the_same(  # noqa: PLR0917 - fixtures
    split: str, c2srt: Run, tiny: str, photos: Path, corrections: Path, profile: Path
) -> None:
    library = photos.parent / "library"
    embed(photos, out=library, backbone=tiny, precision="float32")
    if split == "with others":  # the library has moved, and what was judged lies elsewhere in it
        photos.rename(photos.parent / "elsewhere")
        corrections.write_text(corrections.read_text().replace('"path": "', '"path": "old/'))
    out = photos.parent / "second"
    done = c2srt("learn", corrections, library, "-l", ", ".join(LABELS), "-o", out)
    assert done.code == 0, done.err
    first, second = (load_file(folder / "examples.safetensors") for folder in (profile, out))
    for name, values in first.items():
        np.testing.assert_allclose(second[name], values, atol=2e-3, err_msg=name)  # tokens are kept in bfloat16


def test_a_search_finds_as_tag_scores(  # noqa: PLR0917 - fixtures
    c2srt: Run, tiny: str, photos: Path, profile: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of photographs and of embeddings, of which only the best as a whole are looked at closely."""
    library = tmp_path / "library"
    embed(photos, out=library, backbone=tiny, precision="float32")
    asked = ("--profile", profile, "--json", "--top", PHOTOS)
    scored = command("tag", photos, "-l", "cat", "--all-scores", "-f", "jsonl", "--profile", profile, backbone=tiny)
    expected = scores(c2srt(*scored).out)[:, 0]

    def found(*arguments: object) -> dict[str, float]:
        done = c2srt("search", *arguments, *asked)
        assert done.code == 0, done.err
        return {row["path"]: row["score"] for row in map(json.loads, done.out.splitlines())}

    names = sorted(path.name for path in photos.glob("*.png"))
    everything = found(photos, "a cat", "--backbone", tiny, "--precision", "float32", "--batch-size", 4)
    np.testing.assert_allclose([everything[name] for name in names], expected, atol=1e-6)
    assert list(everything) == sorted(everything, key=lambda name: -everything[name])
    plain = c2srt("search", library, "cat", "--exact", "--json", "--top", PHOTOS).out
    monkeypatch.setattr("c2srt_cli.search.search.CANDIDATES", 5)
    learned = load_file(profile / "examples.safetensors")
    whole = unit(tiny, photos)
    raised = np.exp(-5.5 * (1 - whole @ learned["examples"].T)) @ learned["weights"][:, 0] + learned["offsets"][0]
    text = Tagger(["cat"], backbone=tiny, precision="float32")._job.text.numpy()
    nearest = np.argsort(-((whole @ text.T)[:, 0] + raised))[:5]
    fast = found(library, "cat")
    assert set(fast) == {names[i] for i in nearest} != set([json.loads(row)["path"] for row in plain.splitlines()][:5])
    np.testing.assert_allclose(list(fast.values()), [everything[name] for name in fast], atol=2e-3)


def refused(c2srt: Run, *arguments: object) -> str:
    done = c2srt(*arguments)
    assert done.code in (2, 3) and not done.out, done
    return " ".join(done.err.split())


def test_other_scores_are_refused_by_name(c2srt: Run, tiny: str, photos: Path, profile: Path, tmp_path: Path) -> None:
    other = write_tiny_model(tmp_path / "other", seed=1)
    asked = ("tag", photos, "-l", "cat", "-f", "jsonl", "--profile", profile)
    said = refused(c2srt, *command(*asked, backbone=other))
    assert f"was learned on the backbone {tiny}, and this is {other}" in said
    learned = Profile.open(profile)
    basis = learned.manifest["options"] | {"backbone": "mini"}
    with pytest.raises(UsageError, match="was learned on an earlier mini"):
        replace(learned, manifest=learned.manifest | {"options": basis}).check(basis | {"weights_sha256": "0" * 64})
    labels = LabelSet.of(["cat", "dog"])
    write_graph(tmp_path / "graph.json", CategoryGraph(labels, (Edge(1, 0, "similar", 0.5, "embedding"),)))
    assert "--graph" in refused(c2srt, *command(*asked, "--graph", tmp_path / "graph.json", backbone=tiny))
    assert "--templates" in refused(c2srt, *command(*asked, "--templates", "clip", backbone=tiny))
    assert "--fit" in refused(c2srt, *command(*asked, "--fit", "pad", backbone=tiny))
    said = refused(c2srt, *command("tag", photos, "-l", "fox", "--profile", profile, "-f", "jsonl", backbone=tiny))
    assert "has learned nothing of these labels" in said


def test_a_graph_is_learned_with_and_tagged_with(
    c2srt: Run, tiny: str, photos: Path, corrections: Path, tmp_path: Path
) -> None:
    labels = LabelSet.of(["cat", "dog"])
    write_graph(tmp_path / "graph.json", CategoryGraph(labels, (Edge(1, 0, "similar", 0.5, "embedding"),)))
    out, graph = tmp_path / "profile", ("--graph", tmp_path / "graph.json")
    done = c2srt(*command("learn", corrections, photos, "-l", "cat, dog", "-o", out, *graph, backbone=tiny))
    assert done.code == 0, done.err
    asked = command("tag", photos, "-l", "dog", "-f", "jsonl", "--profile", out, *graph, backbone=tiny)
    assert c2srt(*asked).code == 0


def test_photographs_that_are_gone_or_changed_are_named(c2srt: Run, tiny: str, photos: Path, corrections: Path) -> None:
    (photos / "p0000.png").unlink()
    write_photos(photos, 1, seed=5, start=1)
    out = photos.parent / "profile"
    done = c2srt(*command("learn", corrections, photos, "-o", out, backbone=tiny))
    assert done.code == 5
    assert "p0000.png: missing" in done.err and "p0001.png: changed" in done.err
    assert [(one.yes, one.no) for one in Profile.open(out).learned] == [(3, 3), (1, 1)]
    for path in photos.iterdir():
        path.write_bytes(b"changed")
    assert "none of the judged photographs is among them" in refused(
        c2srt, *command("learn", corrections, photos, "-o", out, "--overwrite", backbone=tiny)
    )


def test_what_cannot_be_learned_is_said(c2srt: Run, tiny: str, photos: Path, corrections: Path) -> None:
    out = photos.parent / "profile"
    assert "the photographs are missing" in refused(c2srt, "learn", corrections, "-o", out)
    said = refused(c2srt, *command("learn", corrections, photos, "-l", "cat, cow", "-o", out, backbone=tiny))
    assert "'dog': 3 verdicts" in said
    assert "there is nothing to learn from" in refused(c2srt, *command("learn", photos, "-o", out, backbone=tiny))
    assert "no such file" in refused(c2srt, "learn", "none.jsonl", photos, "-o", out)
    (photos.parent / "empty.jsonl").write_text("\n")
    assert "there is not one verdict" in refused(c2srt, "learn", photos.parent / "empty.jsonl", photos, "-o", out)
    said = refused(c2srt, *command("tag", photos, "-l", "cat", "--profile", photos, backbone=tiny))
    assert "holds no profile" in said and "c2srt learn makes them" in said
    assert not (out / "manifest.json").exists()


def test_a_label_in_two_spellings_is_one(c2srt: Run, tiny: str, photos: Path, corrections: Path) -> None:
    lines = corrections.read_text().splitlines(keepends=True)
    corrections.write_text(
        "".join([lines[0].replace('"cat"', '"CAT"'), *lines[1:7], lines[7].replace('"cat"', '"CAT"')])
    )
    out = photos.parent / "profile"
    for labels in ([], ["-l", "Cat, tree"]):
        done = c2srt(*command("learn", corrections, photos, *labels, "-o", out, backbone=tiny))
        assert done.code == 0, done.err
        assert [(one.yes, one.no) for one in Profile.open(out).learned] == [(5, 3)]
    asked = command("tag", photos, "-l", "cat, dog", "--profile", out, "-f", "jsonl", "--top-k", "2", backbone=tiny)
    found = tags(c2srt(*asked).out)
    assert all("cat" not in found[f"p{number:04}.png"] for number in JUDGED["cat"][1])


@pytest.mark.parametrize("name", ["profile.json", "examples.safetensors"])
def test_a_damaged_profile_is_refused(name: str, c2srt: Run, tiny: str, photos: Path, profile: Path) -> None:
    data = (profile / name).read_bytes()
    changed = data.replace(b'"verdict": "no"', b'"verdict": "yes"', 1)
    (profile / name).write_bytes(changed if changed != data else data[:-1] + bytes([data[-1] ^ 1]))
    said = refused(c2srt, *command("tag", photos, "-l", "cat", "--profile", profile, "-f", "jsonl", backbone=tiny))
    assert name in said and "learn it again: c2srt learn" in said


def test_thresholds_that_were_learned_go_before_those_of_a_run() -> None:
    empty = torch.empty(0)
    cache = CacheModel(empty, empty, empty, torch.tensor([0.2, math.nan, 0.3]))
    predictor = SimpleNamespace(thresholds=np.array([0.5, 0.6, 0.7]), cache=cache)
    labels = LabelSet((Label("a"), Label("b"), Label("c", threshold=0.9)))
    job: Any = SimpleNamespace(labels=labels, predictor=predictor, rule=Rule())
    np.testing.assert_array_equal(vars(TagJob)["thresholds"].func(job), [math.nan, 0.6, 0.9])
    np.testing.assert_array_equal(
        TagJob.learned(job, np.array([[0.25, 9, 0.25], [0.1, 9, 0.31]])), [[1, 0, -1], [-1, 0, 1]]
    )


def test_labels_start_from_the_calibration_of_a_run() -> None:
    maps = Calibration(8.0, -2.0, {}), Calibration(5.0, -1.0, {})
    calibration = RunCalibration(*maps, 0.5, 0.3, {})
    predictor = SimpleNamespace(calibration=calibration, thresholds=np.array([0.5, 0.3]), seen=np.array([True, False]))
    found: Any = None
    starts = starts_of(SimpleNamespace(predictor=predictor), found)  # type: ignore[arg-type]
    assert [(one.slope, one.intercept, one.given) for one in starts] == [(8.0, -2.0, 0.5), (5.0, -1.0, 0.3)]
    np.testing.assert_allclose(maps[1].probability(np.array(starts[1].threshold)), 0.3)


def test_labels_start_from_the_bar_of_the_preset() -> None:
    """So that a label of which hardly anything was said is given as before."""
    found: Any = None
    known: dict[Preset, float] = {"balanced": 0.25, "strict": 0.6}
    for presets, at in ((known, 0.25), ({}, 0.4)):
        calibration = Calibration(8.0, -2.0, {}, None, presets, np.array([0.5, -1.0]))
        job: Any = SimpleNamespace(predictor=SimpleNamespace(calibration=calibration, thresholds=None), labels=(1, 2))
        starts = starts_of(job, found)
        assert [(one.slope, one.intercept, one.given) for one in starts] == [(8.0, -1.5, at), (8.0, -3.0, at)]


def sidecars(photos: Path, words: Sequence[Sequence[str]]) -> None:
    for number, own in enumerate(words):
        (photos / f"p{number:04}.png.xmp").write_bytes(packet(bag("dc:subject", *own)))


def test_few_keywords_are_taken_for_verdicts(c2srt: Run, tiny: str, photos: Path, corrections: Path) -> None:
    sidecars(photos, [["Cat", "rare"]] * 4 + [["dog"]] * 3)
    out, before = photos.parent / "profile", content(photos)
    done = c2srt(*command("learn", photos, "-o", out, backbone=tiny))
    assert done.code == 0, done.err
    learned = [(one.name, one.yes, one.no) for one in Profile.open(out).learned]
    assert learned == [("Cat", 4, 3), ("dog", 3, 4), ("rare", 4, 3)]
    assert content(photos) == before and not Profile.open(out).verdicts
    # verdicts go before keywords: of the photographs with keywords 0 to 4 are cats, and 5 and 6 are none
    both = command("learn", corrections, photos, "--keywords", "-l", "cat", "-o", out, backbone=tiny)
    assert "'dog'" in refused(c2srt, *both)
    done = c2srt(*command("learn", corrections, photos, "--keywords", "-o", out, backbone=tiny))
    assert done.code == 0, done.err
    again = {one.name: (one.yes, one.no) for one in Profile.open(out).learned}
    # dogs by keyword: 4, 5, 6; by verdict 8, and 9 and 0 are none
    assert again == {"cat": (5, 3), "dog": (4, 5), "rare": (4, 3)}


def test_many_keywords_are_a_run(
    c2srt: Run, tiny: str, photos: Path, corrections: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick = resolve("label-propagation", {"epochs": 1, "batch_size": 8, "validation": 0.3, "neighbours": 2})
    monkeypatch.setattr(keyword_run, "LEAST", 12)
    monkeypatch.setattr(learn, "LEAST", 12)
    monkeypatch.setattr(METHODS["label-propagation"], "defaults", lambda: quick)
    trained: list[object] = []

    def stopped(*given: object) -> object:
        trained.append(given)
        if len(trained) == 1:
            raise Interrupted("stopped")
        return train(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(keyword_run, "train", stopped)
    words = [[("cat", "dog")[n % 2], "tree", *(["house"] if n % 3 else [])] for n in range(PHOTOS)]
    sidecars(photos, words)
    out = photos.parent / "profile"
    assert c2srt(*command("learn", photos, "-o", out, backbone=tiny)).code == 130
    assert "unfinished" in refused(c2srt, *command("tag", photos, "-l", "cat", "--profile", out, backbone=tiny))
    done = c2srt(*command("learn", photos, "-o", out, backbone=tiny))
    assert done.code == 0, done.err
    assert sorted(path.name for path in out.iterdir() if not path.name.startswith(".")) == [
        "manifest.json", "profile.json", "run"
    ]  # fmt: skip
    profile = Profile.open(out)
    assert {one.name: one.yes for one in profile.learned} == {
        word: sum(word in own for own in words) for word in ("cat", "dog", "house", "tree")
    }
    with_run = c2srt(*command("tag", photos, "-l", "cat, fox", "-f", "jsonl", "--run", out / "run", backbone=tiny))
    with_profile = c2srt(*command("tag", photos, "-l", "cat, fox", "-f", "jsonl", "--profile", out, backbone=tiny))
    assert with_profile.code == 0 and with_profile.out == with_run.out
    both = command("tag", photos, "-l", "cat", "--run", out / "run", "--profile", out, backbone=tiny)
    assert "brings a run of its own" in refused(c2srt, *both)
    # what it was trained with is there no more: the same command begins anew only when it is told to
    again = command("learn", corrections, photos, "--keywords", "-o", out, "--overwrite", backbone=tiny)
    assert c2srt(*again).code == 0
    assert tags(c2srt(*command("tag", photos, "-l", "cat, dog", "-f", "jsonl", "--profile", out, backbone=tiny)).out)
    assert Profile.open(out).model is not None


@pytest.mark.parametrize("base", ["alone", "graph", "run"])
def test_a_profile_is_measured_beside_its_start(base: str, c2srt: Run, tmp_path: Path) -> None:
    """Its scores are those of tag with the same graph or run; without these it is refused."""
    inputs, profile, scored = tmp_path / "inputs", tmp_path / "profile", tmp_path / "scores"
    method = "label-propagation" if base == "run" else "zero-shot"
    annotations = write_embedded(inputs, photos=12, train=6, labels=4, seen=4, method=method)
    write_dense_graph(inputs / "graph.json", annotations.labels)
    if base == "run":
        train_run(inputs, inputs / "run")
    options = {"alone": (), "graph": ("--graph", inputs / "graph.json"), "run": ("--run", inputs / "run")}[base]
    judged = [
        json.dumps({"path": path, "sha256": hashlib.sha256((inputs / "photos" / path).read_bytes()).hexdigest(),
                    "label": "thing 1", "verdict": said}) + "\n"
        for path, said in zip(annotations.paths[3:8], ("yes", "no", "yes", "no", "yes"), strict=True)
    ]  # fmt: skip
    (tmp_path / "corrections.jsonl").write_text("".join(judged))
    labels = ("-l", inputs / "a/labels.csv")
    learned = c2srt("learn", tmp_path / "corrections.jsonl", inputs / "e", *labels, "-o", profile, *options)
    assert learned.code == 0, learned.err
    test_set = ("-e", inputs / "e", "-a", inputs / "a", "--scores", scored, "--json")
    start = inputs / "run" if base == "run" else "zero-shot"
    done = c2srt("evaluate", start, profile, *test_set, *options)
    assert done.code == 0, done.err
    assert "2 test images were judged" in done.err and f"{method}, profile" in done.out
    before, after = (load_file(scored / f"{n}-{method}/gzsl.safetensors")["scores"].T for n in (0, 1))
    np.testing.assert_array_equal(after[:, [0, 2, 3]], before[:, [0, 2, 3]])
    assert not np.allclose(after[:, 1], before[:, 1])
    tagged = c2srt("tag", inputs / "e", *labels, "--all-scores", "-f", "jsonl", "--profile", profile, *options)
    np.testing.assert_allclose(after[:, 1], scores(tagged.out)[6:, 1], atol=1e-6)
    found = c2srt("search", inputs / "e", "thing 1", "--json", "--top", 12, "--profile", profile, *options)
    hits = {row["path"]: row["score"] for row in map(json.loads, found.out.splitlines())}
    np.testing.assert_allclose([hits[path] for path in annotations.paths[6:]], after[:, 1], atol=1e-6)
    if options:
        assert str(options[0]) in refused(c2srt, "evaluate", profile, *test_set)


def test_the_api_learns_and_tags(tiny: str, photos: Path, corrections: Path) -> None:
    profile = photos.parent / "profile"
    learned = learn_from(corrections, images=photos, out=profile, labels=LABELS, backbone=tiny, precision="float32")
    assert [(one.name, one.yes) for one in learned.learned] == [("cat", 5), ("dog", 1)]
    assert (learned.total.yes, learned.total.no, learned.run) == (6, 5, 0)
    tagger = Tagger(["cat", "tree"], backbone=tiny, profile=profile, precision="float32", batch_size=4)
    (one,) = tagger.tag(photos / "p0007.png", top_k=2)
    assert [tag.label for tag in one.tags] == ["tree"]  # type: ignore[union-attr]
