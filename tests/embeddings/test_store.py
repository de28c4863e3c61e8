import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open

from c2srt_cli.artifacts import manifest, write_json
from c2srt_cli.embeddings import store
from c2srt_cli.embeddings.store import Row, Shard, Store
from c2srt_cli.errors import InputError


def row(path: str, shard: int, at: int, **other: object) -> Row:
    status = "ok" if at >= 0 else "failed"
    made = Row(path, 10, 123456789012345678, "abc" if at >= 0 else "", 640, 480, shard, at, status)
    return replace(made, **other)  # type: ignore[arg-type]


def tensors(count: int, start: int) -> dict[str, torch.Tensor]:
    """Rows whose numbers say which they are."""
    which = torch.arange(start, start + count)
    return {
        "global": which[:, None].expand(count, 4).float().contiguous(),
        "tokens": which[:, None, None].expand(count, 3, 2).to(torch.bfloat16).contiguous(),
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three shards; the last repeats two photographs of the first, and knows that one of them has become unusable."""
    first = [row("a", 0, 0), row("b", 0, 1), row("bad", 0, -1), row("c", 0, 2)]
    store.write_shard(tmp_path, 0, first, tensors(3, 0), complete=True)
    store.write_shard(tmp_path, 1, [row("d", 1, 0), row("e", 1, 1)], tensors(2, 10), complete=True)
    store.write_shard(tmp_path, 7, [row("b", 7, 0, sha256="new"), row("d", 7, -1)], tensors(1, 20), complete=False)
    return tmp_path


def finish(folder: Path, rows: list[Row]) -> Store:
    store.write_index(folder, rows)
    write_json(folder / "manifest.json", manifest(store.KIND, store.SCHEMA, {"root": "/photos"}, {}))
    return Store.open(folder)


class TestShards:
    def test_header(self, folder: Path) -> None:
        with safe_open(folder / "shard-00007.safetensors", "np") as file:
            metadata = file.metadata()
            number = file.get_tensor("global")
        assert metadata.keys() == {"c2srt"}, "entries stand in no order of their own: with two, bytes would differ"
        digest = hashlib.sha256(number.tobytes())
        digest.update((np.full(6, 20, np.float32).view(np.uint32) >> 16).astype("<u2").tobytes())
        header = json.loads(metadata["c2srt"])
        assert header["sha256"] == digest.hexdigest()
        assert header["complete"] is False
        assert [entry["path"] for entry in header["rows"]] == ["b", "d"]
        assert store.read_shard(folder, 7) == Shard(
            [row("b", 7, 0, sha256="new"), row("d", 7, -1)], False, digest.hexdigest()
        )

    @pytest.mark.parametrize("size", [0, 4, 50, -1])
    def test_damaged(self, folder: Path, size: int) -> None:
        path = store.shard_path(folder, 1)
        path.write_bytes(path.read_bytes()[:size])
        assert store.read_shard(folder, 1) is None
        with pytest.raises(InputError, match="cannot be read"):
            store.read_tensors(folder, 1)

    def test_numbers_are_those_of_its_own_files(self, folder: Path) -> None:
        for name in ("shard-x.safetensors", "shard-00009.safetensors.bak", "shard-1.safetensors", "shard-00010.tar"):
            (folder / name).touch()
        (folder / "shard-123456.safetensors").touch()
        assert store.shard_numbers(folder) == [0, 1, 7, 123456]


class TestKnownRows:
    def test_the_newest_shard_counts(self, folder: Path) -> None:
        known = store.known_rows(folder)
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
        store.write_index(folder, [touched, stale, gone])
        known = store.known_rows(folder)
        assert known["a"] == touched
        assert known["b"] == row("b", 7, 0, sha256="new")
        assert "zz" not in known

    def test_a_damaged_shard_is_as_good_as_none(self, folder: Path) -> None:
        store.shard_path(folder, 7).write_bytes(b"")
        known = store.known_rows(folder)
        assert known["b"].shard == 0
        assert known["d"].status == "ok"


class TestStore:
    def test_index_round_trip(self, tmp_path: Path) -> None:
        rows = [
            row("plain.jpg", 0, 0),
            row('=1+1,"\n\t é 写真 📷.jpg', 0, 1, width=0),
            Row("NaN", -1, -1, "", 0, 0, -1, -1, "failed", "missing", "no such file"),
            Row("None", 2**40, 2**62, "", 0, 0, 3, -1, "failed", "", ""),
        ]
        opened = finish(tmp_path, rows)
        assert opened.rows == rows
        assert {type(value) for found in opened.rows for value in (found.path, found.sha256, found.detail)} == {str}
        assert {type(value) for found in opened.rows for value in (found.size, found.mtime_ns, found.shard)} == {int}

    def test_batches_in_any_order(self, folder: Path) -> None:
        opened = finish(folder, [])
        wanted = [row("a", 0, 0), row("b", 0, 1), row("c", 0, 2), row("e", 1, 1), row("d", 1, 0), row("x", 7, 0)]
        found = list(opened.batches(wanted, 2))
        assert [[r.path for r in rows] for rows, _, _ in found] == [["a", "b"], ["c", "e"], ["d", "x"]]
        assert [g[:, 0].tolist() for _, _, g in found] == [[0, 1], [2, 11], [10, 20]]
        for _, tokens, global_embedding in found:
            assert tokens.x is not None
            assert tokens.local is None
            assert tokens.x.shape[1:] == (3, 2)
            assert torch.equal(tokens.x[:, 2, 1].float(), global_embedding[:, 3])

    def test_verify(self, folder: Path) -> None:
        rows = [row("a", 0, 0), row("b", 7, 0, sha256="new"), row("bad", 0, -1), row("e", 1, 1, mtime_ns=1)]
        problem = Row("gone", -1, -1, "", 0, 0, -1, -1, "failed", "bad-name", "…")
        assert finish(folder, [*rows, problem]).verify() == 5

    @pytest.mark.parametrize(("shard", "offset"), [(0, -1), (1, -20), (7, -3)])
    def test_verify_finds_one_wrong_bit(self, folder: Path, shard: int, offset: int) -> None:
        opened = finish(folder, [row("a", 0, 0), row("e", 1, 1), row("b", 7, 0, sha256="new")])
        path = store.shard_path(folder, shard)
        data = bytearray(path.read_bytes())
        data[offset] ^= 1
        path.write_bytes(data)
        with pytest.raises(InputError, match="damaged") as error:
            opened.verify()
        assert error.value.where == str(path)

    def test_verify_compares_the_index(self, folder: Path) -> None:
        with pytest.raises(InputError, match="damaged"):
            finish(folder, [row("a", 0, 1)]).verify()
        with pytest.raises(InputError, match="damaged"):
            finish(folder, [row("zz", 0, 0)]).verify()
        with pytest.raises(InputError, match="cannot be read"):
            finish(folder, [row("zz", 5, 0)]).verify()

    def test_payload(self, folder: Path) -> None:
        finish(folder, [])
        (folder / "notes.txt").touch()
        assert sorted(path.name for path in store.payload(folder)) == [
            "index.parquet",
            "shard-00000.safetensors",
            "shard-00001.safetensors",
            "shard-00007.safetensors",
        ]
