"""What a shard says of itself, against safetensors' own reader; and what no shard can be."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from stored import OPTIONS, row, write

from c2srt_cli.embeddings.shards import Shard, read_shard, readable_shard, shard_numbers, shard_path, shard_tensors
from c2srt_cli.errors import InputError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path, 7, [row("b", 7, 0), row("d", 7, -1)], 20, complete=False)
    write(tmp_path, 1, [row("d", 1, 0), row("e", 1, 1), row("f", 1, 2)], 10)
    return tmp_path


def test_header(folder: Path) -> None:
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
    assert header["made"]["split_stage"] == 3
    assert read_shard(folder, 7, OPTIONS) == Shard([row("b", 7, 0), row("d", 7, -1)], False, digest.hexdigest())


def test_numbers_are_those_of_its_own_files(folder: Path) -> None:
    for name in ("shard-x.safetensors", "shard-00009.safetensors.bak", "shard-2.safetensors", "shard-00010.tar"):
        (folder / name).touch()
    for name in ("shard-123456.safetensors", "shard-012345.safetensors", "shard-99999999999.safetensors"):
        (folder / name).touch()
    assert shard_numbers(folder) == [1, 7, 123456]


@pytest.mark.parametrize("size", [0, 4, 50, -1])
def test_damaged(folder: Path, size: int) -> None:
    path = shard_path(folder, 1)
    path.write_bytes(path.read_bytes()[:size])
    assert readable_shard(folder, 1, OPTIONS) is None
    with pytest.raises(InputError, match="cannot be read as safetensors"):
        shard_tensors(folder, 1, None)


def test_shards_of_versions_that_did_not_say_how_they_were_made(folder: Path) -> None:
    rewrite(folder, lambda record, _: record.pop("made"))
    assert read_shard(folder, 1, OPTIONS).rows == [row("d", 1, 0), row("e", 1, 1), row("f", 1, 2)]


Change = Callable[[dict[str, Any], dict[str, torch.Tensor]], object]


def rewrite(folder: Path, change: Change) -> None:
    path = shard_path(folder, 1)
    with safe_open(path, "pt") as file:
        record = json.loads(file.metadata()["c2srt"])
    there = load_file(path)
    change(record, there)
    save_file({name: one.contiguous() for name, one in there.items()}, path, metadata={"c2srt": json.dumps(record)})


def fewer(_: dict[str, Any], there: dict[str, torch.Tensor]) -> None:
    there.update({name: tensor[:2] for name, tensor in there.items()})


WRONG: dict[str, tuple[Change, str]] = {
    "fewer rows than images": (fewer, "global: F32 2x4 there, F32 3x4 by its header"),
    "another type": (lambda _, there: there.update(tokens=there["tokens"].half()), "tokens: F16 3x3x2 there, BF16"),
    "another width": (lambda _, there: there.update({"global": there["global"][:, :3]}), "global: F32 3x3 there, F32"),
    "a tensor more": (lambda _, there: there.update(extra=torch.ones(1)), "extra: F32 1 there, nothing by"),
    "a tensor less": (lambda _, there: there.pop("tokens"), "tokens: nothing there, BF16 3x3x2 by"),
    "another order": (lambda made, _: made["rows"].reverse(), "its rows, one after the other"),
    "an image twice": (lambda made, _: made["rows"][1].update(path="d"), "row 1, 'd': stands in row 0 too"),
    "of another shard": (lambda made, _: made["rows"][0].update(shard=2), "are said to be in shard 2"),
    "a path that leads out": (lambda made, _: made["rows"][0].update(path="../d"), "'../d': its path leads out"),
    "a field that is unknown": (lambda made, _: made["rows"][0].update(evil=1), "rows[0].evil: "),
    "a field less": (lambda made, _: made["rows"][0].pop("path"), "rows[0].path: is missing"),
    "a number as text": (lambda made, _: made["rows"][0].update(row="0"), "rows[0].row: must be a whole number"),
    "rows that are none": (lambda made, _: made.update(rows={}), "rows: must be a list"),
    "no checksum": (lambda made, _: made.pop("sha256"), "sha256: is missing"),
    "another split": (
        lambda made, _: made["made"].update(split_stage=1),
        "split_stage: 1 in the shard, 3 in the manifest",
    ),
}


@pytest.mark.parametrize(("change", "match"), WRONG.values(), ids=WRONG)
def test_what_no_shard_can_be(change: Change, match: str, folder: Path) -> None:
    rewrite(folder, change)
    with pytest.raises(InputError) as error:
        read_shard(folder, 1, OPTIONS)
    assert match in str(error.value)
    assert error.value.where == str(shard_path(folder, 1))


def test_a_file_of_somebody_else(folder: Path) -> None:
    save_file({"a": torch.ones(2)}, shard_path(folder, 1))
    with pytest.raises(InputError, match=r"holds no record of c2srt"):
        read_shard(folder, 1, OPTIONS)
    assert asdict(row("d", 1, 0))["path"] == "d"
