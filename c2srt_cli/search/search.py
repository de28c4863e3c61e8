"""The stage behind ``c2srt search``: all photographs by their global embeddings, the best also by their patches."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from c2srt_cli.embeddings.encoder import Encoder, Machine
from c2srt_cli.embeddings.store import Store
from c2srt_cli.errors import InputError, Interrupted
from c2srt_cli.images import ImageFile, PixelSpec, find_images
from c2srt_cli.labels import LabelSet, open_labels
from c2srt_cli.progress import Progress
from c2srt_cli.search.query import Query
from c2srt_cli.tagging.job import TagJob
from c2srt_cli.tagging.model import open_embeddings
from c2srt_cli.tagging.options import TagOptions
from c2srt_cli.tagging.record import FailedImage
from c2srt_cli.tagging.sources import EmbeddingSource, ImageSource, Item, Source
from c2srt_cli.tagging.tag import load_tagger

#: Photographs whose patches are looked at, unless all are.
CANDIDATES = 1000
#: Stands for the words where pictures alone are searched for: labels come with every backbone that is loaded.
_NO_WORDS = LabelSet.of(["photograph"])


@dataclass(frozen=True)
class SearchOptions:
    """What the user asks for.

    Attributes:
        inputs: Folders, files, patterns, ``-``, or one folder of embeddings.
        query: What is searched for.
        stdin: The paths on standard input, where ``-`` is among the inputs.
        recursive: Search the folders among them.
        exclude: Patterns of what is left out.
        root: Where the photographs of embeddings are now.
        backbone: See `TagOptions`, as for templates.
        templates: Likewise.
        exact: Look at the patches of all photographs of embeddings, as is done where there are none.
        machine: Device, precision, batch shape, threads.
    """

    inputs: tuple[str, ...]
    query: Query
    stdin: tuple[str, ...] | None = None
    recursive: bool = False
    exclude: tuple[str, ...] = ()
    root: Path | None = None
    backbone: str | None = None
    templates: str | None = None
    exact: bool = False
    machine: Machine = Machine()


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
    """

    root: Path
    hits: list[Hit]
    total: int
    failures: tuple[FailedImage, ...]


@torch.inference_mode()
def search(options: SearchOptions, progress: Progress) -> SearchResult:
    """Search photographs, or embeddings of them.

    Raises:
        InputError: photographs, embeddings or weights are missing or unusable.
        Interrupted: the user stopped it.
        UsageError: the options contradict each other.
    """
    query = options.query
    query.check()
    job, store = _prepare(options, progress)
    pictures = _pictures(job, query.like, options.machine.decode_threads)
    failures = list(job.source.problems)
    items: Sequence[Item] = job.source.items
    if store is not None and not options.exact and len(items) > CANDIDATES:
        terms = torch.cat([job.predictor.text.float()[: len(query.labels)], pictures])
        order = np.argsort(-query.combine(_global_scores(store, terms, items)), kind="stable")
        items = [items[i] for i in np.sort(order[:CANDIDATES])]
    names: list[str] = []
    scores: list[np.ndarray] = []
    logits: list[np.ndarray] = []
    done = 0
    with closing(job.source.batches(items)) as batches:
        for batch in batches:
            failures += batch.failures.values()
            good = [item.name for item in batch.items if item.name not in batch.failures]
            if good:
                found = job.predictor.scores(batch.embedding)
                like = _cosines(batch.embedding.global_, pictures)
                words = found.ranking.float().cpu().numpy()[:, : len(query.labels)]
                scores.append(np.concatenate([words, like], 1)[: len(good)])  # (n, T)
                logits.append(found.logit[: len(good), :1].float().cpu().numpy())
                names += good
            done += len(batch.items)
            progress.advance(done, len(items))
            if progress.stopped() and done < len(items):
                raise Interrupted(f"{done:,} of {len(items):,} photographs are searched", hint="run it again")
    if not names:
        return SearchResult(job.source.root, [], 0, tuple(failures))
    combined = query.combine(np.concatenate(scores))
    alone = len(query.signs) == len(query.words) == 1
    probabilities = job.predictor.probability(np.concatenate(logits)) if alone else None
    return SearchResult(
        job.source.root,
        [
            Hit(names[i], float(combined[i]), None if probabilities is None else float(probabilities[i, 0]))
            for i in np.argsort(-combined, kind="stable")
        ],
        len(job.source.items),
        tuple(failures),
    )


def _prepare(options: SearchOptions, progress: Progress) -> tuple[TagJob, Store | None]:
    """Everything that is needed to score, and the embeddings that are searched."""
    asked = TagOptions(
        inputs=options.inputs,
        labels=options.query.labels if len(options.query.labels) else _NO_WORDS,
        backbone=options.backbone,
        templates=options.templates,
        machine=options.machine,
    )
    store = open_embeddings(asked)
    source_of = partial(_source, options, store, progress)
    return load_tagger(asked, open_labels(asked.labels), None, None, progress, source_of, store), store


def _source(
    options: SearchOptions, store: Store | None, progress: Progress, encoder: Encoder, pixels: PixelSpec
) -> Source:
    if store is not None:
        return EmbeddingSource(store, encoder, root=None if options.root is None else options.root.absolute())
    found = find_images(options.inputs, stdin=options.stdin, recursive=options.recursive, exclude=options.exclude)
    if options.root is not None:
        found = found.relative_to(options.root)
    if found.left_out:
        progress.note(found.left_out)
    return ImageSource(found.root, found.files, found.problems, encoder, pixels, options.machine.decode_threads)


def _pictures(job: TagJob, paths: Sequence[Path], threads: int) -> Tensor:
    """Global embeddings of the pictures that are searched for, of norm 1, ``(P, D)``.

    Raises:
        InputError: one of them cannot be read.
    """
    files = [ImageFile(path, str(path)) for path in dict.fromkeys(paths)]
    source = ImageSource(Path(), files, (), job.encoder, PixelSpec(**job.pixels), threads)
    parts = [job.predictor.text[:0].float()]
    with closing(source.batches(source.items)) as batches:
        for batch in batches:
            if batch.failures:
                problems = [f"{one.path}: {one.reason}, {one.detail}" for one in batch.failures.values()]
                raise InputError("cannot be read", where="--like", problems=problems)
            parts.append(batch.embedding.global_[: len(batch.items)].float())
    return torch.nn.functional.normalize(torch.cat(parts), dim=-1)


def _cosines(embeddings: Tensor, others: Tensor) -> np.ndarray:
    """Of each with each, ``(N, M)``."""
    near = torch.nn.functional.normalize(embeddings.to(others), dim=-1) @ others.T
    cosines: np.ndarray = near.cpu().numpy()
    return cosines


def _global_scores(store: Store, terms: Tensor, items: Sequence[Item]) -> np.ndarray:
    """Cosines of each item's global embedding with every term, ``(N, T)``.

    Raises:
        InputError: a shard is damaged.
    """
    place = {item.name: i for i, item in enumerate(items)}
    scores = np.full((len(items), len(terms)), -np.inf, np.float32)
    for rows, embeddings in _globals(store):
        scores[[place[path] for path in rows]] = _cosines(embeddings.to(terms.device), terms)
    return scores


def _globals(store: Store) -> Iterator[tuple[list[str], Tensor]]:
    """Paths and global embeddings, shard by shard."""
    by_shard: dict[int, list[tuple[int, str]]] = {}
    for row in store.rows:
        if row.status == "ok":
            by_shard.setdefault(row.shard, []).append((row.row, row.path))
    for number, rows in by_shard.items():
        embeddings = store.global_embeddings(number)
        yield [path for _, path in rows], embeddings[[i for i, _ in rows]]
