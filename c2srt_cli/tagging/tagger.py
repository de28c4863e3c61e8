"""The stage behind ``c2srt tag``: images → scores → the labels each is given."""

from collections.abc import Generator, Sequence
from contextlib import closing
from functools import partial

import numpy as np
import torch

from c2srt_cli.errors import Interrupted
from c2srt_cli.progress import Progress
from c2srt_cli.tagging.choice import Choice
from c2srt_cli.tagging.explanation import explain
from c2srt_cli.tagging.job import TagJob
from c2srt_cli.tagging.record import FailedImage, Tag, TaggedImage
from c2srt_cli.tagging.sources import Item, SourceBatch


def tag_images(
    job: TagJob, items: Sequence[Item], progress: Progress
) -> Generator[list[tuple[Item, TaggedImage | FailedImage]], None, None]:
    """Tag images in their order; one list per batch, each image with the version that was read.

    Raises:
        Interrupted: the user stopped it.
    """
    done = 0
    with closing(job.results(partial(_tag_batch, job), job.source.batches(items))) as batches:
        for batch in batches:
            yield batch
            done += len(batch)
            progress.advance(done, len(items))
            if progress.stopped() and done < len(items):
                raise Interrupted(f"{done:,} of {len(items):,} images of this run are tagged")
    if said := job.predictor.model.pop_warnings():
        progress.note(said)


@torch.inference_mode()
def _tag_batch(job: TagJob, batch: SourceBatch) -> list[tuple[Item, TaggedImage | FailedImage]]:
    good = [item for item in batch.items if item.name not in batch.failures]
    results: dict[str, TaggedImage | FailedImage] = dict(batch.failures)
    if good:
        # the padded rows are scored too: one shape for every batch, as in the forward pass
        found = batch.scores(job.predictor)
        choice = Choice.of(job, found, len(good))
        scores, probabilities = choice.scores, choice.probabilities
        shares = None if found.share is None else found.share[: len(good)].cpu().numpy()
        learned = job.learned(choice.logits)
        names = job.labels.names
        finite = np.isfinite(scores).all(1) & np.isfinite(choice.logits).all(1)
        for i, item in enumerate(good):
            if not finite[i]:
                results[item.name] = FailedImage(
                    item.name, "not-finite", "the backbone's numbers overflow; --precision float32 may help"
                )
                continue
            mine = None if probabilities is None else probabilities[i]
            kept = choice.labels(
                i,
                None if learned is None else learned[i],
                None if job.verdicts is None else job.verdicts.of(item.name, item.stamp.sha256),
            )
            tags = tuple(
                Tag(
                    names[j],
                    float(scores[i, j]),
                    None if mine is None else float(mine[j]),
                    None if shares is None else float(shares[i, j]),
                )
                for j in kept
            )
            results[item.name] = TaggedImage(
                item.name,
                tags,
                tuple(scores[i].tolist()) if job.all_scores else None,
                None
                if job.explain is None
                else explain(job.predictor, found, batch.whole, i, kept=kept, grid=job.grid),
            )
    return [(item, results[item.name]) for item in batch.items]
