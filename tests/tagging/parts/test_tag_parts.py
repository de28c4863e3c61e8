"""Tags in parts: the rows of one file, whichever processes made them and whatever was killed on the way."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from photos import Killed, content, die_at, stop_after, write_photos

from c2srt_cli.artifacts import LOCK, lock
from c2srt_cli.doctor import examine
from c2srt_cli.embeddings.embed import EmbedOptions, embed, prepare_embedding
from c2srt_cli.embeddings.encoder import Machine
from c2srt_cli.errors import InputError, Interrupted, UsageError
from c2srt_cli.parts.index import INDEX
from c2srt_cli.progress import Progress
from c2srt_cli.tagging import journal
from c2srt_cli.tagging.decision import Rule
from c2srt_cli.tagging.outputs import tag_to_files
from c2srt_cli.tagging.parts.job import TagPartsJob
from c2srt_cli.tagging.parts.tag_parts import tag_parts
from c2srt_cli.tagging.reading import open_tags
from c2srt_cli.tagging.tag import TagOptions, prepare_tagging
from c2srt_cli.tagging.update import TagResult
from c2srt_cli.tagging.writers import WRITERS

SIZE, BATCH = 4, 3
GOOD = [f"p{number:04}.png" for number in range(9)]
NAMES = ["broken.jpg", *GOOD]
MACHINE = Machine(precision="float32", batch=BATCH, workers=1)


@dataclass
class Library:
    """Photographs, one of which cannot be read, and what runs over them do."""

    photos: Path
    labels: Path
    backbone: str

    def job(self, out: Path, photos: Path | None = None, **options: Any) -> TagPartsJob:
        overwrite, size = options.pop("overwrite", False), options.pop("part_size", SIZE)
        asked: dict[str, Any] = {"machine": MACHINE, "backbone": self.backbone, "rule": Rule(top_k=2), **options}
        inputs = (str(photos or self.photos),)
        made = prepare_tagging(TagOptions(inputs, self.labels, writer=WRITERS["parts"], out=out, **asked), Progress())
        return TagPartsJob(made, out, size, options.get("share"), overwrite)

    def run(self, out: Path, *, progress: Progress | None = None, **options: Any) -> TagResult:
        return tag_parts(self.job(out, **options), progress or Progress())

    def file(self, out: Path, **options: Any) -> pa.Table:
        """What one file holds."""
        writer = WRITERS["parquet"]
        tag_to_files(self.job(out, **options).tagging, writer, out, Progress(), overwrite=False)
        return pq.read_table(out)

    def embed(self, out: Path, size: int = SIZE) -> Path:
        options = EmbedOptions((str(self.photos),), out, backbone=self.backbone, machine=MACHINE, part_size=size)
        embed(prepare_embedding(options, Progress()), Progress())
        return out


def written(folder: Path, backbone: str) -> Library:
    write_photos(folder / "photos", len(GOOD))
    (folder / "photos/broken.jpg").write_bytes(b"no image")
    (folder / "labels.txt").write_text("".join(f"thing {i}\n" for i in range(12)))
    return Library(folder / "photos", folder / "labels.txt", backbone)


@pytest.fixture
def library(tiny: str, tmp_path: Path) -> Library:
    return written(tmp_path, tiny)


@pytest.fixture
def tags(library: Library, tmp_path: Path) -> Path:
    library.run(tmp_path / "t")
    return tmp_path / "t"


def table(out: Path) -> pa.Table:
    """All rows of all parts, as pyarrow reads them."""
    return pa.concat_tables([pq.read_table(path) for path in sorted(out.glob("part-*/tags.parquet"))])


def index(out: Path, part: int) -> dict[str, str]:
    """Status by path, as pyarrow reads it."""
    found = pq.read_table(out / f"part-{part:05}" / INDEX)
    return dict(zip(found["path"].to_pylist(), found["status"].to_pylist(), strict=True))


def parts(out: Path) -> dict[str, bytes]:
    return {name: data for name, data in content(out).items() if "/" in name}


def read(path: Path) -> list[Any]:
    with open_tags(path) as tags:
        return list(tags.images)


class TestRows:
    @pytest.mark.parametrize("all_scores", [False, True])
    def test_are_those_of_one_file(self, library: Library, tmp_path: Path, all_scores: bool) -> None:
        out = tmp_path / "t"
        result = library.run(out, all_scores=all_scores)
        assert (result.tagged, result.unchanged, result.open) == (9, 0, 0)
        assert [(bad.path, bad.reason) for bad in result.failures] == [("broken.jpg", "unsupported")]
        assert [list(index(out, part)) for part in range(3)] == [NAMES[:4], NAMES[4:8], NAMES[8:]]
        one = library.file(tmp_path / "one.parquet", all_scores=all_scores)
        assert table(out).equals(one)
        assert one.num_columns == 5 + 12 * all_scores
        assert read(out) == read(tmp_path / "one.parquet")
        assert [len(image.scores or ()) for image in read(out)] == [12 * all_scores] * 9
        assert examine([out])[-1].detail == "tags of 9 photographs, as they were written"

    def test_parts_of_embeddings_are_followed(self, library: Library, tmp_path: Path) -> None:
        e, out = library.embed(tmp_path / "e"), tmp_path / "t"
        result = library.run(out, photos=e, backbone=None, part_size=2)
        assert [list(index(out, part)) for part in range(3)] == [GOOD[:3], GOOD[3:7], GOOD[7:]]
        assert (result.tagged, [bad.path for bad in result.failures]) == (9, ["broken.jpg"])
        assert table(out).equals(library.file(tmp_path / "one.parquet", photos=e, backbone=None))
        before = parts(out)
        write_photos(library.photos, 2, seed=1, start=30)
        kept = (library.photos / GOOD[4]).read_bytes()
        write_photos(library.photos, 1, seed=2, start=0)
        (library.photos / GOOD[4]).unlink()
        library.embed(e)
        result = library.run(out, photos=e, backbone=None)
        assert (result.tagged, result.unchanged, result.gone) == (10, 7, 1)
        assert index(out, 3) == dict.fromkeys([GOOD[0], "p0030.png", "p0031.png"], "ok")
        assert index(out, 0)[GOOD[0]] == index(out, 1)[GOOD[4]] == "removed"
        unmarked = {name: data for name, data in parts(out).items() if name in before and not name.endswith(INDEX)}
        assert unmarked == {name: data for name, data in before.items() if not name.endswith(INDEX)}
        # what comes back is tagged in the part that it was in
        (library.photos / GOOD[4]).write_bytes(kept)
        library.embed(e)
        assert library.run(out, photos=e, backbone=None).unchanged == 11
        assert index(out, 1)[GOOD[4]] == "ok"
        fresh = read_sorted(tmp_path / "two.parquet", library.file(tmp_path / "two.parquet", photos=e, backbone=None))
        assert sorted(read(out), key=lambda image: image.path) == fresh

    def test_an_image_that_embeddings_have_given_up_since(self, library: Library, tmp_path: Path) -> None:
        e, out = library.embed(tmp_path / "e"), tmp_path / "t"
        library.run(out, photos=e, backbone=None, share=(0, 2))
        (library.photos / GOOD[4]).unlink()
        library.embed(e)
        result = library.run(out, photos=e, backbone=None, share=(1, 2))
        assert [(bad.path, bad.reason) for bad in result.failures] == [(GOOD[4], "missing")]
        assert index(out, 1)[GOOD[4]] == "failed"


def read_sorted(path: Path, _: pa.Table) -> list[Any]:
    return sorted(read(path), key=lambda image: image.path)


class TestAgain:
    def test_nothing_is_written_where_nothing_has_changed(self, library: Library, tags: Path) -> None:
        before = content(tags)
        result = library.run(tags)
        assert (result.tagged, result.unchanged, len(result.failures), result.summary.photographs) == (9, 9, 1, 0)
        assert content(tags) == before

    def test_what_is_new_goes_into_new_parts(self, library: Library, tags: Path) -> None:
        before = parts(tags)
        write_photos(library.photos, 2, seed=1, start=20)
        shutil.copy(library.photos / GOOD[0], library.photos / "a.png")
        result = library.run(tags)
        assert (result.tagged, result.unchanged) == (12, 9)
        assert {name: data for name, data in parts(tags).items() if name in before} == before
        assert index(tags, 3) == dict.fromkeys(["a.png", "p0020.png", "p0021.png"], "ok")

    def test_what_has_gone_is_marked_and_may_come_back(self, library: Library, tags: Path, tmp_path: Path) -> None:
        before = parts(tags)
        (library.photos / GOOD[4]).rename(tmp_path / "kept.png")
        result = library.run(tags)
        assert (result.tagged, result.unchanged, result.gone) == (8, 8, 1)
        assert {name for name, data in parts(tags).items() if data != before[name]} == {f"part-00001/{INDEX}"}
        assert [image.path for image in read(tags)] == [name for name in GOOD if name != GOOD[4]]
        (tmp_path / "kept.png").rename(library.photos / GOOD[4])
        assert library.run(tags).unchanged == 9
        assert [image.path for image in read(tags)] == GOOD

    def test_what_has_changed_moves_to_a_new_part(self, library: Library, tags: Path, tmp_path: Path) -> None:
        write_photos(library.photos, 1, seed=5)
        (library.photos / GOOD[1]).touch()  # the same bytes: its row stands
        assert (result := library.run(tags)).unchanged == 8 and result.tagged == 9
        assert (index(tags, 0)[GOOD[0]], index(tags, 0)[GOOD[1]], index(tags, 3)) == ("removed", "ok", {GOOD[0]: "ok"})
        fresh = read_sorted(tmp_path / "one.parquet", library.file(tmp_path / "one.parquet"))
        assert sorted(read(tags), key=lambda image: image.path) == fresh

    def test_a_failure_is_tried_again_when_its_file_changes(self, library: Library, tags: Path) -> None:
        assert library.run(tags).summary.photographs == 0
        shutil.copy(library.photos / GOOD[0], library.photos / "broken.jpg")
        result = library.run(tags)
        assert (result.tagged, result.failures) == (10, ())
        assert (index(tags, 0)["broken.jpg"], index(tags, 3)) == ("removed", {"broken.jpg": "ok"})

    def test_other_labels_options_or_photographs_are_refused(
        self, library: Library, tags: Path, tmp_path: Path
    ) -> None:
        before = content(tags)
        with pytest.raises(InputError, match="other options") as refused:
            library.run(tags, rule=Rule(top_k=3))
        assert refused.value.problems == ("rule.top_k: 2 there, 3 now",)
        library.labels.write_text("house\n")
        with pytest.raises(InputError, match="other options"):
            library.run(tags)
        library.labels.write_text("".join(f"thing {i}\n" for i in range(12)))
        with pytest.raises(InputError, match="9 more photographs, which are still there") as some:
            library.run(tags, photos=library.photos / GOOD[0], root=library.photos)
        assert len(some.value.problems) == 4
        shutil.copytree(library.photos, tmp_path / "copy")
        with pytest.raises(InputError, match="holds the tags of other photographs"):
            library.run(tags, photos=tmp_path / "copy")
        assert content(tags) == before
        library.labels.write_text("house\n")
        assert library.run(tags, overwrite=True).tagged == 9
        assert read(tags)[0].tags[0].label == "house"

    def test_a_library_that_has_moved(self, library: Library, tags: Path, tmp_path: Path) -> None:
        before = parts(tags)
        library.photos = library.photos.rename(tmp_path / "moved")
        assert library.run(tags).unchanged == 9
        assert parts(tags) == before

    def test_something_else_is_there(self, library: Library, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="holds no tags"):
            library.run(library.photos)
        e = library.embed(tmp_path / "e")
        with pytest.raises(InputError, match="holds embeddings, no tags"):
            library.run(e)


class TestKills:
    def test_at_any_write(self, library: Library, tags: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Of a run that adds, drops and changes images: the next one leaves what an unbroken one does."""
        shutil.copytree(tags, tmp_path / "before")
        write_photos(library.photos, 5, seed=1, start=20)
        write_photos(library.photos, 1, seed=2, start=1)
        (library.photos / GOOD[6]).unlink()
        job, real = library.job(tags), os.fsync
        tag_parts(job, Progress())
        whole = content(tags)
        assert len(whole) == 1 + 5 * 3
        for number in range(1, 60, 2):
            shutil.rmtree(tags)
            shutil.copytree(tmp_path / "before", tags)
            with monkeypatch.context() as patch:
                patch.setattr(os, "fsync", die_at(number, real))
                patch.setattr(journal, "SYNC", 0)
                try:
                    tag_parts(job, Progress())
                except Killed:
                    tag_parts(job, Progress())
                else:
                    break
            assert content(tags) == whole, f"killed at write {number}"
        assert number > 20

    def test_loses_no_batch_that_is_done(self, library: Library, tags: Path, tmp_path: Path) -> None:
        out = tmp_path / "again"
        with pytest.raises(Interrupted, match="4 of 10 images are tagged"):
            library.run(out, progress=stop_after(1))
        result = library.run(out)
        assert (result.resumed, result.tagged, result.summary.photographs) == (4, 9, 9)
        assert content(out) == content(tags)

    @pytest.mark.parametrize("damage", ["tags.parquet", INDEX, "manifest.json"])
    def test_a_damaged_part_is_mended_and_no_other_touched(self, library: Library, tags: Path, damage: str) -> None:
        before, rows = content(tags), read(tags)
        path = tags / "part-00001" / damage
        path.write_bytes(path.read_bytes()[:-3])
        with pytest.raises(InputError):
            read(tags)
        library.run(tags)
        assert read(tags) == rows
        after = content(tags)
        assert {name for name in after if after[name] != before.get(name)} <= {f"part-00001/{INDEX}"}


class TestShares:
    def test_each_does_its_own_and_the_last_publishes(self, library: Library, tags: Path, tmp_path: Path) -> None:
        out = tmp_path / "s"
        first = library.run(out, share=(0, 2))
        assert (first.tagged, first.open) == (5, 1)
        with pytest.raises(InputError, match="unfinished"):
            read(out)
        write_photos(library.photos, 1, start=30)  # waits until all that is assigned is done
        second = library.run(out, share=(1, 2))
        assert (second.tagged, second.open) == (4, 0)
        assert content(out) == content(tags)
        third = library.run(out, share=(1, 2))
        assert (third.tagged, third.open) == (10, 0)

    def test_at_once(self, library: Library, tmp_path: Path) -> None:
        library.run(tmp_path / "whole", part_size=2)
        jobs = [library.job(tmp_path / "s", part_size=2, share=(number, 3)) for number in range(3)]
        with ThreadPoolExecutor(3) as pool:
            list(pool.map(lambda job: tag_parts(job, Progress()), jobs))
        assert content(tmp_path / "s") == content(tmp_path / "whole")

    def test_one_that_is_stopped_or_taken_away(self, library: Library, tags: Path, tmp_path: Path) -> None:
        out = tmp_path / "s"
        with pytest.raises(Interrupted):
            library.run(out, share=(0, 2), progress=stop_after(1))
        with lock(out / "part-00000" / LOCK), pytest.raises(UsageError, match="another c2srt"):
            library.run(out)
        library.run(out, share=(1, 2))
        assert library.run(out, share=(0, 2)).open == 0
        assert content(out) == content(tags)

    def test_other_options_are_refused(self, library: Library, tmp_path: Path) -> None:
        library.run(tmp_path / "s", share=(0, 2))
        with pytest.raises(InputError, match="made with other options"):
            library.run(tmp_path / "s", share=(1, 2), rule=Rule(top_k=3))
        with pytest.raises(UsageError, match="cannot start again"):
            library.job(tmp_path / "s", share=(1, 2), overwrite=True)


def edit(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))


def edit_index(path: Path, column: str, *values: Any) -> None:
    found = pq.read_table(path)
    cells = [*values, *found[column].to_pylist()[len(values) :]]
    pq.write_table(found.set_column(found.column_names.index(column), column, pa.array(cells)), path)


FOREIGN: dict[str, tuple[Callable[[Path], object], str]] = {
    "a part of other tags": (
        lambda out: edit(out / "part-00001/manifest.json", lambda made: made["options"].update(all_scores=True)),
        "part-00001: the part is one of other tags",
    ),
    "a part of embeddings": (
        lambda out: edit(out / "part-00001/manifest.json", lambda made: made.update(kind="part")),
        "part-00001: holds part, no part of tags",
    ),
    "no checksum": (
        lambda out: edit(out / "part-00001/manifest.json", lambda made: made.pop("tags")),
        "tags: is missing",
    ),
    "a checksum that is none": (
        lambda out: edit(out / "part-00001/manifest.json", lambda made: made["tags"].update(sha256="../x")),
        "tags.sha256",
    ),
    "tags of another part": (
        lambda out: shutil.copy(out / "part-00000/tags.parquet", out / "part-00001/tags.parquet"),
        "part-00001/tags.parquet: is damaged",
    ),
    "an index of another part": (
        lambda out: shutil.copy(out / f"part-00000/{INDEX}", out / f"part-00001/{INDEX}"),
        "part-00001: its index speaks of 'p0000.png' in row 0",
    ),
    "an index that climbs": (lambda out: edit_index(out / f"part-00000/{INDEX}", "path", "../x"), "leads out"),
    "an image twice": (lambda out: edit_index(out / f"part-00001/{INDEX}", "row", 1, 1), "not that of a part"),
    "a row that is not there": (
        lambda out: edit_index(out / f"part-00001/{INDEX}", "row", 9),
        "'p0003.png' in row 9",
    ),
    "an image that is open": (lambda out: edit_index(out / f"part-00000/{INDEX}", "status", "open"), "not that of"),
    "a part more": (lambda out: shutil.copytree(out / "part-00000", out / "part-00003"), "lists 3 parts, and there"),
    "a part less": (lambda out: shutil.rmtree(out / "part-00001"), "lists 3 parts, and there are 2"),
    "no number": (
        lambda out: edit(out / "manifest.json", lambda made: made.update(parts="3")),
        "lists '3' parts",
    ),
    "another layout": (lambda out: edit(out / "manifest.json", lambda made: made.update(schema=9)), "has layout 9"),
    "another artifact": (
        lambda out: edit(out / "manifest.json", lambda made: made.update(kind="run")),
        "holds run, no tags",
    ),
}


@pytest.fixture(scope="module")
def finished(tiny_model: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tags that no test changes."""
    folder = tmp_path_factory.mktemp("finished")
    written(folder, tiny_model).run(folder / "t")
    return folder / "t"


@pytest.mark.parametrize("what", FOREIGN)
def test_what_is_foreign_is_refused_by_name(finished: Path, tmp_path: Path, what: str) -> None:
    tags = tmp_path / "t"
    shutil.copytree(finished, tags)
    change, said = FOREIGN[what]
    change(tags)
    with pytest.raises(InputError) as refused:
        read(tags)
    assert said in str(refused.value)
    assert examine([tags])[-1].state == "bad"


@pytest.mark.parametrize("what", ["a part of other tags", "no checksum", "a part more", "a part less"])
def test_what_is_foreign_is_made_again(library: Library, tags: Path, what: str) -> None:
    FOREIGN[what][0](tags)
    library.run(tags)
    assert sorted(image.path for image in read(tags)) == GOOD


def test_two_processes_at_once(library: Library, tags: Path, tmp_path: Path) -> None:
    """Whoever is first lists the photographs, whoever is last writes the manifest."""
    command: list[object] = [
        sys.executable,
        "-m",
        "c2srt_cli",
        "tag",
        library.photos,
        "--labels",
        library.labels,
        "--top-k",
        2,
    ]
    command += ["--out", tmp_path / "both", "--part-size", SIZE, "--backbone", library.backbone, "--allow-failures"]
    command += ["--precision", "float32", "--batch-size", BATCH, "--workers", 1]
    shares = [[*map(str, command), "--shard", f"{number}/2"] for number in (0, 1)]
    with ThreadPoolExecutor(2) as pool:
        done = pool.map(lambda share: subprocess.run(share, capture_output=True, check=False, timeout=300), shares)
    assert [(one.returncode, b"Traceback" in one.stderr) for one in done] == [(0, False), (0, False)]
    assert content(tmp_path / "both") == content(tags)
