"""``run/``: everything that ``evaluate`` and ``tag`` need of a training, here or elsewhere."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from c2srt_cli.artifacts import MANIFEST, peek_manifest, read_manifest
from c2srt_cli.backbone.registry import Backbone, load_backbone
from c2srt_cli.datasets.annotations import read_label_table
from c2srt_cli.embeddings.tensors import write_tensors
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
#: Options of a manifest, beside the config's, that a run cannot be used without.
NEEDED = ("backbone", "weights_sha256", "cut", "pixels", "templates")
HISTORY, METRICS, CALIBRATION, CHECKPOINT = "history.csv", "metrics.json", "calibration.json", "checkpoint"


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
    """

    folder: Path
    manifest: dict[str, Any]
    options: Any
    labels: LabelSet
    seen: np.ndarray
    graph: CategoryGraph | None
    text: Tensor
    calibration: RunCalibration | None

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
        options = _options(folder, manifest)
        labels, seen = read_label_table(folder / LABELS)
        text = read_text(folder / TEXT, labels, manifest["options"]["templates"], manifest["options"]["dim"])
        if text is None:
            raise InputError("the label embeddings are damaged or of other labels", where=str(folder / TEXT))
        graph = read_graph(folder / GRAPH) if METHODS[options.method].hops(options) else None
        if graph is not None and graph.fingerprint != manifest["inputs"].get("graph"):
            raise InputError("was changed after training", where=str(folder / GRAPH), hint=AGAIN)
        calibration = RunCalibration.read(folder / CALIBRATION) if (folder / CALIBRATION).exists() else None
        return cls(folder, manifest, options, labels, seen, graph, text, calibration)

    def method(self, backbone: Backbone | None = None) -> Method:
        """The trained weights on their backbone.

        Args:
            backbone: Where it is loaded already.

        Raises:
            InputError: the backbone is missing or another one, or the weights are damaged.
        """
        options = self.manifest["options"]
        if backbone is None:
            backbone = load_backbone(options["backbone"])
        check_backbone(backbone, options, self.folder)
        method = METHODS[self.options.method](self.options, backbone).eval()
        weights = self.weights()
        if {n: w.shape for n, w in weights.items()} != {n: p.shape for n, p in method.learned().items()}:
            raise InputError("the weights are not those of its config", where=str(self.folder / WEIGHTS), hint=AGAIN)
        load_learned(method, weights)
        return method

    def weights(self) -> dict[str, Tensor]:
        """What was learned, by name.

        Raises:
            InputError: the file is damaged.
        """
        try:
            return load_file(self.folder / WEIGHTS)
        except (OSError, SafetensorError) as error:
            raise InputError(f"the weights cannot be read ({error})", where=str(self.folder / WEIGHTS)) from None

    def vocabulary(self) -> Vocabulary:
        """All its labels with their graph."""
        return vocabulary_of(self.options, self.text, self.graph, self.seen)


def vocabulary_of(options: Options, text: Tensor, graph: CategoryGraph | None, seen: np.ndarray) -> Vocabulary:
    """Labels as a method reads them."""
    method = METHODS[options.method]
    return Vocabulary(text, graph, seen, method.hops(options), method.seen_targets)


def _options(folder: Path, manifest: Mapping[str, Any]) -> Any:
    """A run's options, as its file and its manifest agree on them.

    Raises:
        InputError: they do not, or one of them is damaged.
    """
    given, path = read_toml(folder / CONFIG), folder / CONFIG
    try:
        made = manifest["options"]
        if lacking := [name for name in (*NEEDED, "method") if name not in made]:
            raise InputError(f"lacks {', '.join(lacking)}", where=str(folder / MANIFEST), hint=AGAIN)
        trained = resolve(made["method"]["method"], made["method"])
        manifest["inputs"]["annotations"]
    except (KeyError, TypeError, AttributeError, UsageError):
        raise InputError("is damaged", where=str(folder / MANIFEST), hint=AGAIN) from None
    if not isinstance(given.get("method"), str):
        raise InputError("names no method", where=str(path), hint=AGAIN)
    try:
        options = resolve(given["method"], given)
    except UsageError as error:
        raise InputError(error.what, where=str(path), problems=error.problems, hint=AGAIN) from None
    if options != trained:
        raise InputError("was changed after training", where=str(path), hint=AGAIN)
    return options


def check_backbone(backbone: Backbone, options: Mapping[str, Any], where: Path) -> None:
    """Refuse weights that are not those that an artifact was made with.

    Raises:
        InputError: they are not.
    """
    if backbone.weights_sha256 != options["weights_sha256"]:
        raise InputError(
            f"was made with other weights of {backbone.id} ({options['weights_sha256'][:12]} there, "
            f"{backbone.weights_sha256[:12]} here)",
            where=str(where),
            hint="make it again, or restore those weights",
        )


def write_weights(folder: Path, weights: Mapping[str, Tensor]) -> None:
    """Write ``model.safetensors``."""
    owned = {name: value.detach().to("cpu", torch.float32).clone().contiguous() for name, value in weights.items()}
    write_tensors(folder / WEIGHTS, owned, {})
