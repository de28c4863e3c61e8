"""What the user asks ``c2srt ablate`` for, checked and resolved into an `AblationJob`."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from c2srt_cli.ablation.grid import Grid, GridRow, read_grid, slug
from c2srt_cli.artifacts import manifest
from c2srt_cli.datasets.annotations import Annotations, read_annotations
from c2srt_cli.embeddings.store import Store
from c2srt_cli.errors import C2srtError, InputError
from c2srt_cli.evaluation.protocol import Protocol, protocol
from c2srt_cli.progress import Progress
from c2srt_cli.training.config import as_toml
from c2srt_cli.training.prepare import TrainOptions, prepare_training

KIND, SCHEMA = "ablation", 1
RUNS = "runs"


@dataclass(frozen=True)
class AblationOptions:
    """What the user asks for.

    Attributes:
        grid: TOML file with the rows.
        embeddings: Folder with the tokens.
        annotations: Folder with the annotations.
        out: Folder to write.
        protocol: How the test set is used; None for the dataset's first.
        templates: Prompts around the labels; None for those of the embeddings.
        device: Where to train and score; None for the fastest there is.
        backbone: The name that the backbone of the embeddings has here, where it is another than it had.
        overwrite: Start again instead of resuming.
    """

    grid: Path
    embeddings: Path
    annotations: Path
    out: Path
    protocol: str | None = None
    templates: str | None = None
    device: str | None = None
    backbone: str | None = None
    overwrite: bool = False


@dataclass(frozen=True, eq=False)
class AblationJob:
    """Everything `ablate` needs, resolved and checked.

    Attributes:
        options: As given.
        grid: Rows and seeds.
        annotations: The images.
        store: Their tokens.
        protocol: How the test set is used.
        made_from: By the name of a row that is trained, what a run of it is made from, but for its config.
    """

    options: AblationOptions
    grid: Grid
    annotations: Annotations
    store: Store
    protocol: Protocol
    made_from: Mapping[str, Mapping[str, Any]]

    @property
    def manifest(self) -> dict[str, Any]:
        """The manifest of the ablation."""
        rows = {row.name: {"options": as_toml(row.options), "graph": row.graph} for row in self.grid.rows}
        return manifest(
            KIND,
            SCHEMA,
            {
                "protocol": self.protocol.name,
                "templates": self.made_from[self.grid.base.name]["templates"],
                "seeds": list(self.grid.seeds),
                "rows": rows,
            },
            {name: self.made_from[self.grid.base.name][name] for name in ("annotations", "embeddings")},
        )


def prepare_ablation(options: AblationOptions, progress: Progress) -> AblationJob:
    """Read the inputs and check that every row can be trained from them.

    Raises:
        InputError: something is missing, stale or damaged, or the grid or some of its rows have faults: all are named.
        UsageError: there is no such protocol.
    """
    grid = read_grid(options.grid)
    annotations, store = read_annotations(options.annotations), Store.open(options.embeddings)
    chosen = protocol(annotations.dataset, options.protocol)
    made_from, problems = dict[str, Mapping[str, Any]](), dict[str, str]()
    for row in grid.rows:
        if not row.trainable and row is not grid.base:
            continue
        try:
            job = prepare_training(train_options(options, row, grid.seeds[0]), Progress())
            made_from[row.name] = {**job.facts, **job.inputs}
        except C2srtError as error:
            problems.setdefault(str(error).replace("\n", " "), row.name)
    if problems:
        raise InputError(
            "some rows cannot be trained",
            where=str(options.grid),
            problems=[f"{name}: {said}" for said, name in problems.items()],
        )
    progress.note(f"{len(grid.rows):,} rows and zero-shot, seeds {', '.join(map(str, grid.seeds))}")
    return AblationJob(options, grid, annotations, store, chosen, made_from)


def run_name(row: GridRow, seed: int) -> str:
    """The folder of a run."""
    return f"{slug(row.name)}-{seed}"


def train_options(options: AblationOptions, row: GridRow, seed: int) -> TrainOptions:
    """What a run of a row is to be trained from."""
    return TrainOptions(
        embeddings=options.embeddings,
        annotations=options.annotations,
        out=options.out / RUNS / run_name(row, seed),
        options=row.with_seed(seed),
        graph=row.graph,
        templates=options.templates,
        device=options.device,
        backbone=options.backbone,
    )
