"""How a batch of embeddings is scored: without training, or by a run."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from c2srt_cli.artifacts import file_sha256, fingerprint
from c2srt_cli.graph.category_graph import RELATIONS
from c2srt_cli.methods.recogniser import Explained
from c2srt_cli.methods.zero_shot import Pooling, score
from c2srt_cli.scoring.calibration import Calibration, RunCalibration
from c2srt_cli.training.attach import Attached
from c2srt_cli.training.learner import Labels, Learner
from c2srt_cli.training.run import WEIGHTS, Run

#: Entries of a block (images, labels, dimensions) that a run scores at once; it holds several tensors of this size.
BLOCK = 1 << 24


class Scoring(Protocol):
    """Embeddings of images to scores and probabilities of the L labels that are asked for."""

    @property
    def method(self) -> str:
        """Its name."""
        ...

    @property
    def text(self) -> Tensor:
        """Label embeddings, ``(L, D)``."""
        ...

    @property
    def thresholds(self) -> np.ndarray | None:
        """The probability from which each label is given unless the user says otherwise, ``(L,)``."""
        ...

    @property
    def options(self) -> Mapping[str, Any]:
        """What decides the scores beside backbone, labels and templates."""
        ...

    def score(self, whole: Tensor, patches: Tensor) -> Explained:
        """Global embeddings ``(B, D)`` and patches ``(B, P, D)`` to scores, with what they rest on."""
        ...

    def probability(self, scores: np.ndarray) -> np.ndarray | None:
        """Probabilities of scores ``(..., L)``; None where nothing is calibrated."""
        ...

    def similarity(self, patches: Tensor, labels: Tensor) -> Tensor:
        """By what patches ``(P, D)`` are chosen for some labels ``(n,)``: ``(n, P)``."""
        ...

    def doubt(self) -> str:
        """What is to be said of the scores that were made; empty where all is well."""
        ...

    def sources(self, found: Explained, image: int, label: int) -> list[dict[str, Any]]:
        """The labels that spoke for a label of an image."""
        ...


@dataclass(frozen=True)
class ZeroShot:
    """Scores without training.

    Attributes:
        text: Label embeddings ``(L, D)``, where scores are computed.
        logit_scale: Of the backbone, as a factor.
        pooling: How patches become the local score.
        calibration: The backbone's, where it holds for this pooling.
    """

    text: Tensor
    logit_scale: float
    pooling: Pooling
    calibration: Calibration | None
    method = "zero-shot"
    thresholds = None

    @property
    def options(self) -> Mapping[str, Any]:
        """For the manifest."""
        known = self.calibration
        return {
            "pooling": asdict(self.pooling),
            "calibration": None if known is None else [known.slope, known.intercept],
        }

    def score(self, whole: Tensor, patches: Tensor) -> Explained:
        """See `zero_shot.score`."""
        return Explained(*score(whole, patches, self.text, logit_scale=self.logit_scale, pooling=self.pooling))

    def probability(self, scores: np.ndarray) -> np.ndarray | None:
        """By the backbone's calibration."""
        return None if self.calibration is None else self.calibration.probability(scores)

    def similarity(self, patches: Tensor, labels: Tensor) -> Tensor:
        """Cosines."""
        return normalize(self.text[labels].float(), dim=-1) @ normalize(patches.float(), dim=-1).T

    def doubt(self) -> str:
        """Nothing."""
        return ""

    def sources(self, found: Explained, image: int, label: int) -> list[dict[str, Any]]:  # noqa: ARG002
        """None: labels do not hear of each other."""
        return []


@dataclass(frozen=True, eq=False)
class Trained:
    """Scores of a run, for its own labels and for new ones.

    Attributes:
        run: The run.
        learner: Its weights, where scores are computed.
        attached: The L labels that are asked for, among the run's.
        labels: Their closure, on the same device.
    """

    run: Run
    learner: Learner
    attached: Attached
    labels: Labels

    @classmethod
    def of(cls, run: Run, learner: Learner, attached: Attached, device: str) -> "Trained":
        """Move a learner and the closure of some labels to where scores are computed."""
        found = attached.vocabulary.of(attached.columns)
        text, layers = found.text.to(device), tuple(rows.to(device) for rows in found.layers)
        moved = found._replace(text=text, plain=text, layers=layers, unseen=found.unseen.to(device))
        learner.to(device).read(moved)
        return cls(run, learner, attached, moved)

    @property
    def method(self) -> str:
        """The run's."""
        return self.run.config.method

    @property
    def text(self) -> Tensor:
        """The embeddings of the labels that are asked for."""
        return self.labels.text[: len(self.attached.columns)]

    @property
    def calibration(self) -> RunCalibration | None:
        """See `calibration_of`."""
        return calibration_of(self.run)

    @property
    def thresholds(self) -> np.ndarray | None:
        """The calibration's."""
        if self.calibration is None:
            return None
        keys = [self.attached.labels.labels[column].key for column in self.attached.columns]  # as the run knows them
        return self.calibration.thresholds_of(keys, self.attached.seen)

    @cached_property
    def options(self) -> Mapping[str, Any]:
        """For the manifest: the run itself, and the edges to labels that it has not."""
        graph, known = self.attached.graph, self.calibration
        return {
            "run": fingerprint(self.run.manifest),
            "run_weights_sha256": file_sha256(self.run.folder / WEIGHTS),
            "graph": None if graph is None else graph.fingerprint,
            "calibration": None if known is None else fingerprint(known.record()),
        }

    def score(self, whole: Tensor, patches: Tensor) -> Explained:
        """See `Recogniser.explain`: as many images at once as memory allows, always the same number."""
        text, layers, unseen = self.labels.text, self.labels.layers, self.labels.unseen
        most = max(1, BLOCK // (len(text) * max(text.shape[1], patches.shape[1])))
        size = max(step for step in range(1, len(whole) + 1) if len(whole) % step == 0 and step <= most)
        parts = [
            self.learner.recogniser.explain(*some, text, layers, unseen, fixed=True)
            for some in zip(torch.split(whole, size), torch.split(patches, size), strict=True)
        ]
        joined: list[Any] = [None if part[0] is None else torch.cat(part) for part in zip(*parts, strict=True)]
        return Explained(*joined)

    def probability(self, scores: np.ndarray) -> np.ndarray | None:
        """By the run's calibration: one map for seen labels, one for all others."""
        return None if self.calibration is None else self.calibration.probability(scores, self.attached.seen)

    def similarity(self, patches: Tensor, labels: Tensor) -> Tensor:
        """Cosines, or MKT's dot products."""
        return self.learner.recogniser.similarity(patches, self.labels.text[labels])

    def doubt(self) -> str:
        """See `Recogniser.doubt`."""
        return self.learner.recogniser.doubt()

    def sources(self, found: Explained, image: int, label: int) -> list[dict[str, Any]]:
        """Label, relation, strength, attention, and with transferred scores what was added, most attended first.

        With IST the attention is the last layer's, mean over heads; what is missing to 1 the label paid to itself.
        """
        if found.attention is None:
            return []
        rows, names = self.labels.layers[-1], self.attached.labels.names
        weights = found.attention[image, label]
        spoken = []
        for place in rows.mask[label].nonzero()[1:, 0].tolist():  # the first is the label itself
            source, weight = int(rows.index[label, place]), float(weights[place])
            *relation, strength = rows.attr[label, place].tolist()
            entry = {
                "label": names[int(self.labels.nodes[source])],
                "relation": RELATIONS[relation.index(1.0)],
                "strength": round(strength, 4),
                "attention": round(weight, 6),
            }
            if found.own is not None:
                gain, center = self.learner.recogniser.fitted
                entry["contribution"] = round(float(gain) * weight * float(found.own[image, source] - center), 6)
            spoken.append(entry)
        return sorted(spoken, key=lambda entry: -entry["attention"])


def calibration_of(run: Run) -> RunCalibration | None:
    """A run's calibration; none for a method whose scores depend on the vocabulary, which is here the user's."""
    return run.calibration if run.config.parts.calibrates else None
