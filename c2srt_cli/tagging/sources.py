"""Where the tagger's images come from: photographs, or embeddings made of them."""

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property, partial
from operator import attrgetter
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from c2srt_cli.artifacts import MANIFEST, Stamp, file_stamp, fingerprint
from c2srt_cli.backbone.embedding import ImageEmbedding
from c2srt_cli.backbone.tower import Tokens
from c2srt_cli.embeddings.encoder import Encoder
from c2srt_cli.embeddings.pipeline import encode
from c2srt_cli.embeddings.store import Store, payload
from c2srt_cli.errors import InputError
from c2srt_cli.images import FailedFile, ImageFile, Picture, PixelSpec
from c2srt_cli.tagging.record import FailedImage

#: Images read from embeddings at once where only norm and projection are left to run.
READ = 32


@dataclass(frozen=True, slots=True)
class Item:
    """One image of a source.

    Attributes:
        name: Its key, relative to the root.
        stamp: Its version.
    """

    name: str
    stamp: Stamp


@dataclass(frozen=True)
class SourceBatch:
    """Consecutive images: which they are, which failed, and the embeddings of the others in order.

    Attributes:
        items: In the order asked for, stamped as they were read.
        failures: By name.
        embed: Makes the embeddings.
    """

    items: list[Item]
    failures: dict[str, FailedImage]
    embed: Callable[[], ImageEmbedding]

    @cached_property
    def embedding(self) -> ImageEmbedding:
        """First the items that did not fail, then padding up to the batch shape."""
        return self.embed()


class Source(Protocol):
    """Images in a stable order, read in batches."""

    root: Path
    items: list[Item]
    problems: list[FailedImage]
    inputs: dict[str, str]

    def passes_over(self, name: str) -> bool:
        """Whether a photograph is not among the items because it has been left out, and not merely not named."""
        ...

    @property
    def files(self) -> Iterable[Path]:
        """What is read, and never to be written to."""
        ...

    def batches(self, items: Sequence[Item]) -> Generator[SourceBatch, None, None]:
        """Embed some of the items, in their order."""
        ...


class ImageSource:
    """Photographs, decoded and encoded on the way.

    Args:
        root: What their names are relative to.
        images: Files, or pictures in memory.
        problems: What was named and cannot be read.
        encoder: Backbone and runtime.
        pixels: How pictures are prepared.
        workers: Decode threads.
        passes_over: Says of names which photographs have been left out.
    """

    def __init__(  # noqa: PLR0917
        self,
        root: Path,
        images: Sequence[Picture],
        problems: Sequence[FailedFile],
        encoder: Encoder,
        pixels: PixelSpec,
        workers: int,
        passes_over: Callable[[str], bool] = lambda _: False,
    ) -> None:
        self.root, self.inputs = root, dict[str, str]()
        self.problems = [FailedImage(bad.name, bad.reason, bad.detail) for bad in problems]
        self._images = {image.name: image for image in images}
        self._encoder, self._pixels, self._workers = encoder, pixels, workers
        self.passes_over = passes_over
        self.items = [Item(image.name, image.stamp()) for image in images]

    @property
    def files(self) -> Iterable[Path]:
        """The photographs."""
        return (image.path for image in self._images.values() if isinstance(image, ImageFile))

    def batches(self, items: Sequence[Item]) -> Generator[SourceBatch, None, None]:
        """Decode ahead, encode in the fixed batch shape."""
        images = [self._images[item.name] for item in items]
        with closing(encode(images, self._encoder, self._pixels, workers=self._workers)) as batches:
            for batch in batches:
                failures = {
                    outcome.file.name: FailedImage(outcome.file.name, outcome.error.reason, outcome.error.detail)
                    for outcome in batch.outcomes
                    if outcome.error is not None
                }
                read = [
                    Item(o.file.name, o.stamp._replace(sha256=o.pixels.sha256 if o.pixels else ""))
                    for o in batch.outcomes
                ]
                yield SourceBatch(read, failures, partial(attrgetter("embedding"), batch))


class EmbeddingSource:
    """Embeddings written by `embed`; only the late stages of the tower run.

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
        columns = self._store.columns("size", "mtime_ns", "sha256")
        stamps = zip(*(column.to_pylist() for column in columns.itercolumns()), strict=True)
        self.items = [
            Item(name, Stamp(size, mtime_ns, -1, sha256))
            for name, (size, mtime_ns, sha256) in zip(self._store.paths.to_pylist(), stamps, strict=True)
        ]

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

    def batches(self, items: Sequence[Item], *, checked: bool = True) -> Generator[SourceBatch, None, None]:
        """Read tokens from the shards, whose checksums are compared if ``checked``, and run the late stages."""
        encoder = self._encoder

        def embed(tokens: Tokens, global_embedding: Tensor) -> ImageEmbedding:
            filled = Tokens(self._filled(tokens.x, size), self._filled(tokens.local, size))
            return encoder.embed(filled, self._filled(global_embedding, size))

        size = encoder.runtime.batch if encoder.split.stage < encoder.backbone.tower.depth else READ
        places = self._store.find([item.name for item in items])
        start = 0
        for batch, stored, global_embedding in self._store.batches(places, size, checked=checked):
            yield SourceBatch(list(items[start : start + len(batch)]), {}, partial(embed, stored, global_embedding))
            start += len(batch)

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
