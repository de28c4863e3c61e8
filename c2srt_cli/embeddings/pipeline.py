"""Images → tokens: decode threads feed forward passes of one fixed batch shape."""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from itertools import islice

import numpy as np
import torch
from torch import Tensor

from c2srt_cli.artifacts import Stamp
from c2srt_cli.backbone.embedding import ImageEmbedding
from c2srt_cli.backbone.tower import Tokens
from c2srt_cli.embeddings.encoder import Encoder
from c2srt_cli.errors import ImageError
from c2srt_cli.images import Picture, Pixels, PixelSpec
from c2srt_cli.threads import side_by_side

#: Batches decoded ahead of the forward passes.
LOOK_AHEAD = 2


@dataclass(frozen=True, slots=True)
class Outcome:
    """One image of a batch: its pixels' facts, or why there are none.

    Attributes:
        file: Which.
        stamp: As it was before it was read: a file that is still being copied will look changed.
        pixels: None where there is an error.
        error: None where there are pixels.
        shown: What the tower is shown, the whole first, then its tiles, ``(S, S, 3)`` uint8 each; nothing where there
            is an error.
    """

    file: Picture
    stamp: Stamp
    pixels: Pixels | None
    error: ImageError | None
    shown: tuple[np.ndarray, ...] = ()


@dataclass(frozen=True, slots=True)
class EncodedBatch:
    """Images in the order of the list, and rows for those that could be read: as many as it is shown in.

    Attributes:
        outcomes: One per image, failures included.
        count: Rows of images without an error; they come first, padding up to the batch shape follows.
        tokens: Streams at the split, ``(B, T, W)``.
        embedding: Un-normalised; patches from the local stream where there is one.
    """

    outcomes: list[Outcome]
    count: int
    tokens: Tokens
    embedding: ImageEmbedding

    @property
    def global_embedding(self) -> Tensor:
        """``(B, D)``."""
        return self.embedding.global_


def encode(
    files: Iterable[Picture],
    encoder: Encoder,
    pixels: PixelSpec,
    *,
    workers: int,
    chunk: int | None = None,
    done: int = 0,
    transform: Callable[[Picture, np.ndarray], np.ndarray] | None = None,
) -> Generator[EncodedBatch, None, None]:
    """Encode images in order, decoding ahead in threads.

    Close it, as `threads.side_by_side`.

    No batch crosses a multiple of ``chunk`` images, so a run that stops and goes on at such a multiple forms the
    same batches as one that never stopped.

    Args:
        files: What to encode.
        encoder: The forward pass.
        pixels: How pictures are prepared.
        workers: Decode threads.
        chunk: Images, failures counted in, after which a batch is closed even if it is not full.
        done: Images of the first chunk that an earlier run has encoded.
        transform: Gives what the tower is shown in place of an image's pixels ``(S, S, 3)`` uint8, of the same
            shape; called in the decode threads.
    """

    def attempt(file: Picture) -> Outcome:
        stamp = file.stamp()
        try:
            found = file.load(pixels)
        except ImageError as error:
            return Outcome(file, stamp, None, error)
        whole = transform(file, found.array) if transform else found.array
        return Outcome(file, stamp, found, None, (whole, *found.tiles))

    def batches() -> Generator[tuple[list[Outcome], list[np.ndarray]], None, None]:
        batch, remaining, seen = encoder.runtime.batch, iter(files), done
        with ThreadPoolExecutor(workers, thread_name_prefix="decode") as pool:
            ahead: deque[Future[Outcome]] = deque(
                pool.submit(attempt, file) for file in islice(remaining, max(LOOK_AHEAD * batch, workers))
            )
            outcomes: list[Outcome] = []
            good: list[np.ndarray] = []
            try:
                while ahead:
                    outcome = ahead.popleft().result()
                    for file in islice(remaining, 1):
                        ahead.append(pool.submit(attempt, file))
                    if good and len(good) + len(outcome.shown) > batch:  # one in tiles
                        yield outcomes, good
                        outcomes, good = [], []
                    outcomes.append(outcome)
                    good += outcome.shown
                    seen += 1
                    if len(good) >= batch or (chunk and seen % chunk == 0) or not ahead:
                        yield outcomes, good
                        outcomes, good = [], []
            finally:
                for picture in ahead:
                    picture.cancel()

    with (
        encoder.threads_per_lane(),
        closing(batches()) as decoded,
        closing(side_by_side(partial(_run, encoder), decoded, encoder.lanes, "forward")) as encoded,
    ):
        yield from encoded


def _run(encoder: Encoder, decoded: tuple[list[Outcome], list[np.ndarray]]) -> EncodedBatch:
    outcomes, good = decoded
    if not good:
        empty = torch.empty(0, device=encoder.runtime.device)
        return EncodedBatch(outcomes, 0, Tokens(x=None, local=None), ImageEmbedding(empty, empty))
    size = encoder.runtime.batch
    tokens, embedding = encoder.forward(good[:size])
    more = [encoder.forward(good[start : start + size])[1] for start in range(size, len(good), size)]
    return EncodedBatch(outcomes, len(good), tokens, embedding.joined(more))
