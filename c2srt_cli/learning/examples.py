"""The photographs that something is known of, found again, and what the predictor says of them."""

import random
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from c2srt_cli.artifacts import file_sha256
from c2srt_cli.errors import InputError, Interrupted
from c2srt_cli.predict.profile import Verdict
from c2srt_cli.progress import Progress
from c2srt_cli.tagging.choice import Choice
from c2srt_cli.tagging.job import TagJob
from c2srt_cli.tagging.record import FailedImage
from c2srt_cli.tagging.sources import EmbeddingSource, Item

#: Photographs that stand for the whole collection: spread and middle of scores are measured on them.
POOL = 1000


def find(verdicts: Iterable[Verdict], job: TagJob) -> tuple[dict[str, str], list[FailedImage]]:
    """The names that judged photographs have now, by the sha256 that they were judged under.

    A photograph is looked for under its path, then, if it has moved, by its bytes: among all of embeddings, which know
    them, and of photographs among those of the same file name.

    Returns:
        Names by sha256, and the photographs that are not there or have changed.
    """
    root, cached = job.source.root, isinstance(job.source, EmbeddingSource)
    items = {item.name: item for item in job.source.items}
    by_sha256 = {item.stamp.sha256: item.name for item in reversed(job.source.items)} if cached else {}
    by_file: dict[str, list[str]] = {}
    if not cached:
        for name in items:
            by_file.setdefault(PurePosixPath(name).name, []).append(name)
    found: dict[str, str] = {}
    failures: dict[str, FailedImage] = {}
    for one in verdicts:
        if one.sha256 in found or one.sha256 in failures:
            continue
        if cached:
            same = one.path in items and items[one.path].stamp.sha256 == one.sha256
            place = one.path if same else by_sha256.get(one.sha256)
        else:
            near = [one.path] if one.path in items else []
            near += [name for name in by_file.get(PurePosixPath(one.path).name, []) if name != one.path]
            place = next((name for name in near if _sha256(root / name) == one.sha256), None)
        if place is not None:
            found[one.sha256] = place
        else:
            there = one.path in items
            what = "it has changed since it was judged" if there else "no such photograph, and none with these bytes"
            failures[one.sha256] = FailedImage(one.path, "changed" if there else "missing", what)
    return found, list(failures.values())


def _sha256(path: Path) -> str:
    try:
        return file_sha256(path)
    except OSError:
        return ""


def pool_of(items: Sequence[Item]) -> list[Item]:
    """Photographs that stand for all, the same ones each time."""
    return list(items) if len(items) <= POOL else random.Random(0).sample(items, POOL)  # noqa: S311 - no secret


@dataclass(frozen=True, eq=False)
class Scored:
    """What a predictor says of N photographs.

    Attributes:
        names: Theirs.
        embeddings: Global ones, ``(N, D)``, of norm 1.
        logits: Of L labels, ``(N, L)``.
        given: ``(N, L)`` bool: the label is given as things stand.
        failures: Those that could not be read, which are none of the N.
    """

    names: list[str]
    embeddings: Tensor
    logits: np.ndarray
    given: np.ndarray
    failures: list[FailedImage]


@torch.inference_mode()
def score(job: TagJob, items: Sequence[Item], progress: Progress) -> Scored:
    """Score photographs, each once.

    Raises:
        InputError: none of them can be read.
        Interrupted: the user stopped it.
    """
    names: list[str] = []
    embeddings, logits, given, failures, done = [], [], [], list[FailedImage](), 0
    with closing(job.source.batches(items)) as batches:
        for batch in batches:
            failures += batch.failures.values()
            good = [item.name for item in batch.items if item.name not in batch.failures]
            if good:
                choice = Choice.of(job, batch.scores(job.predictor), len(good))
                own = np.zeros(choice.logits.shape, bool)
                for i in range(len(good)):
                    own[i, choice.labels(i)] = True
                embeddings.append(normalize(batch.whole.global_[: len(good)].float(), dim=-1).cpu())
                logits.append(choice.logits)
                given.append(own)
                names += good
            done += len(batch.items)
            progress.advance(done, len(items))
            if progress.stopped() and done < len(items):
                raise Interrupted(f"{done:,} of {len(items):,} photographs are scored", hint="run it again")
    if not names:
        raise InputError(
            "none of the photographs can be read",
            where=str(job.source.root),
            problems=[f"{one.path}: {one.detail}" for one in failures[:3]],
        )
    return Scored(names, torch.cat(embeddings), np.concatenate(logits), np.concatenate(given), failures)
