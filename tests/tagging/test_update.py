"""What a second run makes of what a first one has left: byte for byte what one run over everything would have made."""

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from photos import Killed, content, die_at, stop_after, write_photos

from c2srt_cli.embeddings.encoder import Machine
from c2srt_cli.errors import InputError, Interrupted
from c2srt_cli.progress import Progress
from c2srt_cli.tagging import journal
from c2srt_cli.tagging.decision import Rule
from c2srt_cli.tagging.job import TagJob
from c2srt_cli.tagging.outputs import tag_to_files
from c2srt_cli.tagging.tag import TagOptions, prepare_tagging
from c2srt_cli.tagging.undo import undo
from c2srt_cli.tagging.update import TagResult
from c2srt_cli.tagging.writers import WRITERS
from c2srt_cli.tagging.writers.untagged import RECORD

BATCH = 3
FILES = {"jsonl": "tags.jsonl", "csv": "tags.csv", "excel": "excel.csv", "parquet": "tags.parquet"}
#: Names that a table has to quote, that a reader by lines would cut, that look like formulas or like other rows.
ODD = (
    "a\nb.png",
    'c"d, e;.png',
    "=1+1.png",
    "f\r\ng.png",
    "\u00fc\u2028.png",
    "z\\;.png",
    'z",.png',
    "p0001.png\tcat.png",
)


@dataclass
class Library:
    """Photographs, and what runs over them say."""

    photos: Path
    labels: Path
    backbone: str
    scored: list[int] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def job(self, **options: Any) -> TagJob:
        machine = Machine(precision="float32", batch=BATCH, workers=1)
        asked: dict[str, Any] = {"machine": machine, "backbone": self.backbone, "rule": Rule(top_k=3), **options}
        return prepare_tagging(TagOptions((str(self.photos),), self.labels, **asked), Progress())

    def run(self, out: Path, name: str = "jsonl", *, progress: Progress | None = None, **options: Any) -> TagResult:
        """Bring a file or folder up to date; what was scored on the way is in ``scored``."""
        self.scored.append(0)
        self.notes.clear()

        def advance(done: int, _total: int) -> None:
            self.scored[-1] = done

        overwrite = options.pop("overwrite", False)
        job = self.job(**options)
        return tag_to_files(
            job, WRITERS[name], out, progress or Progress(note=self.notes.append, advance=advance), overwrite=overwrite
        )

    def change(self) -> None:
        """Add two photographs, paint two anew, take one away, mend one, and touch one."""
        write_photos(self.photos, 1, seed=9, start=50)
        shutil.copy(self.photos / "p0000.png", self.photos / "first\nof all.png")
        write_photos(self.photos, 1, seed=8, start=1)
        shutil.copy(self.photos / "p0002.png", self.photos / "=1+1.png")
        (self.photos / "p0003.png").unlink()
        shutil.copy(self.photos / "p0000.png", self.photos / "broken.jpg")
        (self.photos / "p0002.png").touch()


@pytest.fixture
def library(tiny: str, tmp_path: Path) -> Library:
    photos, labels = tmp_path / "photos", tmp_path / "labels.txt"
    paths = write_photos(photos, 4 + len(ODD))
    for path, name in zip(paths[4:], ODD, strict=True):
        path.rename(photos / name)
    (photos / "broken.jpg").write_bytes(b"no image")
    labels.write_text('cat; "kitty"\n=sum\n' + "".join(f"thing {i}\n" for i in range(20)))
    return Library(photos, labels, tiny)


def rows_of(out: Path) -> list[str]:
    return [json.loads(line)["path"] for line in out.read_text().splitlines()]


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "fresh").mkdir()
    yield tmp_path / "fresh"


class TestFiles:
    @pytest.mark.parametrize("all_scores", [False, True])
    @pytest.mark.parametrize("name", FILES)
    def test_is_what_one_run_over_everything_gives(
        self,
        library: Library,
        tmp_path: Path,
        elsewhere: Path,
        name: str,
        all_scores: bool,
    ) -> None:
        """The file, the reasons, the failures, and what the manifests record of every photograph."""
        there = tmp_path / "there"

        def run(folder: Path) -> TagResult:
            return library.run(folder / FILES[name], name, explain=folder / "why.jsonl", all_scores=all_scores)

        assert run(there).unchanged == 0
        before = content(there)
        assert run(there).unchanged == 4 + len(ODD)
        assert (content(there), library.scored[-1]) == (before, 1), "what failed is tried again, and nothing else"
        library.change()
        result = run(there)
        assert (result.tagged, result.unchanged, result.gone, library.scored[-1]) == (14, 9, 1, 5)
        assert run(elsewhere).unchanged == 0
        assert content(there) == content(elsewhere)

    def test_killed_at_any_write(self, library: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Between the renaming of the file and that of its manifest, too."""
        first, name = tmp_path / "first", "jsonl"
        for odd in ODD[:-1]:
            (library.photos / odd).unlink()
        library.run(first / FILES[name], name, explain=first / "why.jsonl")
        library.change()
        fresh = tmp_path / "fresh"
        library.run(fresh / FILES[name], name, explain=fresh / "why.jsonl")
        real, wanted = os.fsync, content(fresh)
        for number in range(1, 40):
            shutil.copytree(first, there := tmp_path / f"{number}")
            with monkeypatch.context() as patch:
                patch.setattr(os, "fsync", die_at(number, real))
                patch.setattr(journal, "SYNC", 0)
                try:
                    library.run(there / FILES[name], name, explain=there / "why.jsonl")
                except Killed:
                    pass
                else:
                    break
            library.run(there / FILES[name], name, explain=there / "why.jsonl")
            assert content(there) == wanted, f"killed at write {number}"
        assert number > 8

    @pytest.mark.parametrize("number", [1, 2])
    def test_killed_before_a_manifest_has_its_name(
        self, library: Library, tmp_path: Path, elsewhere: Path, number: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        there = tmp_path / "there"
        library.run(there / "t.csv", "csv", explain=there / "why.jsonl")
        library.change()
        calls = 0

        def die(*_: object) -> None:
            nonlocal calls
            calls += 1
            if calls == number:
                raise Killed
            os.replace(*_)  # type: ignore[arg-type] # noqa: PTH105

        with monkeypatch.context() as patch:
            patch.setattr("c2srt_cli.tagging.targets.put", die)
            with pytest.raises(Killed):
                library.run(there / "t.csv", "csv", explain=there / "why.jsonl")
        library.run(there / "t.csv", "csv", explain=there / "why.jsonl")
        assert library.scored[-1] == 0, "all of it was in the journal"
        library.run(elsewhere / "t.csv", "csv", explain=elsewhere / "why.jsonl")
        assert content(there) == content(elsewhere)

    def test_interrupted_and_changed_again(self, library: Library, tmp_path: Path, elsewhere: Path) -> None:
        there = tmp_path / "there"
        library.run(there / "t.jsonl")
        library.change()
        with pytest.raises(Interrupted):
            library.run(there / "t.jsonl", progress=stop_after(1))
        write_photos(library.photos, 2, seed=30, start=60)
        (library.photos / "p0050.png").unlink()
        library.run(there / "t.jsonl")
        library.run(elsewhere / "t.jsonl")
        assert content(there) == content(elsewhere)

    @pytest.mark.parametrize(
        ("name", "options", "said"),
        [
            ("excel", {}, "format: 'csv' there, 'excel' now"),
            ("csv", {"rule": Rule(top_k=5)}, "rule.top_k: 3 there, 5 now"),
            ("csv", {"all_scores": True}, "all_scores: False there, True now"),
            ("csv", {"draft": False}, "pixels.draft: True there, False now"),
            ("csv", {"templates": "clip"}, "templates: "),
        ],
    )
    def test_another_format_or_other_options(  # noqa: PLR0917
        self, library: Library, tmp_path: Path, elsewhere: Path, name: str, options: dict[str, Any], said: str
    ) -> None:
        """No row stands, and that is said; and the way back is one too."""
        there = tmp_path / "there"
        library.run(there / "t.csv", "csv")
        first = content(there)
        result = library.run(there / "t.csv", name, **options)
        assert result.unchanged == 0
        assert any(said in note and "every image is tagged again" in note for note in library.notes), library.notes
        library.run(elsewhere / "t.csv", name, **options)
        assert content(there) == content(elsewhere)
        library.run(there / "t.csv", "csv")
        assert content(there) == first

    def test_reasons_that_are_asked_for_later(self, library: Library, tmp_path: Path, elsewhere: Path) -> None:
        there = tmp_path / "there"
        library.run(there / "t.jsonl")
        assert library.run(there / "t.jsonl", explain=there / "why.jsonl").unchanged == 0
        library.run(elsewhere / "t.jsonl", explain=elsewhere / "why.jsonl")
        assert content(there) == content(elsewhere)
        library.change()
        library.run(there / "t.jsonl")  # the reasons are of an earlier state now
        library.run(there / "t.jsonl", explain=there / "why.jsonl")
        library.run(elsewhere / "t.jsonl", explain=elsewhere / "why.jsonl")
        assert content(there) == content(elsewhere)

    def test_other_labels_are_refused(self, library: Library, tmp_path: Path) -> None:
        library.run(tmp_path / "t.csv", "csv")
        before = content(tmp_path)
        for name, text in (("labels.txt", "cat\ndog\n"), ("others.txt", "house\n")):
            library.labels = tmp_path / "lists" / name
            library.labels.parent.mkdir(exist_ok=True)
            library.labels.write_text(text)
            with pytest.raises(InputError, match="holds the tags of other labels"):
                library.run(tmp_path / "t.csv", "csv")
            library.labels.unlink()
        assert content(tmp_path) == before


class TestPhotographs:
    @pytest.fixture
    def raw(self, library: Library) -> None:
        for folder in ("raw", "raw/deep", "more"):
            write_photos(library.photos / folder, 2, seed=3, start=70)

    @pytest.mark.parametrize(
        ("patterns", "left"),
        [(("raw",), 0), (("raw/",), 0), (("/raw/**",), 0), (("raw/*", "deep"), 0), (("raw/*.png", "!p0071.png"), 3)],
    )
    @pytest.mark.usefixtures("raw")
    def test_rows_of_what_is_left_out_now_leave(
        self, library: Library, tmp_path: Path, elsewhere: Path, patterns: tuple[str, ...], left: int
    ) -> None:
        there = tmp_path / "there"
        library.run(there / "t.jsonl")
        whole = content(there)
        result = library.run(there / "t.jsonl", exclude=patterns)
        library.run(elsewhere / "t.jsonl", exclude=patterns)
        assert content(there) == content(elsewhere)
        assert sum(path.startswith("raw/") for path in rows_of(there / "t.jsonl")) == left
        assert (result.gone, library.scored[-2]) == (4 - left, 1)
        library.run(there / "t.jsonl")
        assert content(there) == whole

    @pytest.mark.usefixtures("raw")
    def test_what_is_merely_not_named_is_no_reason_to_take_rows_away(self, library: Library, tmp_path: Path) -> None:
        library.run(tmp_path / "t.jsonl")
        before = content(tmp_path)
        one, other = str(library.photos / "p0000.png"), str(library.photos / "p0001.png")
        for inputs in ((one,), (one, other), (str(library.photos / "*.png"),)):
            machine = Machine(precision="float32", batch=BATCH, workers=1)
            asked = TagOptions(inputs, library.labels, machine=machine, backbone=library.backbone, rule=Rule(top_k=3))
            with pytest.raises(InputError, match="more photographs, which are still there"):
                tag_to_files(
                    prepare_tagging(asked, Progress()),
                    WRITERS["jsonl"],
                    tmp_path / "t.jsonl",
                    Progress(),
                    overwrite=False,
                )
        assert content(tmp_path) == before

    def test_a_library_that_has_moved(self, library: Library, tmp_path: Path) -> None:
        out = tmp_path / "out/t.jsonl"
        library.run(out)
        before = out.read_bytes()
        library.photos = library.photos.rename(tmp_path / "moved")
        assert library.run(out).unchanged == 4 + len(ODD)
        assert out.read_bytes() == before

    def test_another_library_is_refused(self, library: Library, tmp_path: Path) -> None:
        out = tmp_path / "out/t.jsonl"
        library.run(out)
        before = content(out.parent)
        shutil.copytree(library.photos, tmp_path / "copy")
        library.photos = tmp_path / "copy"
        with pytest.raises(InputError, match="holds the tags of other photographs"):
            library.run(out)
        assert content(out.parent) == before

    def test_order_does_not_matter(self, library: Library, tmp_path: Path, elsewhere: Path) -> None:
        """Names that come between others, before them and behind them."""
        there = tmp_path / "there"
        for name in ("parquet", "csv"):
            library.run(there / name, name)
        for new in ("000.png", "p0001a.png", "~.png"):
            shutil.copy(library.photos / "p0000.png", library.photos / new)
        for name in ("parquet", "csv"):
            assert library.run(there / name, name).unchanged == 4 + len(ODD)
            library.run(elsewhere / name, name)
        assert content(there) == content(elsewhere)


class TestSidecars:
    @pytest.mark.parametrize("explain", [False, True])
    @pytest.mark.parametrize("name", ["xmp", "txt", "kohya"])
    def test_are_what_one_run_over_everything_writes(
        self,
        library: Library,
        tmp_path: Path,
        name: str,
        explain: bool,
    ) -> None:
        def run(folder: Path) -> TagResult:
            reasons: dict[str, Any] = {"explain": folder / "why.jsonl"} if explain else {}
            return library.run(folder, name, **reasons)

        there, elsewhere = tmp_path / "there", tmp_path / "elsewhere"
        run(there)
        assert run(there).unchanged == 4 + len(ODD)
        library.change()
        result = run(there)
        assert (result.tagged, result.unchanged, library.scored[-1]) == (14, 9, 5)
        run(elsewhere)
        mine, fresh = content(there), content(elsewhere)
        gone = {path for path in mine if path.startswith("p0003")}
        assert mine.keys() - gone == fresh.keys()
        record = {path for path in fresh if path.startswith(".c2srt-")}
        touched = {f"p0002.png.{name}"}  # of an unchanged photograph: what is there is not written again
        assert {path: mine[path] for path in fresh.keys() - record - touched} == {
            path: fresh[path] for path in fresh.keys() - record - touched
        }

    def test_photographs_without_labels_are_not_scored_again(self, library: Library, tmp_path: Path) -> None:
        folder = tmp_path / "model"
        shutil.copytree(library.backbone.removeprefix("local-dir:"), folder)
        known = {"method": "logistic", "slope": 20.0, "intercept": 0.0, "scoring": {}}
        (folder / "calibration.json").write_text(json.dumps(known))
        library.backbone = f"local-dir:{folder}"
        good, photos = 4 + len(ODD), library.photos
        nothing: dict[str, Any] = {"rule": Rule(threshold=1.0)}
        all_of_them: dict[str, Any] = {"rule": Rule(threshold=0.0)}
        before = content(photos)
        assert library.run(photos, "xmp", **nothing).tagged == good
        assert content(photos).keys() - before.keys() == {RECORD, "c2srt-failures.jsonl"}
        made = (photos / RECORD).read_bytes()
        assert (library.run(photos, "xmp", **nothing).unchanged, library.scored[-1]) == (good, 1)
        assert (photos / RECORD).read_bytes() == made
        write_photos(photos, 1, seed=9, start=1)
        (photos / "p0003.png").unlink()
        assert (library.run(photos, "xmp", **nothing).unchanged, library.scored[-1]) == (good - 2, 2)
        assert b"p0003" not in (photos / RECORD).read_bytes()
        library.labels = library.labels.with_name("others.txt")
        library.labels.write_text("house\n")
        assert (library.run(photos, "xmp", **nothing).unchanged, library.scored[-1]) == (0, good)
        undo([str(photos)], "others")
        assert b"others" not in (photos / RECORD).read_bytes()
        library.labels = library.labels.with_name("labels.txt")
        assert library.run(photos, "xmp", **nothing).unchanged == good - 1
        assert library.run(photos, "xmp", **all_of_them).unchanged == 0
        assert not (photos / RECORD).exists()
        assert (photos / "p0000.png.xmp").exists()
        library.run(photos, "xmp", **nothing)
        assert not (photos / "p0000.png.xmp").exists()
        undo([str(photos)])
        assert not (photos / RECORD).exists()
