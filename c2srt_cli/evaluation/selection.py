"""The part of a score file that a protocol looks at in one setting, in pieces that fit into memory."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from c2srt_cli.datasets.annotations import Annotations
from c2srt_cli.errors import InputError
from c2srt_cli.evaluation.protocol import Protocol, counted_images, ranked_labels
from c2srt_cli.evaluation.score_file import ScoreFile
from c2srt_cli.threads import WORKERS, pool

#: Bytes of scores in one piece; a worker holds about four times as much.
PIECE = 32 << 20

Result = TypeVar("Result")


@dataclass(frozen=True, eq=False)
class Selection:
    """Labels and images of a setting, and their scores and truth piece by piece.

    Attributes:
        annotations: What is known of them.
        scores: The score file.
        columns: ``(C,)`` ids of the ranked labels.
        places: ``(C,)`` where they stand in the file.
        kept: ``(N,)`` where the images that count stand in the file.
        wanted: How many images would count if none were missing.
    """

    annotations: Annotations
    scores: ScoreFile
    columns: np.ndarray
    places: np.ndarray
    kept: np.ndarray
    wanted: int

    @property
    def rows(self) -> np.ndarray:
        """``(N,)`` the images, by their number in the annotations."""
        rows: np.ndarray = self.scores.rows[self.kept]
        return rows

    def by_labels(self, work: Callable[[np.ndarray, np.ndarray], Result]) -> Iterator[Result]:
        """``work(scores, truth)`` on pieces of labels, in order and on several threads.

        Both are ``(c, N)``, truth int8: 1 present, -1 absent, 0 unknown.
        """
        rows, everything = self.rows, len(self.kept) == len(self.scores.rows)
        step = max(1, PIECE // (4 * max(1, len(self.scores.rows))))

        def piece(start: int) -> Result:
            scores = self.scores.read(self.places[start : start + step])
            truth = self.annotations.truth(rows, self.columns[start : start + step])
            return work(scores if everything else scores[:, self.kept], np.ascontiguousarray(truth.T))

        return _threaded(piece, range(0, len(self.columns), step))

    def by_images(self, work: Callable[[np.ndarray, np.ndarray], Result]) -> Iterator[Result]:
        """``work(scores, present)`` on pieces of images; ``(n, C)`` float32 and bool."""
        step = max(1, PIECE // (4 * max(1, len(self.columns))))

        def piece(start: int) -> Result:
            kept = self.kept[(self.kept >= start) & (self.kept < start + step)]
            scores = self.scores.read(self.places, start, start + step)[:, kept - start]  # (C, n)
            positive = self.annotations.positive.select(self.scores.rows[kept])
            return work(np.ascontiguousarray(scores.T), positive.dense(self.columns))

        return _threaded(piece, range(0, len(self.scores.rows), step))


def select(
    annotations: Annotations, protocol: Protocol, setting: str, scores: ScoreFile, *, allow_missing: bool = False
) -> Selection:
    """What a setting looks at.

    Raises:
        InputError: the scores are of other annotations, or lack labels or (unless allowed) images of the protocol.
    """
    where = str(scores.path)
    if scores.facts.get("annotations", annotations.fingerprint) != annotations.fingerprint:
        raise InputError("these scores are of other annotations", where=where, hint="evaluate again")
    columns = ranked_labels(annotations, setting)
    if not len(columns):
        raise InputError(
            f"no label is unseen, so there is nothing to rank in {setting}",
            where=str(annotations.root),
            hint="run c2srt prepare with --unseen, --unseen-share or --protocol",
        )
    order = np.argsort(scores.columns)
    found = np.searchsorted(scores.columns, columns, sorter=order)
    places = order[np.minimum(found, len(order) - 1)]
    if not np.array_equal(scores.columns[places], columns):
        names = annotations.labels.names
        lacking = [names[label] for label in np.setdiff1d(columns, scores.columns)]
        raise InputError(f"there are no scores of {len(lacking)} labels", where=where, problems=_some(lacking))
    wanted = check_images(annotations, protocol, setting, scores.rows, where=where, allow_missing=allow_missing)
    kept = np.flatnonzero(np.isin(scores.rows, wanted))
    return Selection(annotations, scores, columns, places, kept, len(wanted))


def check_images(
    annotations: Annotations,
    protocol: Protocol,
    setting: str,
    there: np.ndarray,
    *,
    where: str,
    allow_missing: bool = False,
) -> np.ndarray:
    """Numbers of the images that count in a setting, ascending, of which ``there`` are at hand, ``(N,)``.

    Raises:
        InputError: no image counts, none is there or, unless that is allowed, some are missing.
    """
    wanted = counted_images(annotations, protocol, setting)
    if not len(wanted):
        raise InputError(
            f"no image of the test set counts in {setting} under protocol {protocol.name}",
            where=str(annotations.root),
            hint="run c2srt prepare with a split that has test images of the labels to rank",
        )
    missing = np.setdiff1d(wanted, there)
    if len(missing) == len(wanted):
        raise InputError(
            f"no image of protocol {protocol.name} is there",
            where=where,
            hint="run c2srt embed --annotations for these annotations",
        )
    if len(missing) and not allow_missing:
        raise InputError(
            f"{len(missing)} of the {len(wanted)} images of protocol {protocol.name} are missing",
            where=where,
            problems=_some([annotations.paths[row] for row in missing[:11]], len(missing)),
            hint="embed them, or give --allow-missing: every table then says how many there were",
        )
    return wanted


def _some(names: list[str], count: int | None = None) -> list[str]:
    """The first ten, and how many more there are."""
    more = (len(names) if count is None else count) - 10
    return names[:10] + ([f"and {more} more"] if more > 0 else [])


def _threaded(piece: Callable[[int], Result], starts: range) -> Iterator[Result]:
    """Results in order, with no more pieces under way than there are threads."""
    for first in range(0, len(starts), WORKERS):
        yield from pool().map(piece, starts[first : first + WORKERS])
