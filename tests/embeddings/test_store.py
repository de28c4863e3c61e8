import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from stored import MADE, OPTIONS, finish, row, tensors, write

from c2srt_cli.artifacts import manifest, read_json, write_json
from c2srt_cli.embeddings import store
from c2srt_cli.embeddings.manifest import EmbeddingOptions
from c2srt_cli.embeddings.part import Part, known_rows
from c2srt_cli.embeddings.previous import check_options, previous_options
from c2srt_cli.embeddings.shards import read_shard, shard_path, write_shard
from c2srt_cli.embeddings.store import Store
from c2srt_cli.errors import InputError
from c2srt_cli.parts.folder import part_path
from c2srt_cli.parts.index import INDEX, Row, table_of, write_index


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three shards; the last repeats two images of the first, and knows that one of them has become unusable."""
    part = part_path(tmp_path, 0)
    write(part, 0, [row("a", 0, 0), row("b", 0, 1), row("bad", 0, -1), row("c", 0, 2)], 0)
    write(part, 1, [row("d", 1, 0), row("e", 1, 1)], 10)
    write(part, 7, [row("b", 7, 0, sha256="cd" * 32), row("d", 7, -1)], 20, complete=False)
    return tmp_path


class TestKnownRows:
    def test_the_newest_shard_counts(self, folder: Path) -> None:
        known = known_rows(part_path(folder, 0), OPTIONS)
        assert {path: (found.shard, found.row) for path, found in known.items()} == {
            "a": (0, 0),
            "b": (7, 0),
            "bad": (0, -1),
            "c": (0, 2),
            "d": (7, -1),
            "e": (1, 1),
        }

    def test_the_index_knows_when_files_were_touched(self, folder: Path) -> None:
        touched = row("a", 0, 0, mtime_ns=5)
        stale = row("b", 0, 1, mtime_ns=6)  # of before it changed
        gone = row("zz", 3, 0)
        write_index(part_path(folder, 0) / INDEX, table_of([touched, stale, gone]))
        known = known_rows(part_path(folder, 0), OPTIONS)
        assert known["a"] == touched
        assert known["b"] == row("b", 7, 0, sha256="cd" * 32)
        assert "zz" not in known

    @pytest.mark.parametrize("how", ["damaged", "of another split", "under another number"])
    def test_a_shard_that_is_not_right_is_as_good_as_none(self, folder: Path, how: str) -> None:
        folder = part_path(folder, 0)
        if how == "damaged":
            shard_path(folder, 7).write_bytes(b"")
        elif how == "of another split":
            rows, origin = [row("b", 7, 0), row("d", 7, -1)], OPTIONS.origin() | {"split_stage": 2}
            write_shard(folder, 7, rows, tensors(1, 0), origin, complete=True)
        else:
            shard_path(folder, 7).rename(shard_path(folder, 8))
        known = known_rows(folder, OPTIONS)
        assert known["b"].shard == 0
        assert known["d"].status == "ok"


class TestStore:
    def test_batches_in_any_order(self, folder: Path) -> None:
        kept = [row("a", 0, 0), row("c", 0, 2), row("e", 1, 1), row("d", 1, 0), row("b", 7, 0, sha256="cd" * 32)]
        opened = finish(folder, kept)
        wanted = opened.find(["a", "c", "d", "e", "nowhere", "b"])
        assert wanted.tolist() == [0, 1, 3, 2, -1, 4]
        found = list(opened.batches(wanted[wanted >= 0], 2))
        assert [opened.paths.take(places).to_pylist() for places, _, _ in found] == [["a", "c"], ["d", "e"], ["b"]]
        assert [g[:, 0].tolist() for _, _, g in found] == [[0, 2], [10, 11], [20]]
        for _, tokens, global_embedding in found:
            assert tokens.x is not None
            assert tokens.local is None
            assert tokens.x.shape[1:] == (3, 2)
            assert torch.equal(tokens.x[:, 2, 1].float(), global_embedding[:, 3])

    def test_verify(self, folder: Path) -> None:
        rows = [row("a", 0, 0), row("b", 7, 0, sha256="cd" * 32), row("bad", 0, -1), row("e", 1, 1, mtime_ns=1)]
        problem = Row("gone", -1, -1, "", 0, 0, -1, -1, "failed", "bad-name", "…")
        assert finish(folder, [*rows, problem]).verify() == 5

    @pytest.mark.parametrize(("shard", "offset"), [(0, -1), (1, -20), (7, -3)])
    def test_one_wrong_bit_is_found_by_whoever_reads_it(self, folder: Path, shard: int, offset: int) -> None:
        rows = [row("a", 0, 0), row("e", 1, 1), row("b", 7, 0, sha256="cd" * 32)]
        opened = finish(folder, rows)
        path = shard_path(part_path(folder, 0), shard)
        data = bytearray(path.read_bytes())
        data[offset] ^= 1
        path.write_bytes(data)
        for read in (opened.verify, lambda: list(opened.batches(range(3), 2))):
            with pytest.raises(InputError, match="its checksum is another one") as error:
                read()
            assert error.value.where == str(path)

    def test_payload(self, folder: Path) -> None:
        finish(folder, [row("a", 0, 0), row("e", 1, 1), row("b", 7, 0, sha256="cd" * 32)])
        (folder / "notes.txt").touch()
        assert sorted(path.name for path in store.payload(folder)) == [
            "index.parquet",
            "shard-00000.safetensors",
            "shard-00001.safetensors",
            "shard-00007.safetensors",
        ]

    def test_other_embeddings_of_the_same_images_have_other_shards(self, folder: Path) -> None:
        part = part_path(folder, 0)
        kept = (part / "shard-00000.safetensors").read_bytes()
        one = store.store_fingerprint(finish(folder, [row("a", 0, 0)]))
        moved = read_json(folder / "manifest.json")
        moved["options"] |= {"root": "/elsewhere", "torch": "3.0", "backbone": "local-dir:/there"}
        write_json(folder / "manifest.json", moved)
        assert store.store_fingerprint(Store.open(folder)) == one
        (part / "shard-00000.safetensors").write_bytes(kept)
        write(part, 0, [row("a", 0, 0)], 99)
        assert store.store_fingerprint(finish(folder, [row("a", 0, 0)])) != one


Rows = list[dict[str, Any]]


def edited(change: Callable[[Rows], object]) -> Callable[[Path], None]:
    """A change of the index, cell by cell."""

    def edit(folder: Path) -> None:
        path = part_path(folder, 0) / INDEX
        rows = pq.read_table(path).to_pylist()
        change(rows)
        pq.write_table(pa.Table.from_pylist(rows), path)

    return edit


def swap(rows: Rows) -> None:
    rows[0]["row"], rows[1]["row"] = 1, 0


WRONG_INDEXES = {
    "another row": (edited(lambda rows: rows[0].update(row=1)), "'a': row is 1, 0 in its shard"),
    "each other's rows": (edited(swap), "'c': row is 0, 2 in its shard"),
    "another shard": (edited(lambda rows: rows[0].update(shard=1)), "speaks of shard 1, which the part has not"),
    "no such shard": (edited(lambda rows: rows[0].update(shard=5)), "speaks of shard 5, which the part has not"),
    "another name": (edited(lambda rows: rows[0].update(path="zz")), "'zz': it is not in shard-00000"),
    "another image": (edited(lambda rows: rows[0].update(sha256="ef" * 32)), "'a': sha256 is"),
    "a failure that failed not": (
        edited(lambda rows: rows[2].update(status="ok", row=0, sha256="ab" * 32)),
        "'bad': sha256 is",
    ),
    "behind the last": (edited(lambda rows: rows[0].update(row=999)), "'a': row is 999, 0 in its shard"),
}


@pytest.mark.parametrize(("change", "match"), WRONG_INDEXES.values(), ids=WRONG_INDEXES)
def test_an_index_that_the_shards_contradict_is_refused(
    change: Callable[[Path], None], match: str, folder: Path
) -> None:
    finish(folder, [row("a", 0, 0), row("c", 0, 2), row("bad", 0, -1)])
    change(folder)
    for read in (
        lambda: Store.open(folder).verify(),
        lambda: list(Store.open(folder).batches([0], 1)),
        lambda: list(Store.open(folder).global_embeddings()),
    ):
        with pytest.raises(InputError) as error:
            read()
        assert match in str(error.value)


def test_options_are_written_as_before_there_were_tiles() -> None:
    """What has been made of embeddings knows them by these bytes."""
    for written in (OPTIONS.origin(), OPTIONS.deciding()):
        assert "tiles" not in written["pixels"]


class TestPublished:
    """Index and headers that are as they were published are not compared row by row."""

    ROWS = (row("a", 0, 0), row("c", 0, 2), row("d", 1, 0), row("e", 1, 1))

    @pytest.fixture
    def compared(self, monkeypatch: pytest.MonkeyPatch) -> list[int]:
        """Numbers of the shards whose rows are."""
        numbers: list[int] = []
        check = Part.check_shard

        def noted(self: Part, number: int, index: pa.Table, options: EmbeddingOptions) -> None:
            numbers.append(number)
            check(self, number, index, options)

        monkeypatch.setattr(Part, "check_shard", noted)
        return numbers

    def test_they_are_read_at_once(self, folder: Path, compared: list[int]) -> None:
        found = finish(folder, list(self.ROWS))
        assert [one[:, 0].tolist() for _, one in found.global_embeddings()] == [[0.0, 2.0], [10.0, 11.0]]
        assert [g[:, 0].tolist() for _, _, g in found.batches(range(4), 4)] == [[0, 2, 10, 11]]
        assert not compared
        found.verify()
        assert compared == [0, 1]

    @pytest.mark.parametrize("missing", ["index", "header"])
    def test_parts_of_earlier_versions_are_compared(self, folder: Path, compared: list[int], missing: str) -> None:
        finish(folder, list(self.ROWS))
        path = part_path(folder, 0) / "manifest.json"
        said = read_json(path)
        for where in [said] if missing == "index" else said["shards"].values():
            del where[missing]
        write_json(path, said)
        list(Store.open(folder).global_embeddings())
        assert compared == [0, 1]

    def test_another_header_is_compared(self, folder: Path, compared: list[int]) -> None:
        finish(folder, list(self.ROWS))
        rows = [row("e", 1, 0), row("d", 1, 1)]  # of the same length
        write_shard(part_path(folder, 0), 1, rows, tensors(2, 10), OPTIONS.origin(), complete=True)
        with pytest.raises(InputError, match="'d': row is 0, 1 in its shard"):
            list(Store.open(folder).global_embeddings())
        assert compared == [1]

    def test_what_disagrees_when_it_is_published_is_compared(self, folder: Path) -> None:
        with pytest.raises(InputError, match="'a': row is 1, 0 in its shard"):
            list(finish(folder, [row("a", 0, 1), row("d", 1, 0)]).global_embeddings())

    @pytest.mark.parametrize("damage", ["shorter", "none"])
    def test_a_shard_that_lost_its_end(self, folder: Path, damage: str) -> None:
        found = finish(folder, list(self.ROWS))
        path = shard_path(part_path(folder, 0), 1)
        path.write_bytes(path.read_bytes()[: -1 if damage == "shorter" else 0])
        with pytest.raises(InputError, match="cannot be read as safetensors"):
            list(found.global_embeddings())


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_global_embeddings_are_numbers(value: float, folder: Path) -> None:
    """They are read without their checksum: a hundred thousand of them are to take seconds."""
    rows = [row("a", 0, 0), row("c", 0, 2)]
    found = finish(folder, rows)
    ((places, one),) = found.global_embeddings()
    assert places.tolist() == [0, 1]
    assert one[:, 0].tolist() == [0.0, 2.0]
    made = tensors(3, 0)
    made["global"][1, 3] = value  # in a row that is not asked for
    there = read_shard(part_path(folder, 0), 0, OPTIONS)
    write_shard(part_path(folder, 0), 0, list(there.rows), made, OPTIONS.origin(), complete=True)
    found = finish(folder, rows)
    with pytest.raises(InputError, match="not all of its numbers are finite"):
        list(found.global_embeddings())


WRONG_OPTIONS: dict[str, tuple[dict[str, object], str]] = {
    "split_stage": ({"split_stage": 2}, "split_stage: 3 in the part, 2 in the manifest"),
    "behind the tower": ({"split_stage": 999}, "options: split stage 999 lies behind the last of 3 stages"),
    "text": ({"split_stage": "a"}, 'options.split_stage: must be a whole number, is "a"'),
    "an old name too": ({"cut": 999}, "options.cut: is the old name of split_stage, which is there too"),
    "another": ({"dense": "vv"}, "options.dense: is the old name of patch_attention, which is there too"),
    "truth": ({"split_stage": True}, "options.split_stage: must be a whole number, is true"),
    "fit": ({"pixels": MADE["pixels"] | {"fit": "pad"}}, "pixels: PixelSpec"),
    "weights": ({"weights_sha256": "cd" * 32}, "weights_sha256: 'ababab"),
    "width": ({"width": 3}, "tokens: BF16 3x3x2 there, BF16 3x3x3 by its header and the manifest"),
    "a stream": (
        {"streams": "local", "patch_attention": "value"},
        "streams: 'global' in the part, 'local' in the manifest",
    ),
    "a stream of nothing": ({"streams": "local"}, "streams 'local' and patch attention None contradict each other"),
    "attention for nothing": ({"patch_attention": "value"}, "streams 'global' and patch attention 'value' contradict"),
    "half a way": ({"streams": "local", "patch_attention": "value", "depth": 4}, "a local stream alone cannot go on"),
    "a device": ({"runtime": MADE["runtime"] | {"device": "meta"}}, "options.runtime: there is no device 'meta'"),
    "threads": ({"runtime": MADE["runtime"] | {"threads": 0}}, "options.runtime: batches of 4 on 0 threads"),
    "evil": ({"runtime": MADE["runtime"] | {"evil": 1}}, "options.runtime: has a field 'evil'"),
    "nothing": ({"pixels": {}}, "options.pixels.size: is missing"),
    "infinite": ({"mean": [1, 2, 1e300]}, ""),
    "many": ({"depth": 10**30}, "options.depth: must be"),
    "root": ({"root": 5}, "options.root: must be text, is 5"),
    "many prompts": ({"templates": ["a {}"] * 1001}, "options.templates: must have at most 1000 items"),
    "zero byte": ({"backbone": "local-dir:/a\0b"}, "options.backbone: holds a zero byte"),
}


@pytest.mark.parametrize(("change", "match"), WRONG_OPTIONS.values(), ids=WRONG_OPTIONS)
def test_a_manifest_that_cannot_be_is_refused_by_field(change: dict[str, object], match: str, folder: Path) -> None:
    finish(folder, [row("a", 0, 0)])
    made = json.loads((folder / "manifest.json").read_bytes())
    made["options"] |= change
    (folder / "manifest.json").write_text(json.dumps(made))
    if not match:
        Store.open(folder)
        return
    with pytest.raises(InputError) as error:
        Store.open(folder)
    assert match in str(error.value)


OLD = {"split_stage": "cut", "patch_attention": "dense"}


@pytest.mark.parametrize(("old", "now"), [("vv", "value"), ("vv-all", "value-all"), (None, None)])
def test_embeddings_under_the_names_of_before_are_read_and_gone_on_with(
    tmp_path: Path, old: str | None, now: str | None
) -> None:
    streams = {"streams": "both"} if old else {}
    made = {OLD.get(name, name): value for name, value in (MADE | streams).items()} | {"dense": old}
    rows = [row("a", 0, 0), row("b", 0, 1)]
    origin = {OLD.get(name, name): value for name, value in (OPTIONS.origin() | streams).items()} | {"dense": old}
    there = tensors(2, 0) | ({"local": tensors(2, 5)["tokens"]} if old else {})
    write_shard(tmp_path, 0, rows, there, origin, complete=True)
    write_index(tmp_path / INDEX, table_of(rows))
    write_json(tmp_path / "manifest.json", manifest(store.KIND, 1, made, {}))
    found = Store.open(tmp_path)
    assert (found.options.split_stage, found.options.patch_attention) == (3, now)
    wanted = EmbeddingOptions.of_manifest(tmp_path, {"options": MADE | streams | {"patch_attention": now}})
    assert found.options == wanted
    assert found.paths.to_pylist() == ["a", "b"]
    assert found.verify() == 2
    ((_, _, vectors),) = found.batches([1, 0], 2)
    assert vectors[:, 0].tolist() == [1.0, 0.0]
    assert known_rows(tmp_path, wanted).keys() == {"a", "b"}
    previous = previous_options(tmp_path, overwrite=False)
    assert previous is not None
    check_options(tmp_path, previous, wanted)
