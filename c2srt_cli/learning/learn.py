"""The stage behind ``c2srt learn``: corrections and keywords → ``profile/``."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from c2srt_cli.artifacts import (
    LOCK,
    UNFINISHED,
    disk_errors,
    fingerprint,
    lock,
    manifest,
    previous_manifest,
    remove_leftovers,
    write_json,
)
from c2srt_cli.errors import InputError, UsageError, counted
from c2srt_cli.labels import LabelSet, read_labels
from c2srt_cli.learning.corrections import check_labels, read_corrections
from c2srt_cli.learning.examples import find, pool_of, score
from c2srt_cli.learning.fit_labels import Judged, fit_labels, starts_of
from c2srt_cli.learning.keyword_run import LEAST, Trained, train_on_keywords
from c2srt_cli.learning.keywords import LEAST as MANY
from c2srt_cli.learning.keywords import labels_of, matched, read_keywords
from c2srt_cli.learning.options import LearnOptions, LearnResult
from c2srt_cli.learning.photographs import Photographs
from c2srt_cli.predict.cache_model import CacheModel
from c2srt_cli.predict.profile import KIND, RUN, SCHEMA, Learned, Verdict, write_profile
from c2srt_cli.progress import Progress
from c2srt_cli.tagging.job import TagJob
from c2srt_cli.tagging.keywords.lists import Keyword
from c2srt_cli.tagging.record import FailedImage
from c2srt_cli.tagging.tag import prepare_tagging


def learn(options: LearnOptions, progress: Progress) -> LearnResult:
    """Learn, and write the profile.

    Raises:
        InputError: corrections, photographs, labels or the run are missing or unusable.
        Interrupted: the user stopped it; a rerun goes on with the training of a run.
        UsageError: the options contradict each other, or another process is writing there.
    """
    out = options.out
    if not options.photos:
        raise UsageError(
            "the photographs are missing: corrections say what they show, and not what they look like",
            where="SOURCE...",
            hint=f"c2srt learn {' '.join(map(str, options.corrections))} PHOTOS --out {out}",
        )
    verdicts = read_corrections(options.corrections)
    if options.corrections and not verdicts and not options.keywords:
        raise InputError(
            "there is not one verdict in it",
            where=str(options.corrections[0]),
            hint="say yes or no on the page of c2srt review, and save; or leave it out, to learn from keywords",
        )
    with disk_errors(out):
        previous_manifest(out, KIND, overwrite=options.overwrite)
        with lock(out / LOCK):
            remove_leftovers(out)
            write_json(out / UNFINISHED, manifest(KIND, SCHEMA, {}, {}))
            return _learn(options, verdicts, progress)


def _learn(options: LearnOptions, verdicts: Sequence[Verdict], progress: Progress) -> LearnResult:
    photographs = Photographs.open(options, progress)
    keywords, failures = dict[str, list[Keyword]](), list[FailedImage]()
    if options.keywords:
        keywords, failures = read_keywords(photographs.root, photographs.names, progress)
        progress.note(f"{counted(len(keywords), 'photograph')} of {len(photographs.names):,} with keywords of yours")
    labels = _labels(options, verdicts, labels_of(keywords))
    names, shown = matched(keywords, labels)
    if not names and not verdicts:
        which = f"a keyword that {MANY} of them have" if options.labels is None else "a keyword that is one of --labels"
        raise InputError(
            f"there is nothing to learn from: no photograph has {which}, beside those of c2srt",
            where=str(photographs.root),
            problems=[f"{one.path}: {one.detail}" for one in failures[:3]],
            hint="name corrections.jsonl, or photographs with keywords",
        )
    trained = None
    if len(names) >= LEAST:
        if options.run is not None:
            raise UsageError("a run is trained on so many keywords", where="--run", hint="leave it out")
        trained = train_on_keywords(options, photographs, labels, names, shown, progress)
        names, shown = [], shown[:0]
    job = prepare_tagging(options.tagging(labels, options.run if trained is None else options.out / RUN), progress)
    places, lost = find(verdicts, job)
    failures += lost
    if verdicts and not places:
        raise InputError(
            "none of the judged photographs is among them",
            where=str(job.source.root),
            problems=[f"{one.path}: {one.detail}" for one in lost[:3]],
            hint="name the photographs that were judged; where paths lead now says --root",
        )
    known, truth = _known(labels, verdicts, places, names, shown)
    learned, total, model = _fit(job, known, truth, failures, progress)
    if trained is not None:
        corrected, total = LabelSet(tuple(one.label for one in learned)), total if known else trained.total
        learned = trained.with_verdicts(learned)
        if model is not None:
            columns = corrected.match(LabelSet(tuple(one.label for one in learned)))
            model = model.of(torch.tensor(columns, dtype=torch.long))
    _write(options, job, trained, verdicts, learned, model)
    return LearnResult(tuple(learned), total, 0 if trained is None else trained.images, tuple(failures))


def _labels(options: LearnOptions, verdicts: Sequence[Verdict], keywords: LabelSet) -> LabelSet:
    """The labels that are asked for, else those of the corrections and of the keywords."""
    if options.labels is not None:
        labels = read_labels(options.labels)
        check_labels(verdicts, labels, "--labels")
        return labels
    names = {one.label.casefold(): one.label for one in verdicts}
    labels = LabelSet.of([*names.values(), *(one for one in keywords if one.key not in names)])
    return read_labels(labels) if len(labels) else labels


def _known(
    labels: LabelSet, verdicts: Sequence[Verdict], places: Mapping[str, str], keyworded: list[str], shown: np.ndarray
) -> tuple[list[str], np.ndarray]:
    """Photographs of which something is known, and what: ``(n, L)`` int8; 1 shows it, -1 does not, 0 unknown.

    Verdicts go before keywords; of a photograph with keywords those that it has not are absent.
    """
    names = list(dict.fromkeys([*keyworded, *places.values()]))
    rows = {name: row for row, name in enumerate(names)}
    truth = np.zeros((len(names), len(labels)), np.int8)
    truth[: len(keyworded)] = np.where(shown, 1, -1)
    judged = list(dict.fromkeys(one.label for one in verdicts))
    columns = dict(zip(judged, labels.match(LabelSet.of(judged)), strict=True))
    for one in verdicts:
        if one.sha256 in places:
            truth[rows[places[one.sha256]], columns[one.label]] = 1 if one.verdict == "yes" else -1
    return names, truth


def _fit(
    job: TagJob, names: Sequence[str], truth: np.ndarray, failures: list[FailedImage], progress: Progress
) -> tuple[list[Learned], Learned, CacheModel | None]:
    """What is learned of labels, of all of them together, and what is added to their scores."""
    if not names:
        return [], Judged.joined([]).expected("all"), None
    items, known = {item.name: item for item in job.source.items}, set(names)
    pool = [item for item in pool_of(job.source.items) if item.name not in known]
    found = score(job, [*(items[name] for name in names if name in items), *pool], progress)
    failures += found.failures
    rows = {name: row for row, name in enumerate(found.names)}
    kept = [i for i, name in enumerate(names) if name in rows]
    if not kept:
        raise InputError("none of the photographs that something is known of can be read", where=str(job.source.root))
    mine = np.array([rows[names[i]] for i in kept], np.int64)
    return fit_labels(job.labels, starts_of(job, found), found, mine, truth[kept])


def _write(  # noqa: PLR0917
    options: LearnOptions,
    job: TagJob,
    trained: Trained | None,
    verdicts: Sequence[Verdict],
    learned: Sequence[Learned],
    model: CacheModel | None,
) -> None:
    inputs = {
        "labels": job.labels.fingerprint,
        "corrections": fingerprint([one.model_dump(mode="json") for one in verdicts]),
        **({} if trained is None else {RUN: trained.fingerprint}),
    }
    made = manifest(KIND, SCHEMA, job.basis, inputs)
    write_profile(options.out, made, root=job.source.root, learned=learned, verdicts=verdicts, model=model)
    if trained is not None:
        trained.tidy()
