import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from command_line import Run
from photos import content, fingerprints, stop_after, write_photos

from c2srt_cli.artifacts import MANIFEST
from c2srt_cli.embeddings.embed import EmbedOptions, embed, prepare_embedding
from c2srt_cli.embeddings.encoder import Machine
from c2srt_cli.errors import C2srtError, InputError, Interrupted, UsageError
from c2srt_cli.labels import Label, LabelSet
from c2srt_cli.progress import Progress
from c2srt_cli.review import thumbnails
from c2srt_cli.review.options import ReviewOptions, ReviewResult
from c2srt_cli.review.review import review
from c2srt_cli.tagging.decision import Rule
from c2srt_cli.tagging.outputs import tag_to_files
from c2srt_cli.tagging.tag import TagOptions, prepare_tagging
from c2srt_cli.tagging.writers import WRITERS

LABELS = ("cat", "dog", "house", "</script>")


def labels(*names: str) -> LabelSet:
    return LabelSet(tuple(map(Label, names or LABELS)))


MACHINE = Machine("cpu", "float32", 4, 1)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    write_photos(tmp_path / "photos", 6)
    return tmp_path / "photos"


def run(source: Path, out: Path, progress: Progress | None = None, **options: Any) -> ReviewResult:
    return review(ReviewOptions(source, out, machine=MACHINE, **options), progress or Progress())


def data(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((out / "data.js").read_text().removeprefix("review(").removesuffix(");\n"))
    return found


def tagged(photos: Path, tiny: str, out: Path, **options: Any) -> Path:
    given: dict[str, Any] = {
        "inputs": (str(photos),),
        "labels": labels(),
        "backbone": tiny,
        "machine": MACHINE,
        "rule": Rule(top_k=2),
    }
    job = prepare_tagging(TagOptions(**(given | options)), Progress())
    tag_to_files(job, WRITERS[out.suffix[1:]], out, Progress(), overwrite=True)
    return out


@pytest.mark.parametrize("suffix", ["jsonl", "csv", "parquet"])
@pytest.mark.usefixtures("tiny")
def test_the_page_holds_the_tags(suffix: str, photos: Path, tiny: str, tmp_path: Path) -> None:
    why, out = tmp_path / "why.jsonl", tmp_path / "review"
    tags = tagged(photos, tiny, tmp_path / f"t.{suffix}", explain=why, all_scores=True)
    as_json = tagged(photos, tiny, tmp_path / "same.jsonl", all_scores=True)
    before = fingerprints(photos)
    result = run(tags, out, explain=why)
    assert (result.photographs, result.labels, result.made, result.failures) == (6, 4, 6, ())
    assert fingerprints(photos) == before
    found, rows = data(out), [json.loads(line) for line in as_json.read_text().splitlines()]
    assert found["labels"] == list(LABELS)
    assert [one[:2] for one in found["photographs"]] == [
        [row["path"], hashlib.sha256((photos / row["path"]).read_bytes()).hexdigest()] for row in rows
    ]
    assert found["rule"] == {"threshold": None, "top_k": 2} and found["root"] == "../photos/"
    for place, label in enumerate(LABELS):
        given = {i: tag for i, row in enumerate(rows) for tag in row["tags"] if tag["label"] == label}
        assert {one[0] for one in found["given"][place]} == given.keys()
        for number, score, probability, share in found["given"][place]:
            tag = given[number]
            assert (score, probability) == (pytest.approx(tag["score"], abs=1e-4), tag["probability"])
            assert share == pytest.approx(tag["share"], abs=1e-4)
        others = dict(found["others"][place])
        assert others.keys() == set(range(6)) - given.keys()
        assert all(score == pytest.approx(rows[number]["scores"][label], abs=1e-4) for number, score in others.items())
        for listed in (found["given"][place], found["others"][place]):
            assert [one[1] for one in listed] == sorted((one[1] for one in listed), reverse=True)
    expected = [json.loads(line) for line in why.read_text().splitlines()]
    number, reasons = json.loads(f"[{(out / 'reasons/0.js').read_text()[8:-3]}]")
    assert number == 0 and found["grid"] == expected[0]["grid"]
    for row, mine in zip(expected, reasons, strict=True):
        patches = {entry["label"]: [[one["row"], one["col"]] for one in entry["patches"]] for entry in row["labels"]}
        assert {label: places for label, places, _ in mine} == patches


@pytest.mark.usefixtures("tiny")
def test_embeddings_are_tagged_on_the_way(photos: Path, tiny: str, tmp_path: Path) -> None:
    (photos / "bad.png").write_bytes(b"\x89PNG nothing")
    options = EmbedOptions((str(photos),), tmp_path / "e", backbone=tiny, machine=MACHINE)
    embed(prepare_embedding(options, Progress()), Progress())
    with pytest.raises(UsageError, match="no tags yet"):
        run(tmp_path / "e", tmp_path / "review")
    result = run(tmp_path / "e", tmp_path / "review", labels=labels(), rule=Rule(top_k=2))
    assert [failure.path for failure in result.failures] == ["bad.png"]
    tags = tagged(tmp_path / "e", tiny, tmp_path / "t.jsonl", all_scores=True, backbone=None)
    same = run(tags, tmp_path / "same")
    first, second = data(tmp_path / "review"), data(tmp_path / "same")
    assert (tmp_path / "review/reasons/0.js").exists() and same.photographs == 6
    unlike = {name for name in first if first[name] != second[name]}
    assert unlike == {"title", "grid", "part"}


ROW = '{"path": "p0000.png", "tags": [{"label": "cat", "score": 0.5}]}\n'


def test_tags_of_others(photos: Path, tmp_path: Path) -> None:
    """A file without a manifest: whoever wrote it says where the photographs are."""
    (tmp_path / "t.jsonl").write_text(ROW)
    with pytest.raises(InputError, match="--root"):
        run(tmp_path / "t.jsonl", tmp_path / "review")
    assert not (tmp_path / "review").exists()
    result = run(tmp_path / "t.jsonl", tmp_path / "review", root=photos, labels=labels("dog", "cat"))
    assert (result.photographs, result.changed) == (1, 0)
    found = data(tmp_path / "review")
    assert (found["labels"], found["given"]) == (["dog", "cat"], [[], [[0, 0.5, None, None]]])
    assert (found["rule"], found["fit"], found["grid"]) == (None, None, None)


@pytest.mark.usefixtures("tiny")
def test_a_rerun_keeps_what_is_there(photos: Path, tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tags, out = tagged(photos, tiny, tmp_path / "t.jsonl"), tmp_path / "review"
    monkeypatch.setattr("c2srt_cli.review.review.CHUNK", 2)
    with pytest.raises(Interrupted):
        run(tags, out, stop_after(1))
    assert not (out / MANIFEST).exists() and not (out / "index.html").exists()
    assert run(tags, out).made == 4
    first = content(out)
    assert run(tags, out).made == 0
    assert content(out) == first
    write_photos(photos, 1, seed=9)
    assert run(tags, tmp_path / "other").changed == 1


@pytest.mark.usefixtures("tiny")
def test_a_library_that_has_moved(photos: Path, tiny: str, tmp_path: Path) -> None:
    tags = tagged(photos, tiny, tmp_path / "t.jsonl")
    photos.rename(tmp_path / "elsewhere")
    with pytest.raises(InputError, match="--root"):
        run(tags, tmp_path / "review")
    (tmp_path / "elsewhere/p0003.png").unlink()
    result = run(tags, tmp_path / "review", root=tmp_path / "elsewhere")
    assert [(failure.path, failure.reason) for failure in result.failures] == [("p0003.png", "missing")]
    assert data(tmp_path / "review")["root"] == "../elsewhere/"


@pytest.mark.parametrize(
    ("options", "kind", "told"),
    [
        ({"labels": labels("dog")}, InputError, "'cat', which is none of them"),
        ({"run": Path("run")}, UsageError, "--run"),
        ({"graph": "coco-80"}, UsageError, "--graph"),
        ({"rule": Rule(top_k=1)}, UsageError, "--top-k"),
        ({"explain": Path("none.jsonl")}, InputError, "none.jsonl"),
        ({"source": Path("none.jsonl")}, InputError, "no such file"),
        ({"text": ""}, InputError, "no tagged photograph"),
        ({"text": "{}"}, InputError, "path: is missing"),
        ({"foreign": True}, InputError, "holds no review"),
    ],
)
def test_what_cannot_be(
    options: dict[str, Any], kind: type[C2srtError], told: str, photos: Path, tmp_path: Path
) -> None:
    source = options.pop("source", tmp_path / "t.jsonl")
    (tmp_path / "t.jsonl").write_text(options.pop("text", ROW))
    if options.pop("foreign", False):
        (tmp_path / "review").mkdir()
        (tmp_path / "review/mine.txt").write_text("mine")
    with pytest.raises(kind) as error:
        run(source, tmp_path / "review", root=photos, **options)
    assert told in str(error.value)
    assert not (tmp_path / "review/index.html").exists()


@pytest.mark.usefixtures("tiny")
def test_tags_as_a_page_in_one_run(
    c2srt: Run, photos: Path, tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What tag and review make one after the other, and no photograph is decoded a second time."""
    (photos / "bad.png").write_bytes(b"\x89PNG nothing")
    line = ("tag", photos, "-l", "cat, dog, house", "--top-k", "2", "--backbone", tiny, "--precision", "float32")
    two = (*line, "--all-scores", "--explain", tmp_path / "why.jsonl", "--out", tmp_path / "tags.jsonl")
    assert c2srt(*two).code == 5
    result = run(tmp_path / "tags.jsonl", tmp_path / "two", explain=tmp_path / "why.jsonl")
    with monkeypatch.context() as patch:
        patch.setattr(thumbnails, "load_pixels", None)
        done = c2srt(*line, "--format", "html", "--out", tmp_path / "one")
    assert (done.code, "open " in done.err) == (5, True), done.err
    first, second = content(tmp_path / "one"), content(tmp_path / "two")
    assert {name: first[name] for name in second} == second
    assert (tmp_path / "one/tags.jsonl").read_bytes() == (tmp_path / "tags.jsonl").read_bytes()
    assert result.photographs == 6
    before = content(tmp_path / "one")
    assert "6 unchanged" in c2srt(*line, "--format", "html", "--out", tmp_path / "one").err
    assert content(tmp_path / "one") == before
    assert c2srt(*line, "--format", "html").code == 2
    assert c2srt(*line, "--format", "html", "--out", photos / "p0000.png").code == 3
