"""The stage behind ``c2srt search``: all photographs by their global embeddings, the best also by their patches."""

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from c2srt_cli.errors import InputError, Interrupted
from c2srt_cli.images import ImageFile, PixelSpec
from c2srt_cli.labels import LabelSet
from c2srt_cli.progress import Progress
from c2srt_cli.search.query import Query
from c2srt_cli.tagging.job import TagJob
from c2srt_cli.tagging.options import TagOptions
from c2srt_cli.tagging.record import FailedImage
from c2srt_cli.tagging.sources import EmbeddingSource, ImageSource, Item
from c2srt_cli.tagging.tag import prepare_tagging

#: Photographs whose patches are looked at, unless all are.
CANDIDATES = 1000
#: Stands for the words where pictures alone are searched for: labels come with every backbone that is loaded.
_NO_WORDS = LabelSet.of(["photograph"])


@dataclass(frozen=True, slots=True)
class Hit:
    """A photograph that was found.

    Attributes:
        path: Relative to the root.
        score: By which photographs are ordered; for one word that of ``tag`` and ``evaluate``.
        probability: That it shows the word, where one word is searched for and the backbone is calibrated.
    """

    path: str
    score: float
    probability: float | None


@dataclass(frozen=True)
class SearchResult:
    """What a search found.

    Attributes:
        root: What paths are relative to.
        hits: Best first; where not all were looked at closely, those that were.
        total: Photographs that were searched.
        failures: Those that cannot be read.
        sha256: Of the bytes of those that were looked at closely, as far as it is known.
    """

    root: Path
    hits: list[Hit]
    total: int
    failures: tuple[FailedImage, ...]
    sha256: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class SearchJob:
    """A search, ready to run.

    Attributes:
        query: What is searched for.
        job: Tags photographs with its words.
        pictures: Global embeddings of its pictures, of norm 1, ``(P, D)``.
    """

    query: Query
    job: TagJob
    pictures: Tensor


def prepare_search(query: Query, options: TagOptions, progress: Progress) -> SearchJob:
    """Check a query, and load what it needs.

    Args:
        query: What is searched for.
        options: Where, and by which backbone; its labels are the query's.
        progress: Callbacks.

    Raises:
        InputError: photographs, embeddings or weights are missing or unusable.
        UsageError: the options contradict each other.
    """
    query.check()
    job = prepare_tagging(replace(options, labels=query.labels if len(query.labels) else _NO_WORDS), progress)
    return SearchJob(query, job, _pictures(job, query.pictures, options.machine.decode_threads))


@torch.inference_mode()
def search(prepared: SearchJob, progress: Progress, *, exact: bool = False) -> SearchResult:
    """Search photographs, or embeddings of them.

    Args:
        prepared: What is searched for, and where.
        progress: Callbacks.
        exact: Look at the patches of all photographs of embeddings, as is done where there are none, and by a run.

    Raises:
        InputError: embeddings are damaged.
        Interrupted: the user stopped it.
    """
    query, job, pictures = prepared.query, prepared.job, prepared.pictures
    failures = list(job.source.problems)
    items: Sequence[Item] = job.source.items
    rows = None
    whole = exact or job.predictor.run is not None  # a run's scores are not those of the frozen backbone's globals
    if isinstance(job.source, EmbeddingSource) and not whole and len(items) > CANDIDATES:
        terms = torch.cat([job.predictor.text.float()[: len(query.labels)], pictures])
        order = np.argsort(-query.combine(_global_scores(job, job.source, terms)), kind="stable")
        items = [items[i] for i in np.sort(order[:CANDIDATES])]
        # a few rows of many shards: to compare the checksum of each would be to read them all
        rows = job.source.batches(items, checked=False)
    names: list[str] = []
    sha256: dict[str, str] = {}
    scores: list[np.ndarray] = []
    logits: list[np.ndarray] = []
    done = 0
    with closing(rows or job.source.batches(items)) as batches:
        for batch in batches:
            failures += batch.failures.values()
            good = [item.name for item in batch.items if item.name not in batch.failures]
            if good:
                found = batch.scores(job.predictor)
                like = _cosines(batch.whole.global_, pictures)
                words = found.ranking.float().cpu().numpy()[:, : len(query.labels)]
                scores.append(np.concatenate([words[: len(good)], like[: len(good)]], 1))  # (n, T)
                logits.append(found.logit[: len(good), :1].float().cpu().numpy())
                names += good
                sha256 |= {item.name: item.stamp.sha256 for item in batch.items if item.stamp.sha256}
            done += len(batch.items)
            progress.advance(done, len(items))
            if progress.stopped() and done < len(items):
                raise Interrupted(f"{done:,} of {len(items):,} photographs are searched", hint="run it again")
    if not names:
        return SearchResult(job.source.root, [], 0, tuple(failures))
    combined = query.combine(np.concatenate(scores))
    alone = len(query.signs) == len(query.labels) == 1
    probabilities = job.predictor.probability(np.concatenate(logits)) if alone else None
    return SearchResult(
        job.source.root,
        [
            Hit(names[i], float(combined[i]), None if probabilities is None else float(probabilities[i, 0]))
            for i in np.argsort(-combined, kind="stable")
        ],
        len(job.source.items),
        tuple(failures),
        sha256,
    )


def _pictures(job: TagJob, paths: Sequence[Path], threads: int) -> Tensor:
    """Global embeddings of the pictures that are searched for, of norm 1, ``(P, D)``.

    Raises:
        InputError: one of them cannot be read.
    """
    files = [ImageFile(path, str(path)) for path in paths]
    source = ImageSource(Path(), files, (), job.encoder, PixelSpec(**job.pixels), threads)
    parts = [job.predictor.text[:0].float()]
    with closing(source.batches(source.items)) as batches:
        for batch in batches:
            if batch.failures:
                problems = [f"{one.path}: {one.reason}, {one.detail}" for one in batch.failures.values()]
                raise InputError("cannot be read", where="--like", problems=problems)
            parts.append(batch.whole.global_[: len(batch.items)].float())
    return torch.nn.functional.normalize(torch.cat(parts), dim=-1)


def _cosines(embeddings: Tensor, others: Tensor) -> np.ndarray:
    """Of each with each, ``(N, M)``."""
    embeddings = embeddings.to(others)
    norms = torch.linalg.vector_norm(embeddings, dim=-1, keepdim=True).clamp_min(1e-12)
    cosines: np.ndarray = (embeddings @ others.T / norms).cpu().numpy()
    return cosines


def _global_scores(job: TagJob, source: EmbeddingSource, terms: Tensor) -> np.ndarray:
    """Cosines of each item's global embedding with every term, and what a profile adds to words, ``(N, T)``.

    Raises:
        InputError: a shard is damaged.
    """
    scores = np.empty((len(source.items), len(terms)), np.float32)
    cache = job.predictor.cache
    for places, embeddings in source.global_embeddings():
        scores[places] = _cosines(embeddings, terms)
        if cache is not None:
            words = len(cache.offsets)
            scores[places, :words] += cache(embeddings).cpu().numpy()
    return scores
