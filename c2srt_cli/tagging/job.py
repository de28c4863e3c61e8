"""Everything tagging needs, resolved, and what of it decides the tags."""

from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from c2srt_cli.artifacts import address, fingerprint
from c2srt_cli.embeddings.encoder import Encoder
from c2srt_cli.labels import LabelSet
from c2srt_cli.predict.predictor import Predictor
from c2srt_cli.scoring.calibration import Calibration
from c2srt_cli.scoring.presets import Preset
from c2srt_cli.tagging.decision import Rule
from c2srt_cli.tagging.sources import Source, SourceBatch
from c2srt_cli.tagging.verdicts import Verdicts
from c2srt_cli.threads import WORKERS, side_by_side

R = TypeVar("R")

#: Options that are recorded beside those that decide the tags: where, on what and with which library they were made.
RECORDED = ("root", "vocabulary", "backbone", "runtime", "torch")


@dataclass(frozen=True)
class TagJob:
    """A run of the tagger.

    Attributes:
        source: The images.
        encoder: Backbone, runtime and split.
        labels: What to look for.
        templates: Prompts around the labels.
        predictor: How images are scored.
        rule: How labels are chosen.
        all_scores: Keep every label's score.
        pixels: How pictures were prepared, for the record.
        basis: What scores depend on beside labels and images: see `basis_of`.
        explain: File for the reasons of every tag, or None.
        written_down: Files of the user that decide the tags, such as the labels; never written to.
        vocabulary: Name of the label set.
        restore: Give keywords again that somebody has taken out of a sidecar.
        replace: Take a vocabulary's earlier keywords out even where few of its labels are left.
        assigned: The images are assigned to parts, and were not looked for.
    """

    source: Source
    encoder: Encoder
    labels: LabelSet
    templates: tuple[str, ...]
    predictor: Predictor
    rule: Rule
    all_scores: bool
    pixels: dict[str, Any]
    basis: dict[str, Any]
    explain: Path | None = None
    written_down: tuple[Path, ...] = ()
    vocabulary: str = "labels"
    restore: bool = False
    replace: bool = False
    assigned: bool = False

    @property
    def text(self) -> Tensor:
        """Label embeddings, ``(L, D)``."""
        return self.predictor.text

    @property
    def files(self) -> Iterator[Path]:
        """What is read, and never written to."""
        return chain(self.written_down, self.source.files)

    def results(
        self, work: Callable[[SourceBatch], R], batches: Generator[SourceBatch, None, None]
    ) -> Generator[R, None, None]:
        """What ``work`` makes of batches of the source, in their order; several are worked on at once.

        Close it, as `threads.side_by_side`.
        """
        lanes = min(self.encoder.lanes, WORKERS)
        with (
            self.encoder.threads_per_lane(),
            closing(batches),
            closing(side_by_side(work, batches, lanes, "score")) as results,
        ):
            yield from results

    @property
    def grid(self) -> tuple[int, int]:
        """Height and width of the map of patches."""
        tower = self.encoder.backbone.tower
        return tower.grid(tower.depth)

    @cached_property
    def options(self) -> dict[str, Any]:
        """What decides the tags, and `RECORDED`, for the manifest and the journal."""
        encoder = self.encoder
        return {
            "root": address(self.source.root),
            "method": self.predictor.method,
            "backbone": encoder.backbone.id,
            "weights_sha256": encoder.backbone.weights_sha256,
            "split": asdict(encoder.split),
            "runtime": asdict(encoder.runtime),
            "pixels": self.pixels,
            "vocabulary": self.vocabulary,
            "labels": self.labels.fingerprint,
            "templates": list(self.templates),
            **self.predictor.options,
            "rule": asdict(self.rule),
            "all_scores": self.all_scores,
            "torch": torch.__version__,
        }

    @cached_property
    def decision(self) -> str:
        """Fingerprint of everything but the photograph that decides its tags."""
        return fingerprint({key: value for key, value in what_decides(self.options).items() if key != "all_scores"})

    @cached_property
    def provenance(self) -> dict[str, str]:
        """What sidecars record: free of dates, machines and folders, so that a rerun writes the same bytes."""
        backbone = self.encoder.backbone.id
        if backbone.startswith("local-dir:"):
            backbone = f"local-dir:{Path(backbone.removeprefix('local-dir:')).name}"
        made = {"method": self.predictor.method, "backbone": backbone}
        run = {"run": self.options["run"][:16]} if "run" in self.options else {}
        graph = {"graph": self.options["graph"][:16]} if not run and "graph" in self.options else {}
        run |= {"profile": self.options["profile"][:16]} if "profile" in self.options else {}
        return made | run | graph | {"labels": self.labels.fingerprint[:16]}

    @cached_property
    def inputs(self) -> dict[str, str]:
        """Fingerprints, for the manifest."""
        run = {"run": self.options["run"]} if "run" in self.options else {}
        graph = {"graph": self.options["graph"]} if not run and "graph" in self.options else {}
        run |= {"profile": self.options["profile"]} if "profile" in self.options else {}
        return {"labels": self.labels.fingerprint} | run | graph | self.source.inputs

    @cached_property
    def verdicts(self) -> Verdicts | None:
        """What people have said of photographs."""
        profile = self.predictor.profile
        return None if profile is None else Verdicts(self.labels, profile.verdicts, profile.root, self.source.root)

    def learned(self, logits: np.ndarray) -> np.ndarray | None:
        """What a profile decides on images with these logits ``(N, L)``: 1 given, -1 not, 0 nothing."""
        if self.predictor.cache is None:
            return None
        thresholds = self.predictor.cache.thresholds.cpu().numpy()
        return np.where(np.isnan(thresholds), 0, np.where(logits >= thresholds, 1, -1)).astype(np.int8)

    @property
    def bar(self) -> float | None:
        """The probability from which the preset gives labels; None where it compares them with each other."""
        return self._bar(self.rule.preset)

    @property
    def found_from(self) -> float | None:
        """The probability that a label must reach somewhere to be found at all; None where that is not known."""
        return self._bar("balanced")

    def _bar(self, preset: Preset) -> float | None:
        known = self.predictor.calibration
        return known.presets.get(preset) if isinstance(known, Calibration) else None

    @cached_property
    def thresholds(self) -> np.ndarray:
        """The probability from which a label is given whatever the rule says, ``(L,)``, NaN where there is none.

        These are the user's own for single labels, and, unless a rule is asked for, those of a run.
        """
        own = np.array([np.nan if label.threshold is None else label.threshold for label in self.labels])
        learned, cache = self.predictor.thresholds, self.predictor.cache
        if learned is not None and cache is not None:  # what a profile has learned goes before them
            learned = np.where(np.isnan(cache.thresholds.cpu().numpy()), learned, np.nan)
        return own if learned is None or not self.rule.by_preset else np.where(np.isnan(own), learned, own)


def what_decides(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a manifest or journal without those that are only `RECORDED`; of the runtime the precision stays.

    Device, batch shape and library change the last bits of a score at most.
    """
    runtime = options.get("runtime")
    precision = runtime.get("dtype") if isinstance(runtime, Mapping) else None
    return {key: value for key, value in options.items() if key not in RECORDED} | {"precision": precision}
