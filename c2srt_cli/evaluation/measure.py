"""Runs and methods on a test set → reports, and what sets two of them apart."""

import tempfile
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

from c2srt_cli.datasets.annotations import Annotations, read_annotations
from c2srt_cli.embeddings.known_words import note_hardly_known
from c2srt_cli.embeddings.store import Store
from c2srt_cli.evaluation import protocol as protocols
from c2srt_cli.evaluation.comparison import Comparison, compare
from c2srt_cli.evaluation.protocol import Protocol
from c2srt_cli.evaluation.report import Report, evaluate
from c2srt_cli.evaluation.score import check_test_set, predictor, score_split
from c2srt_cli.graph.category_graph import CategoryGraph
from c2srt_cli.methods.options import Options
from c2srt_cli.methods.registry import METHODS
from c2srt_cli.predict.profile import is_profile
from c2srt_cli.progress import Progress

#: Replicates of the bootstrap of a comparison, where none are asked for.
REPLICATES = 1000


@dataclass(frozen=True, eq=False)
class TestSet:
    """What is measured on.

    Attributes:
        store: Tokens of its images.
        annotations: What is true.
        protocol: What counts.
        allow_missing: Go on without images that have no tokens.
    """

    __test__ = False  # pytest collects classes by this name

    store: Store
    annotations: Annotations
    protocol: Protocol
    allow_missing: bool = False

    @classmethod
    def open(
        cls, embeddings: Path, annotations: Path, protocol: str | None = None, *, allow_missing: bool = False
    ) -> "TestSet":
        """Open the folders, and see that they belong together.

        Raises:
            InputError: a folder is missing or damaged, or images of the protocol have no tokens.
            UsageError: the dataset has no such protocol.
        """
        known, store = read_annotations(annotations), Store.open(embeddings)
        chosen = protocols.protocol(known.dataset, protocol)
        check_test_set(store, known, chosen, allow_missing=allow_missing)
        return cls(store, known, chosen, allow_missing)


@dataclass(frozen=True, eq=False)
class Measured:
    """Figures of some methods, and, where others stood against them, what sets the two sides apart.

    Attributes:
        reports: One a method, those of the other side behind.
        sides: What the sides are called; empty without another side.
        compared: The difference in each setting.
    """

    reports: list[Report]
    sides: tuple[str, str] = ("", "")
    compared: tuple[Comparison, ...] = ()


def measure(
    methods: Sequence[str],
    test_set: TestSet,
    *,
    against: Sequence[str] = (),
    replicates: int = 0,
    templates: str | None = None,
    device: str | None = None,
    backbone: str | None = None,
    scores: Path | None = None,
    progress: Progress | None = None,
    running: Callable[[str], AbstractContextManager[Progress]] | None = None,
    graph: CategoryGraph | None = None,
    options: Options | None = None,
    run: Path | None = None,
) -> Measured:
    """Score a test set by each method, and report every figure of its protocol.

    Args:
        methods: Folders of runs and profiles, or names of methods that need no training.
        test_set: What to measure on.
        against: Others, to compare all of ``methods`` with; those of a side count as seeds of one method.
        replicates: Draws of the bootstrap over images; 0 for none, and `REPLICATES` in a comparison.
        templates: Prompts around the labels, for methods without a run.
        device: Where to compute; None for the fastest there is.
        backbone: The name that the backbone has here, where it is not the one that tokens and runs name.
        scores: Folder to keep the scores in; None to keep none.
        progress: Takes notes and counts.
        running: Gives a progress of its own for what it is told; instead of ``progress``.
        graph: Raises the scores of those of ``methods`` that need no training, and of profiles, learned with it.
        options: Of those that need no training.
        run: The run whose tags profiles correct.

    Raises:
        InputError: a run is missing or damaged, or belongs to other labels.
        UsageError: there is neither such a method nor such a run.
    """
    annotations, chosen, allowed = test_set.annotations, test_set.protocol, test_set.allow_missing
    given = [*methods, *against]
    reports, names, files = [], [], []
    with tempfile.TemporaryDirectory() as temporary:
        for number, method in enumerate(given):
            with running(f"scoring {method}") if running else nullcontext(progress or Progress()) as shown:
                raised = number < len(methods) and method in METHODS
                edges = graph if raised or is_profile(method) else None
                one = predictor(
                    method,
                    test_set.store,
                    annotations,
                    templates,
                    shown,
                    device,
                    backbone,
                    graph=edges,
                    options=options if raised else None,
                    run=run,
                )
                if method in METHODS and method not in given[:number]:
                    note_hardly_known(one.model.backbone, annotations.labels, shown)
                folder = (scores or Path(temporary)) / f"{number}-{one.method}"
                files.append(score_split(one, test_set.store, annotations, chosen, folder=folder, progress=shown))
            own_name = one.method if one.profile is None else f"{one.method}, profile"
            names.append(f"{own_name}, graph" if edges is not None else own_name)
            reports.append(evaluate(annotations, chosen, files[-1], allow_missing=allowed, replicates=replicates))
        distinct = _distinct(names, given)
        reports = [replace(one, method=name) for one, name in zip(reports, distinct, strict=True)]
        if not against:
            return Measured(reports)
        half = len(methods)
        compared = tuple(
            compare(
                annotations,
                chosen,
                setting,
                [one[setting] for one in files[:half]],
                [one[setting] for one in files[half:]],
                replicates=replicates or REPLICATES,
                allow_missing=allowed,
            )
            for setting in protocols.settings(annotations)
        )
    called = distinct if set(names[:half]) & set(names[half:]) else names
    first, second = (", ".join(dict.fromkeys(side)) for side in (called[:half], called[half:]))
    return Measured(reports, (first, second), compared)


def _distinct(names: Sequence[str], given: Sequence[str]) -> list[str]:
    """The names; those that repeat with the folder of their run, and its whole path where folders are called alike."""
    folders = [f"{name} ({Path(one).resolve().name})" for name, one in zip(names, given, strict=True)]
    found = []
    for name, folder, one in zip(names, folders, given, strict=True):
        if names.count(name) == 1 or name == one:
            found.append(name)
        else:
            found.append(folder if folders.count(folder) == 1 else f"{name} ({one})")
    return found
