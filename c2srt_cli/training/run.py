"""``run/``: everything that ``evaluate`` and ``tag`` need of a training, here or elsewhere."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import Field, JsonValue
from torch import Tensor

from c2srt_cli.artifacts import MANIFEST, peek_manifest, read_manifest
from c2srt_cli.backbone.registry import Backbone
from c2srt_cli.datasets.annotations import read_label_table
from c2srt_cli.embeddings.manifest import Templates, TowerOptions, renamed_attention
from c2srt_cli.embeddings.tensors import TensorRecord, read_header, read_tensors, write_tensors
from c2srt_cli.embeddings.text import read_text
from c2srt_cli.errors import InputError, UsageError
from c2srt_cli.graph.category_graph import CategoryGraph, read_graph
from c2srt_cli.labels import LabelSet
from c2srt_cli.methods.image_side import load_learned
from c2srt_cli.methods.method import Method
from c2srt_cli.methods.options import Options
from c2srt_cli.methods.registry import METHODS
from c2srt_cli.methods.vocabulary import Vocabulary
from c2srt_cli.scoring.calibration import RunCalibration
from c2srt_cli.text import read_toml
from c2srt_cli.training.config import resolve

KIND, SCHEMA = "run", 2
CONFIG, WEIGHTS, GRAPH, LABELS, TEXT = (
    "config.toml",
    "model.safetensors",
    "graph.json",
    "labels.csv",
    "text.safetensors",
)
AGAIN = "train it again: c2srt train with --overwrite"
#: How names of weights of the trained stages began before.
OLD_STAGES = r"^tail\."
HISTORY, METRICS, CALIBRATION, CHECKPOINT = "history.csv", "metrics.json", "calibration.json", "checkpoint"


class RunOptions(TowerOptions):
    """The options of a run, as its manifest records them.

    Attributes:
        templates: Prompts around the labels.
        method: The method's options, its name among them.
    """

    templates: Annotated[Templates, Field(min_length=1)]
    method: dict[str, JsonValue]


@dataclass(frozen=True, eq=False)
class Run:
    """A finished training.

    Attributes:
        folder: Where it lies.
        manifest: What it was made from.
        options: The method's.
        labels: Its labels.
        seen: ``(L,)`` bool: the label was trained on.
        graph: Its graph; None for methods without one.
        text: Label embeddings ``(L, D)``.
        calibration: Of its scores, where there is one.
        made: The manifest's options, as a record.
    """

    folder: Path
    manifest: dict[str, Any]
    options: Any
    labels: LabelSet
    seen: np.ndarray
    graph: CategoryGraph | None
    text: Tensor
    calibration: RunCalibration | None
    made: RunOptions

    @classmethod
    def open(cls, folder: Path) -> "Run":
        """Open a finished run.

        Raises:
            InputError: there is none, it is unfinished, of another layout, damaged, or was changed after training.
        """
        there = peek_manifest(folder)
        if there is not None and there.get("kind") == KIND and there.get("schema") != SCHEMA:
            raise InputError(
                f"was trained by another version (layout {there.get('schema')})", where=str(folder), hint=AGAIN
            )
        manifest = read_manifest(folder, KIND, SCHEMA)
        made = RunOptions.of_manifest(folder, manifest, AGAIN)
        options = _options(folder, made)
        labels, seen = read_label_table(folder / LABELS)
        text = read_text(folder / TEXT, labels, made.templates, made.dim)
        if text is None:
            raise InputError(
                "the label embeddings are damaged or of other labels", where=str(folder / TEXT), hint=AGAIN
            )
        graph = read_graph(folder / GRAPH) if METHODS[options.method].hops(options) else None
        keys = [label.key for label in labels]
        if graph is not None and (
            graph.fingerprint != manifest["inputs"].get("graph") or [label.key for label in graph.labels] != keys
        ):
            raise InputError("was changed after training", where=str(folder / GRAPH), hint=AGAIN)
        calibration = RunCalibration.read(folder / CALIBRATION) if (folder / CALIBRATION).exists() else None
        if calibration is not None and (others := sorted(calibration.thresholds.keys() - set(keys))):
            raise InputError("is of other labels", where=str(folder / CALIBRATION), problems=others, hint=AGAIN)
        return cls(folder, manifest, options, labels, seen, graph, text, calibration, made)

    def method(self, backbone: Backbone | None = None, *, asked: str | None = None) -> Method:
        """The trained weights on their backbone.

        Args:
            backbone: Where it is loaded already.
            asked: The name that the backbone has here, where it is not the one that it had.

        Raises:
            InputError: the backbone is missing or another one, or the weights are damaged.
            UsageError: the backbone that is asked for is another one.
        """
        if backbone is None:
            backbone = self.made.load_backbone(self.folder, asked)
        method = METHODS[self.options.method](self.options, backbone).eval()
        weights, path = self.weights(), str(self.folder / WEIGHTS)
        if {n: w.shape for n, w in weights.items()} != {n: p.shape for n, p in method.learned().items()}:
            raise InputError("the weights are not those of its config", where=path, hint=AGAIN)
        if wrong := [name for name, value in weights.items() if not _is_finite(value)]:
            raise InputError("the weights are no finite numbers", where=path, problems=wrong, hint=AGAIN)
        load_learned(method, weights)
        return method

    def weights(self) -> dict[str, Tensor]:
        """What was learned, by name.

        Raises:
            InputError: the file is damaged.
        """
        path = self.folder / WEIGHTS
        stored = read_tensors(path, read_header(path, TensorRecord, AGAIN).record.sha256, AGAIN)
        return {re.sub(OLD_STAGES, "visual.", name): value for name, value in stored.items()}

    def vocabulary(self) -> Vocabulary:
        """All its labels with their graph."""
        return vocabulary_of(self.options, self.text, self.graph, self.seen)


def vocabulary_of(options: Options, text: Tensor, graph: CategoryGraph | None, seen: np.ndarray) -> Vocabulary:
    """Labels as a method reads them."""
    method = METHODS[options.method]
    return Vocabulary(text, graph, seen, method.hops(options), method.seen_targets(options))


def _is_finite(value: Tensor) -> bool:
    return value.is_floating_point() and bool(value.isfinite().all())


def _options(folder: Path, made: RunOptions) -> Any:
    """A run's options, as its file and its manifest agree on them.

    Raises:
        InputError: they do not, or one of them is damaged.
    """
    path = folder / CONFIG
    given = read_toml(path)
    trained = _resolved(made.method, folder / MANIFEST)
    if _resolved(given, path) != trained:
        raise InputError("was changed after training", where=str(path), hint=AGAIN)
    return trained


def _resolved(given: Mapping[str, Any], where: Path) -> Any:
    """The options of a method that is named among them."""
    if not isinstance(given.get("method"), str):
        raise InputError("names no method", where=str(where), hint=AGAIN)
    try:
        attention = {name: renamed_attention(given[name]) for name in ("patch_attention",) if name in given}
        return resolve(given["method"], {**given, **attention})
    except UsageError as error:
        raise InputError(error.what, where=str(where), problems=error.problems, hint=AGAIN) from None


def write_weights(folder: Path, weights: Mapping[str, Tensor]) -> None:
    """Write ``model.safetensors``."""
    owned = {name: value.detach().to("cpu", torch.float32).clone().contiguous() for name, value in weights.items()}
    write_tensors(folder / WEIGHTS, owned, {})
