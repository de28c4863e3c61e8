"""Encoded batches → shards, each written in the background as soon as it is full."""

from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self

import torch
from torch import Tensor

from c2srt_cli.embeddings import shards
from c2srt_cli.embeddings.manifest import EmbeddingOptions
from c2srt_cli.embeddings.part import same_image
from c2srt_cli.embeddings.pipeline import EncodedBatch, Outcome
from c2srt_cli.parts.index import Row


class ShardWriter:
    """Gathers batches and writes shards, one in flight at a time, which bounds the memory.

    It goes on in the last shard there is, where the user stopped a run within it and all its rows still hold.

    Args:
        folder: Where the shards lie.
        current: Rows that still hold, by path.
        options: What the shards are made with.
    """

    def __init__(self, folder: Path, current: dict[str, Row], options: EmbeddingOptions) -> None:
        self._folder, self._origin = folder, options.origin()
        self._rows: list[Row] = []
        self._parts: list[dict[str, Tensor]] = []
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="shards")
        self._last: Future[None] | None = None
        numbers = shards.shard_numbers(folder)
        self._number = numbers[-1] + 1 if numbers else 0
        last = shards.readable_shard(folder, numbers[-1], options) if numbers else None
        if last and not last.complete and all(_holds(row, current.get(row.path)) for row in last.rows):
            self._number = numbers[-1]
            self._rows = last.rows
            # copies: the file that these are mapped from is about to be replaced
            there = shards.shard_tensors(folder, self._number, last.sha256)
            self._parts = [{name: tensor.clone() for name, tensor in there.items()}]

    @property
    def count(self) -> int:
        """Images of the shard that is being filled."""
        return len(self._rows)

    def add(self, batch: EncodedBatch) -> list[Row]:
        """Take a batch in; the rows it is given."""
        start = sum(len(part["global"]) for part in self._parts if part)
        rows = list[Row]()
        for outcome in batch.outcomes:
            rows.append(_row(outcome, self._number, start))
            start += outcome.error is None
        self._rows += rows
        if batch.count:
            self._parts.append(_tensors(batch))
        return rows

    def write(self, *, complete: bool) -> None:
        """Write what has been gathered, behind the scenes.

        Raises:
            OSError: the shard before this one could not be written.
        """
        self.wait()
        if self._rows:
            parts = [part for part in self._parts if part]
            tensors = {name: torch.cat([part[name] for part in parts]) for name in parts[0]} if parts else {}
            self._last = self._writer.submit(
                shards.write_shard, self._folder, self._number, self._rows, tensors, self._origin, complete=complete
            )
            self._number += 1
            self._rows, self._parts = [], []

    def wait(self) -> None:
        """Wait until everything that `write` was given is on the disk.

        Raises:
            OSError: it cannot be written.
        """
        last, self._last = self._last, None
        if last is not None:
            last.result()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.shutdown()
        if error is None:
            self.wait()


def _holds(row: Row, current: Row | None) -> bool:
    return current is not None and same_image(row, current)


def _row(outcome: Outcome, number: int, at: int) -> Row:
    name, pixels, error = outcome.file.name, outcome.pixels, outcome.error
    if pixels is not None:
        facts = (pixels.size, pixels.mtime_ns, pixels.sha256, pixels.width, pixels.height)
        return Row(name, *facts, shard=number, row=at, status="ok", ctime_ns=pixels.ctime_ns)
    assert error is not None
    size, mtime_ns, ctime_ns, _ = outcome.stamp
    return Row(name, size, mtime_ns, error.sha256, 0, 0, number, -1, "failed", error.reason, error.detail, ctime_ns)


def _tensors(batch: EncodedBatch) -> dict[str, Tensor]:
    """Copies of the rows that are images, without the padding, as they are stored."""
    tensors = {"global": batch.global_embedding[: batch.count].to("cpu", torch.float32, copy=True)}
    for name, stream in (("tokens", batch.tokens.x), ("local", batch.tokens.local)):
        if stream is not None:
            tensors[name] = stream[: batch.count].to("cpu", torch.bfloat16, copy=True)
    return tensors
