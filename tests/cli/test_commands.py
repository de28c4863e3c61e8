import csv
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from command_line import Done, Run
from packets import SUBJECT
from packets import words as subjects
from photos import content, fingerprints, write_photos

from c2srt_cli.embeddings.store import Store
from c2srt_cli.labels import door
from c2srt_cli.labels.everyday import everyday_labels
from c2srt_cli.tagging.writers import WRITERS
from c2srt_cli.text import read_text

HEAVY = ("torch", "pandas", "pyarrow", "openai", "open_clip", "torch_geometric", "timm", "numpy", "matplotlib")
FAST = ("--precision", "float32", "--batch-size", "3", "--workers", "2")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    write_photos(folder, 5)
    return folder


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    path = tmp_path / "labels.txt"
    path.write_text("# mine\n" + "".join(f"thing {i}\n" for i in range(30)))
    return path


@pytest.fixture
def tag(tiny: str, photos: Path, labels: Path) -> tuple[object, ...]:
    """A whole command line that tags; options may follow."""
    return ("tag", photos, "-l", labels, "--backbone", tiny, *FAST)


def rows(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


class TestHelp:
    SHOW = (
        "import sys\nfrom c2srt_cli.cli import main\n"
        "for line in sys.argv[1:]:\n"
        "    sys.argv = ['c2srt', *line.split()]\n"
        "    try:\n        main()\n"
        "    except SystemExit as end:\n        assert end.code == 0, line\n"
        f"print([name for name in {HEAVY} if name in sys.modules], file=sys.stderr)"
    )

    def test_imports_nothing_heavy(self) -> None:
        lines = [
            "--help",
            "-h",
            "--version",
            "tag --help",
            "review --help",
            "prepare --help",
            "embed --help",
            "train --help",
            "evaluate --help",
            "ablate --help",
            "build-graph --help",
            "show-graph --help",
            "fetch --help",
            "doctor --help",
            "demo --help",
        ]
        done = subprocess.run([sys.executable, "-c", self.SHOW, *lines], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "[]\n")
        for option in ("--labels", "--top-k", "--sidecar-name", "--for", "--overwrite"):
            assert option in done.stdout
        assert all(name in done.stdout for name in WRITERS)


@pytest.mark.usefixtures("tiny")
class TestTag:
    def test_stdout_is_data(self, c2srt: Run, tag: tuple[object, ...], photos: Path) -> None:
        before = fingerprints(photos)
        done = c2srt(*tag)
        assert done.code == 0
        assert [row["path"] for row in rows(done.out)] == [f"p000{i}.png" for i in range(5)]
        assert "5 images tagged" in done.err
        assert fingerprints(photos) == before

    @pytest.mark.parametrize("name", WRITERS)
    def test_every_format(self, c2srt: Run, tag: tuple[object, ...], tmp_path: Path, name: str) -> None:
        out = tmp_path / "new" / ("side" if WRITERS[name].kind == "sidecar" else f"tags{WRITERS[name].suffix}")
        line = (*tag, "-o", out, "-f", name, "--top-k", 3)
        assert c2srt(*line).code == 0
        first = content(tmp_path / "new")
        assert len(first) >= 2
        again = c2srt(*line)
        assert (again.code, again.out) == (0, "")
        assert content(tmp_path / "new") == first

    def test_sidecars_beside_the_photographs(self, c2srt: Run, tag: tuple[object, ...], photos: Path) -> None:
        before = fingerprints(photos)
        assert c2srt(*tag, "-f", "xmp", "--sidecar-name", "stem").code == 0
        after = fingerprints(photos)
        assert {name: after[name] for name in before} == before
        assert after.keys() - before.keys() == {f"p000{i}.xmp" for i in range(5)}

    @pytest.mark.parametrize("name", ["xmp", "txt"])
    def test_vocabularies_and_what_people_take_out(
        self, c2srt: Run, tag: tuple[object, ...], photos: Path, tmp_path: Path, name: str
    ) -> None:
        def run(labels: str, *words: str, options: tuple[str, ...] = ()) -> Done:
            (tmp_path / f"{labels}.txt").write_text("\n".join(words))
            line = tuple(tmp_path / f"{labels}.txt" if part == tmp_path / "labels.txt" else part for part in tag)
            return c2srt(*line, "-f", name, "--top-k", len(words), *options)

        def has(*words: str) -> bool:
            data = sidecar.read_bytes()
            return set(subjects(data, SUBJECT) if name == "xmp" else data.decode().split()) == set(words)

        sidecar = photos / f"p0000.png.{name}"
        assert run("places", "hill", "sea").code == 0
        assert has("hill", "sea")
        assert run("animals", "cat", "dog").code == 0
        assert has("hill", "sea", "cat", "dog")
        before = content(photos)
        assert "5 unchanged" in run("places", "hill", "sea").err
        refused = run("places", "tower", "street")
        assert (refused.code, "--replace" in refused.err) == (2, True)
        assert content(photos) == before
        assert run("places", "tower", options=("--replace",)).code == 0
        assert has("tower", "cat", "dog")
        sidecar.write_text(sidecar.read_text().replace("<rdf:li>cat</rdf:li>", "", 1).replace("cat\n", "", 1))
        assert run("animals", "cat", "dog").code == (0 if name == "xmp" else 5)
        assert has("tower", "dog")
        asked = run("animals", "cat", "dog", options=("--restore",))
        assert (asked.code, has("tower", "cat", "dog")) == ((0, True) if name == "xmp" else (2, False))

    def test_captions(self, c2srt: Run, tag: tuple[object, ...], photos: Path) -> None:
        """As a trainer reads them, beside the words of whoever trains; taken back to the byte."""
        line, mine = (*tag, "-f", "kohya", "--top-k", 3), photos / "p0001.txt"
        mine.write_text("ohwx, a photo")
        before = content(photos)
        assert c2srt(*line).code == 0
        captions = {path.stem: path.read_text().strip().split(", ") for path in photos.glob("*.txt")}
        assert captions["p0001"][:2] == ["ohwx", "a photo"]
        given = [row["tags"] for row in rows(c2srt(*tag, "--top-k", 3).out)]
        assert [captions[f"p000{i}"][-3:] for i in range(5)] == [[one["label"] for one in tags] for tags in given]
        first, most = content(photos), given[0][0]["label"]
        assert "5 unchanged" in c2srt(*line).err
        assert content(photos) == first
        assert c2srt(*line, "--undesired", most).code == 0
        assert most not in mine.read_text().split(", ")
        assert c2srt("undo", photos).code == 0
        assert content(photos) == before
        assert c2srt(*line, "--captions", "replace").code == 0
        assert len(mine.read_text().strip().split(", ")) == 3

    def test_all_scores_and_options(self, c2srt: Run, tag: tuple[object, ...], tmp_path: Path) -> None:
        (tmp_path / "templates.txt").write_text("a {}\n")
        options = ("--all-scores", "--top-k", 4, "--set", "patches=topk", "--set", "patches.k=50", "--fit", "pad")
        more = ("--patch-attention", "none", "--no-draft", "--templates", tmp_path / "templates.txt", "--format", "csv")
        done = c2srt(*tag, *options, *more)
        table = list(csv.DictReader(io.StringIO(done.out)))
        assert done.code == 0
        for row in table:
            scores = {f"thing {i}": float(row[f"thing {i}"]) for i in range(30)}
            assert [float(value) for value in row["scores"].split(";")] == sorted(scores.values(), reverse=True)[:4]
            assert set(row["labels"].split(";")) == set(sorted(scores, key=lambda name: -scores[name])[:4])

    def test_a_list_on_stdin(self, c2srt: Run, tiny: str, photos: Path, labels: Path) -> None:
        listed = b"\n".join(os.fsencode(photos / f"p000{i}.png") for i in (3, 1)) + b"\n"
        done = c2srt("tag", "-", "-l", labels, "--backbone", tiny, *FAST, stdin=listed)
        assert [row["path"] for row in rows(done.out)] == ["p0003.png", "p0001.png"]

    def test_a_list_that_other_systems_wrote(
        self, c2srt: Run, tiny: str, photos: Path, labels: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(photos)
        line = ("tag", "-", "-l", labels, "--backbone", tiny, *FAST)
        done = c2srt(*line, stdin="\ufeffp0001.png\r\n".encode("utf-16-le"))
        assert [row["path"] for row in rows(done.out)] == ["p0001.png"]  # and never what "." holds
        done = c2srt(*line, "-0", stdin=b"p0001.png\0p0002.png\0")
        assert [row["path"] for row in rows(done.out)] == ["p0001.png", "p0002.png"]
        done = c2srt(*line, stdin=b"p0001.png\0p0002.png\0")
        assert (done.code, done.out) == (2, "") and "--null" in done.err
        done = c2srt(*line[:1], photos, *line[2:], "--null")
        assert done.code == 2 and "standard input" in done.err
        done = c2srt(*line, stdin=b".\np0001.png\n")
        assert done.code == 5 and "folder" in done.err
        assert [row["path"] for row in rows(done.out)] == ["p0001.png"]
        assert len(rows(c2srt(*line, "--recursive", stdin=b".\n").out)) == 5

    def test_some_fail(self, c2srt: Run, tag: tuple[object, ...], photos: Path, tmp_path: Path) -> None:
        (photos / "broken \x1b[31m.jpg").write_bytes(b"no image")
        done = c2srt(*tag)
        assert done.code == 5
        assert len(rows(done.out)) == 5
        assert "not tagged: broken \\x1b[31m.jpg: unsupported" in done.err
        assert c2srt(*tag, "--allow-failures").code == 0
        assert c2srt(*tag, "--out", tmp_path / "t.jsonl").code == 5
        (failure,) = rows((tmp_path / "t.jsonl.failures.jsonl").read_text())
        assert failure["reason"] == "unsupported"

    def test_from_embeddings(self, c2srt: Run, tiny: str, photos: Path, labels: Path, tmp_path: Path) -> None:
        machine = ("--precision", "bfloat16", "--batch-size", "3")
        direct = c2srt("tag", photos, "-l", labels, "--backbone", tiny, *machine)
        assert c2srt("embed", photos, "-o", tmp_path / "e", "-l", labels, "--backbone", tiny, *machine).code == 0
        done = c2srt("tag", tmp_path / "e", "-l", labels)
        assert (done.code, done.out) == (0, direct.out)


@pytest.mark.usefixtures("tiny")
class TestEmbed:
    def test_shares(self, c2srt: Run, tiny: str, photos: Path, tmp_path: Path) -> None:
        line = ("embed", photos, "--backbone", tiny, "--part-size", "2", *FAST, "--out")
        assert c2srt(*line, tmp_path / "whole").code == 0
        first = c2srt(*line, tmp_path / "e", "--shard", "1/2")
        assert first.code == 0
        assert "left to other processes" in first.err
        assert c2srt(*line, tmp_path / "e", "--shard", "0/2").code == 0
        assert content(tmp_path / "e") == content(tmp_path / "whole")
        for wrong in ("2/2", "1", "-1/2", "a/b"):
            assert c2srt(*line, tmp_path / "x", "--shard", wrong).code == 2

    def test_twice(self, c2srt: Run, tiny: str, photos: Path, labels: Path, tmp_path: Path) -> None:
        (photos / "broken.jpg").write_bytes(b"")
        line = ("embed", photos, "--out", tmp_path / "e", "--labels", labels, "--backbone", tiny, *FAST)
        done = c2srt(*line)
        assert (done.code, done.out) == (5, "")
        assert "5 photographs in" in done.err
        assert "6 encoded now" in done.err
        assert "not embedded: broken.jpg: empty" in done.err
        first = content(tmp_path / "e")
        again = c2srt(*line, "--allow-failures")
        assert again.code == 0
        assert "0 encoded now" in again.err
        assert content(tmp_path / "e") == first
        assert Store.open(tmp_path / "e").verify() == 6

    @pytest.mark.parametrize(
        "expected",
        [("zero-shot", 3, "local", "value"), ("label-propagation", 1, "global", None), ("ram", 0, "both", "value-all")],
    )
    def test_for_a_method(
        self, c2srt: Run, tiny: str, photos: Path, expected: tuple[str, int, str, str | None]
    ) -> None:
        out = photos.parent / "e"
        assert c2srt("embed", photos, "-o", out, "--for", expected[0], "--backbone", tiny, *FAST).code == 0
        made = Store.open(out).manifest["options"]
        assert (made["split_stage"], made["streams"], made["patch_attention"]) == expected[1:]

    @pytest.mark.parametrize(
        ("method", "following"),
        [
            ("label-propagation", "train label-propagation -e {e} -a {a} --graph GRAPH --out run"),
            ("mkt", "train mkt -e {e} -a {a} --out run"),
            ("zero-shot", "tag {e} --labels labels.txt"),
        ],
    )
    def test_what_comes_next(self, c2srt: Run, tiny: str, photos: Path, method: str, following: str) -> None:
        (photos / "table.csv").write_text("path,labels\np0000.png,cat\np0001.png,cat;dog\n")
        a, e = photos.parent / "a", photos.parent / "e"
        done = c2srt("prepare", "table", photos / "table.csv", "--out", a)
        assert f"next: c2srt embed --annotations {a} --for label-propagation --out embeddings" in done.err
        done = c2srt("embed", "--annotations", a, "--for", method, "--out", e, "--backbone", tiny, *FAST)
        assert done.code == 0
        assert f"next: c2srt {following.format(a=a, e=e)}\n" in done.err
        done = c2srt("embed", photos, "--for", method, "--out", photos.parent / "f", "--backbone", tiny, *FAST)
        assert "tag" in done.err.splitlines()[-1]

    def test_other_options(self, c2srt: Run, tiny: str, photos: Path, tmp_path: Path) -> None:
        line = ("embed", photos, "-o", tmp_path / "e", "--backbone", tiny, *FAST)
        assert c2srt(*line).code == 0
        done = c2srt(*line, "--fit", "squash")
        assert done.code == 3
        assert "- pixels.fit: 'crop' there, 'squash' now" in done.err
        assert c2srt(*line, "--fit", "squash", "--overwrite").code == 0


def test_words_that_the_text_tower_hardly_knows_are_named_by_every_command_that_takes_them(
    c2srt: Run, tiny: str, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(photos.parent)
    table = "path,labels,split\n" + "".join(f"photos/p000{i}.png,{'xqzzv;'[: 6 * (i % 2)]}cat,test\n" for i in range(5))
    Path("t.csv").write_text(table)
    own, shared = ("--backbone", tiny), ("-e", "e", "-a", "a")
    assert c2srt("prepare", "table", "t.csv", "--out", "a").code == 0
    for line in (
        ("tag", photos, "-l", "xqzzv, cat", *own),
        ("embed", "-a", "a", "-o", "e", *own, *FAST),
        ("evaluate", "zero-shot", *shared, "--against", "zero-shot", "--replicates", 2),
        ("search", "e", "xqzzv"),
        ("build-graph", "-l", "xqzzv, cat", "--source", "embedding", "-o", "g.json", *own),
    ):
        done = c2srt(*line)
        assert done.code == 0, done.err
        assert done.err.count("hardly knows (invented, rare or of another language?): xqzzv\n") == 1, done.err


@pytest.mark.usefixtures("tiny")
class TestErrors:
    @pytest.mark.parametrize(
        "case",
        [
            ("tag {photos} -l {labels} -o tags.docx", 2, "'.docx' names no format"),
            ("tag {photos} -l {labels} -f parquet", 2, "goes into a file"),
            ("tag {photos} -l {labels} -f txt --all-scores", 2, "--all-scores"),
            ("tag {photos} -l {labels} -f txt --captions replace", 2, "it goes with --format kohya"),
            ("tag {photos} -l {labels} -f kohya --sidecar-name ext", 2, "a.txt alone"),
            ("tag {photos} -l {labels} --threshold 0.5 --backbone {tiny}", 2, "not calibrated"),
            ("tag {photos} -l {labels} --threshold 1.5", 2, "--threshold"),
            ("tag {photos} -l {labels} --fitt crop", 2, "No such option"),
            ("tag {photos}", 2, "--labels"),
            ("tagg {photos}", 2, "No such command"),
            ("tag {photos} -l {labels} --backbone {tiny} --device abacus", 2, "there is no device 'abacus'"),
            ("tag {photos} -l missing.txt", 3, "one label a line"),
            ("tag {photos}/nothing*.jpg -l {labels}", 3, "no image found"),
            ("tag {photos}/missing.jpg -l {labels}", 3, "no such file"),
            ("tag {photos} -l {labels} --backbone local-dir:missing", 3, "missing"),
            ("tag {photos} -l {labels} --backbone {tiny} -o {labels} -f jsonl --overwrite", 2, "never written to"),
            ("tag {photos} -l {labels} --backbone {tiny} -o {labels} -f jsonl", 2, "never written to"),
            ("embed {photos} -o {photos} --backbone {tiny}", 3, "holds no embeddings"),
            ("embed {photos} -o {photos} --backbone {tiny} --overwrite", 3, "holds no embeddings"),
            ("embed {photos} -o e --backbone {tiny} --split-stage 7", 2, "this tower has 3 stages"),
            ("embed {photos} -o {labels}/e --backbone {tiny}", 3, "cannot be written"),
            ("train c2srt -e e -a a -o r", 2, "needs a category graph next: give --graph"),
            ("train c2srt -e e -a a -o r --init r2", 2, "starts from no run Next: leave it out"),
            ("evaluate zero-shot -e {photos} -a {labels}", 3, "is a file"),
            ("review s3://b/tags.jsonl -o r", 3, "in a bucket only photographs are read"),
            ("tag {photos} -l {labels} -f jpeg", 2, "'--format' / '-f': 'jpeg' is not one of 'jsonl', 'csv',"),
            ("tag {photos} -l {labels} -f exel", 2, "'html'; did you mean 'excel'?"),
            ("tag {photos} -l {labels} --precision half", 2, "'--precision': 'half' is not one of 'float32',"),
            ("tag {photos} -l {labels} --top-k 0", 2, "'--top-k': must be greater than or equal to 1"),
            ("tag {photos} -l {labels} --top-k two", 2, "'--top-k': must be a valid integer"),
            ("prepare corel {photos} -o a", 2, "did you mean 'corel5k'?"),
            ("tag {photos} -l {labels} -r zeroshot", 2, "no method or run 'zeroshot'; did you mean 'zero-shot'?"),
            ("tag {photos} -l {labels} --run photo", 2, "no method or run 'photo'; did you mean photos?"),
            ("tag {photos} -l {labels} -g label.txt", 3, "next: did you mean labels.txt? Shipped are coco-80,"),
            ("train clip-ft -e e -a photo -o r", 3, "there is no such folder where: photo next: did you mean photos?"),
            ("train clip-ft -e e -a a -o r -c {labels}", 3, "as TOML (Expected '=' after a key in a key/value pair"),
            ("ablate {labels} -e e -a a -o r", 3, "next: write NAME = VALUE, one a line, and text in quotation marks"),
            ("undo {labels}", 3, "neither a photograph nor a sidecar of c2srt's - {labels} next: name photographs"),
            ("undo photo", 3, "no such file or folder - photo next: did you mean photos?"),
            (
                "tag {photos} -l {labels} -f xmp -o x.jsonl",
                2,
                "is the name of a .jsonl file; this goes into a folder where: --out x.jsonl",
            ),
            ("tag {photos} -l {labels} -f txt -o x.TXT", 2, "next: name a folder: --out x"),
            ("embed {photos} -o e.parquet", 2, "is the name of a .parquet file; this goes into a folder"),
            ("review {labels} -o page.html", 2, "next: name a folder: --out page"),
            ("evaluate run -e e -a a --scores s.csv", 2, "--scores s.csv next: name a folder: --scores s"),
        ],
    )
    def test_one_block_without_a_traceback(
        self, c2srt: Run, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest, case: tuple[str, int, str]
    ) -> None:
        line, code, said = case
        tiny, photos, labels = (request.getfixturevalue(name) for name in ("tiny", "photos", "labels"))
        monkeypatch.chdir(photos.parent)
        before = fingerprints(photos.parent)
        done = c2srt(*line.format(tiny=tiny, photos=photos, labels=labels).split())
        assert done.code == code, done.err
        assert done.out == ""
        shown = " ".join(done.err.replace("│", " ").split())
        assert said.format(labels=labels) in shown
        assert not re.search("Traceback|Value error|Input should", shown)
        assert fingerprints(photos.parent) == before

    def test_all_faults_of_the_labels_at_once(self, c2srt: Run, tiny: str, photos: Path, labels: Path) -> None:
        labels.write_bytes(b"cat\nCat\n\xff\n" + b"very " * 90 + b"long\n")
        done = c2srt("tag", photos, "-l", labels, "--backbone", tiny)
        assert done.code == 3
        assert done.err.count("\n       - ") == 3
        for fault in ("lines 1 and 2", "line 3: byte 0xff", "line 4:"):
            assert fault in done.err

    @pytest.mark.parametrize(("command", "out"), [("tag", "t.jsonl"), ("embed", "e")])
    def test_labels_are_read_once(  # noqa: PLR0917
        self, command: str, out: str, c2srt: Run, tiny: str, photos: Path, labels: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        read = list[Path]()

        def counted(path: Path, *given: Any) -> Any:
            read.append(path)
            return read_text(path, *given)

        monkeypatch.setattr(door, "read_text", counted)
        done = c2srt(command, photos, "-l", labels, "--backbone", tiny, "-o", photos.parent / out)
        assert done.code == 0, done.err
        assert [path for path in read if path != everyday_labels()] == [labels]

    def test_debug_shows_where(self, c2srt: Run, photos: Path) -> None:
        done = c2srt("--debug", "tag", photos, "-l", "missing.txt")
        assert done.code == 3
        assert "Traceback" in done.err
        assert "open_labels" in done.err
        assert "error: the labels cannot be read" in done.err

    def test_resume_under_other_options(self, c2srt: Run, tag: tuple[object, ...], tmp_path: Path) -> None:
        line = (*tag, "-o", tmp_path / "t.jsonl")
        assert c2srt(*line).code == 0
        header = json.dumps({"journal": 2, "options": {"format": "csv", "labels": "other"}}) + "\n"
        (tmp_path / ".t.jsonl.journal").write_text(header)
        done = c2srt(*line)
        assert done.code == 3
        assert "- format: 'csv' there, 'jsonl' now" in done.err
        assert "--overwrite" in done.err
        assert c2srt(*line, "--overwrite").code == 0
        assert not (tmp_path / ".t.jsonl.journal").exists()


def start(*arguments: object, **options: object) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "c2srt_cli", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)  # type: ignore[call-overload,no-any-return]


def wait_for(process: "subprocess.Popen[bytes]", sign: Callable[[], bool]) -> None:
    while not sign() and process.poll() is None:
        time.sleep(0.002)
    assert process.poll() is None, process.communicate()


@pytest.mark.usefixtures("tiny")
class TestProcesses:
    """What only processes of their own can show."""

    @pytest.fixture
    def many(self, tmp_path: Path) -> Path:
        folder = tmp_path / "many"
        write_photos(folder, 500)
        return folder

    @pytest.mark.parametrize("command", ["tag", "embed"])
    def test_interrupted_and_continued(self, c2srt: Run, tiny: str, many: Path, labels: Path, command: str) -> None:
        tmp_path = many.parent

        def line(name: str) -> tuple[object, ...]:
            out = tmp_path / name / ("e" if command == "embed" else "t.jsonl")
            options = ("--backbone", tiny, "--precision", "float32", "--batch-size", 1)
            return (command, many, "--labels", labels, "--out", out, *options)

        process = start(*line("broken"))
        sign = tmp_path / "broken" / ("e/unfinished.json" if command == "embed" else ".t.jsonl.journal")
        wait_for(process, sign.exists)
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
        assert process.returncode == 130, err
        assert out == b""
        text = err.decode()
        assert "stopped: " in text
        assert f"to continue: c2srt {command} {many}" in text
        assert "Traceback" not in text
        done = c2srt(*line("broken"))
        assert done.code == 0
        if command == "tag":
            assert "resuming: " in done.err
        else:
            assert "500 encoded now" not in done.err
        assert c2srt(*line("whole")).code == 0
        assert content(tmp_path / "broken") == content(tmp_path / "whole")

    @pytest.mark.skipif(sys.platform == "win32", reason="there are no pseudo-terminals")
    def test_data_goes_to_stdout_while_stderr_is_a_terminal(
        self, tiny: str, photos: Path, labels: Path, tmp_path: Path
    ) -> None:
        import pty

        outer, inner = pty.openpty()
        with (tmp_path / "out").open("wb") as out:
            command = [sys.executable, "-m", "c2srt_cli", "tag", str(photos), "-l", str(labels), "--backbone", tiny]
            process = subprocess.Popen(command, stdout=out, stderr=inner)
            os.close(inner)
            shown = b""
            while True:
                try:
                    part = os.read(outer, 4096)
                except OSError:  # how Linux says that the other side is closed
                    break
                if not part:
                    break
                shown += part
        os.close(outer)
        assert process.wait() == 0
        names = [json.loads(line)["path"] for line in (tmp_path / "out").read_text().splitlines()]
        assert names == sorted(path.name for path in photos.iterdir())
        assert b'"path"' not in shown
        assert b"images tagged" in shown

    def test_in_a_pipe_whose_reader_goes(self, tiny: str, many: Path, labels: Path) -> None:
        listed = "\n".join(map(str, sorted(many.iterdir()))).encode()
        with start("tag", "-", "-l", labels, "--backbone", tiny, "--batch-size", 1, stdin=subprocess.PIPE) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            assert process.stderr is not None
            process.stdin.write(listed)
            process.stdin.close()
            first = json.loads(process.stdout.readline())
            process.stdout.close()
            err = process.stderr.read().decode()
        assert first["path"] == "p0000.png"
        assert process.returncode == 141
        assert "Traceback" not in err
        assert "Exception" not in err
