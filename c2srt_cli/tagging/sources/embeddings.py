"""Embeddings written by `embed`; only the late stages of the tower run."""

from collections.abc import Generator, Iterable, Iterator, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from torch import Tensor

from c2srt_cli.artifacts import MANIFEST, file_stamp, fingerprint
from c2srt_cli.backbone.embedding import ImageEmbedding
from c2srt_cli.backbone.tower import Tokens
from c2srt_cli.embeddings.encoder import Encoder
from c2srt_cli.embeddings.store import Store, payload
from c2srt_cli.errors import InputError
from c2srt_cli.tagging.record import FailedImage
from c2srt_cli.tagging.sources.items import Item, Items, Versions
from c2srt_cli.tagging.sources.source import SourceBatch

#: Images read from embeddings at once where only norm and projection are left to run.
READ = 32


class EmbeddingSource:
    """Embeddings.

    Args:
        store: Finished embeddings.
        encoder: The backbone they were made with, under its runtime; without patch attention, patches come from the
            global stream.
        root: The folder that the photographs' paths are relative to now; None for the one that they were relative to.
        beside: Whether sidecars go beside the photographs: those that are not there are left out.
    """

    def __init__(self, store: Store, encoder: Encoder, *, root: Path | None = None, beside: bool = False) -> None:
        self.root = Path(store.options.root) if root is None else root
        described = {key: value for key, value in store.manifest.items() if key != "parts"}  # images may be added
        self.inputs = {"embeddings": fingerprint(described)}
        self._encoder = encoder
        self.problems = [FailedImage(row.path, row.reason, row.detail) for row in store.failures]
        self._store = self._present(store) if beside else store
        self.items: Sequence[Item] = _items(self._store)

    @property
    def names(self) -> pa.LargeStringArray:
        """Of all items."""
        return self._store.paths

    def passes_over(self, name: str) -> bool:  # noqa: ARG002
        """Embeddings do not say what has been left out of them."""
        return False

    def _present(self, store: Store) -> Store:
        """Put aside what is not beside the photographs any more: embeddings say where those were, not that they are.

        Raises:
            InputError: not one of them is there.
        """
        gone, kept = [], []
        known = zip(store.paths.to_pylist(), store.columns("size")["size"].to_pylist(), strict=True)
        for place, (name, then) in enumerate(known):
            size = file_stamp(self.root / name).size
            if size == then:
                kept.append(place)
            else:
                what = "no such file" if size < 0 else "the file has changed since it was embedded: embed it again"
                gone.append(FailedImage(name, "missing" if size < 0 else "changed", what))
        if gone and not kept:
            raise InputError(
                "the photographs are no longer there",
                where=str(self.root),
                hint="say where they are now with --root, or give --out for the sidecars",
            )
        self.problems += gone
        return store.take(np.array(kept)) if gone else store

    @property
    def files(self) -> Iterable[Path]:
        """The manifest and the payload."""
        return (self._store.folder / MANIFEST, *payload(self._store.folder))

    def global_embeddings(self) -> Iterator[tuple[np.ndarray, Tensor]]:
        """Places among the items, and their frozen global embeddings ``(n, D)``: see `Store.global_embeddings`."""
        return self._store.global_embeddings()

    def some(self, names: pa.LargeStringArray) -> Items:
        """Images of these names, as far as they are embedded."""
        places = self._store.find(names)
        return _items(self._store.take(places[places >= 0]))

    def batches(self, items: Sequence[Item], *, checked: bool = True) -> Generator[SourceBatch, None, None]:
        """Read tokens from the shards, whose checksums are compared if ``checked``, and run the late stages."""
        encoder = self._encoder

        def embed(tokens: Tokens, global_embedding: Tensor) -> ImageEmbedding:
            filled = Tokens(self._filled(tokens.x, size), self._filled(tokens.local, size))
            return encoder.embed(filled, self._filled(global_embedding, size))

        size = encoder.runtime.batch if encoder.split.stage < encoder.backbone.tower.depth else READ
        places = np.arange(len(items)) if items is self.items else self._store.find([item.name for item in items])
        start = 0
        for batch, stored, global_embedding in self._store.batches(places, size, checked=checked):
            yield SourceBatch(list(items[start : start + len(batch)]), {}, partial(embed, stored, global_embedding))
            start += len(batch)

    def hold(self, table: pa.Table, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Bytes say whether an image is the same; embeddings of other tokens are not taken for these."""
        now = self._store.take(places).columns("mtime_ns", "sha256")
        same = pc.equal(now["sha256"], table["sha256"]).to_numpy()
        return same, np.stack([now["mtime_ns"].to_numpy(), np.full(len(table), -1)], 1)

    def spans(self, new: np.ndarray, size: int) -> Iterable[slice]:  # noqa: ARG002
        """A part is of images of one part of the embeddings: whoever works on it reads no other."""
        part = self._store.part[new]
        bounds = [0, *(np.flatnonzero(np.diff(part)) + 1).tolist(), len(new)] if len(new) else []
        return (slice(*pair) for pair in pairwise(bounds))

    def _filled(self, stream: Tensor | None, size: int) -> Tensor | None:
        """On the device, in the runtime's precision, padded to the one batch shape."""
        if stream is None:
            return None
        stream = stream.to(self._encoder.runtime.device, self._encoder.backbone.dtype)
        return (
            torch.cat([stream, stream.new_zeros(size - len(stream), *stream.shape[1:])])
            if len(stream) < size
            else stream
        )


def _items(store: Store) -> Items:
    def look() -> Versions:
        found = store.columns("size", "mtime_ns", "sha256")
        numbers = [found["size"].to_numpy(), found["mtime_ns"].to_numpy(), np.full(len(found), -1)]
        return Versions(np.stack(numbers, 1).astype(np.int64), found["sha256"])

    return Items(store.paths, look)
