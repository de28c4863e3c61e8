"""Embeddings written by hand, for the tests of what reads them."""

from dataclasses import fields, replace
from pathlib import Path
from typing import Any, Literal

import torch

from c2srt_cli.artifacts import manifest, write_json
from c2srt_cli.embeddings import store
from c2srt_cli.embeddings.manifest import EmbeddingOptions
from c2srt_cli.embeddings.part import publish
from c2srt_cli.embeddings.shards import write_shard
from c2srt_cli.embeddings.store import Store
from c2srt_cli.parts.folder import part_path
from c2srt_cli.parts.index import Row, rows_of, table_of

MADE: dict[str, Any] = {
    "root": "/photos",
    "backbone": "mini",
    "weights_sha256": "ab" * 32,
    "split_stage": 3,
    "depth": 3,
    "patch_attention": None,
    "streams": "global",
    "num_prefix": 1,
    "grid": [2, 1],
    "width": 2,
    "dim": 4,
    "pixels": {"size": 64, "fit": "crop", "interpolation": "bicubic", "fill": 0, "draft": True},
    "mean": [0.5, 0.5, 0.5],
    "std": [0.25, 0.25, 0.25],
    "runtime": {"device": "cpu", "dtype": "float32", "batch": 4, "threads": 1},
    "stored_dtype": "bfloat16",
    "torch": "2.9",
}
OPTIONS = EmbeddingOptions.of_manifest(Path("e"), {"options": MADE})


def stored_rows(store: Store) -> list[Row]:
    """Every image as an object, failures last."""
    return [*rows_of(store.columns(*(column.name for column in fields(Row)))), *store.failures]


def row(path: str, shard: int, at: int, **other: object) -> Row:
    """An image in row ``at`` of a shard; a failure where that is -1."""
    status: Literal["ok", "failed"] = "ok" if at >= 0 else "failed"
    made = Row(path, 10, 123456789012345678, "ab" * 32 if at >= 0 else "", 640, 480, shard, at, status)
    return replace(made, **other)  # type: ignore[arg-type]


def tensors(count: int, start: int) -> dict[str, torch.Tensor]:
    """Rows whose numbers say which they are."""
    which = torch.arange(start, start + count)
    return {
        "global": which[:, None].expand(count, 4).float().contiguous(),
        "tokens": which[:, None, None].expand(count, 3, 2).to(torch.bfloat16).contiguous(),
    }


def write(folder: Path, number: int, rows: list[Row], start: int, *, complete: bool = True) -> None:
    """A shard with numbers from ``start`` on."""
    count = sum(one.status == "ok" for one in rows)
    write_shard(folder, number, rows, tensors(count, start), OPTIONS.origin(), complete=complete)


def finish(folder: Path, rows: list[Row]) -> Store:
    """Embeddings of which a part with these shards is the only one, opened."""
    publish(part_path(folder, 0), table_of(rows), OPTIONS)
    write_json(folder / "manifest.json", manifest(store.KIND, store.SCHEMA, MADE, {}) | {"parts": 1})
    return Store.open(folder)
