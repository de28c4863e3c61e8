"""The predictor: tokens of images → scores of labels, by a method as it is or by a run, on any device."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from c2srt_cli.artifacts import file_sha256, fingerprint
from c2srt_cli.backbone.embedding import ImageEmbedding
from c2srt_cli.backbone.registry import Backbone
from c2srt_cli.backbone.tower import Tokens, run_late_stages
from c2srt_cli.embeddings.split import Split
from c2srt_cli.graph.category_graph import RELATIONS, CategoryGraph
from c2srt_cli.labels import LabelSet
from c2srt_cli.methods.method import Method
from c2srt_cli.methods.options import Options
from c2srt_cli.methods.registry import METHODS
from c2srt_cli.methods.scores import Scores
from c2srt_cli.methods.vocabulary import Labels, Vocabulary
from c2srt_cli.predict.attach import Attached, attach
from c2srt_cli.predict.background import Background
from c2srt_cli.predict.cache_model import CacheModel
from c2srt_cli.predict.calibration import calibration_of, calibration_of_backbone
from c2srt_cli.predict.profile import Profile
from c2srt_cli.predict.sources import sources_of
from c2srt_cli.progress import Progress
from c2srt_cli.scoring.calibration import Calibration, RunCalibration
from c2srt_cli.training.run import WEIGHTS, Run

#: Entries of a block (images, labels, dimensions) that are scored at once; it holds several tensors of this size.
BLOCK = 1 << 24

#: Embeds labels: ``(n, D)``, of norm 1.
EmbedLabels = Callable[[LabelSet], Tensor]


@dataclass(frozen=True, eq=False)
class Predictor:
    """A method, ready to score the L labels that are asked for.

    Attributes:
        model: The method on its backbone.
        vocabulary: All labels that may take part.
        columns: Ids of the labels that are asked for among these, ``(L,)``.
        names: Of all labels.
        labels: Those that are asked for, with what they aggregate from, on the model's device.
        split: Where tokens enter the tower, and the patch attention that they are read with.
        calibration: Of the scores; None where there is none for them.
        run: The run, or None for a method as it is.
        attached: How the labels stand to the run's, or None.
        background: What scores are measured against, where nothing is trained and they are; else None.
        profile: What people have corrected, or None.
        cache: What it adds to the scores of the labels that are asked for; None where that is nothing.
    """

    model: Method
    vocabulary: Vocabulary
    columns: np.ndarray
    names: tuple[str, ...]
    labels: Labels
    split: Split
    calibration: Calibration | RunCalibration | None = None
    run: Run | None = None
    attached: Attached | None = None
    background: Background | None = None
    profile: Profile | None = None
    cache: CacheModel | None = None

    @classmethod
    def of(  # noqa: PLR0917
        cls,
        model: Method,
        vocabulary: Vocabulary,
        columns: np.ndarray,
        names: Sequence[str],
        split: Split,
        calibration: Calibration | RunCalibration | None = None,
    ) -> "Predictor":
        """Some labels of a vocabulary, where the model is."""
        model.eval()
        labels = vocabulary.of(columns).to(model.device)
        return cls(model, vocabulary, columns, tuple(names), labels, split, calibration)

    @classmethod
    def untrained(  # noqa: PLR0917
        cls,
        options: Options,
        backbone: Backbone,
        labels: LabelSet,
        embed: EmbedLabels,
        split: Split,
        graph: CategoryGraph | None = None,
        progress: Progress = Progress(),  # noqa: B008 - it never changes
    ) -> "Predictor":
        """A method that needs no training.

        Args:
            options: The method's.
            backbone: Where scores are to be computed.
            labels: Any.
            embed: Embeds them.
            split: Where tokens enter.
            graph: Which of its labels is evidence for which, or None: see `sources_of`.
            progress: Told how many labels have sources.

        Raises:
            UsageError: the graph has none of the labels.
        """
        model = METHODS[options.method](options, backbone)
        whole, text, hops = labels, embed(labels), 0
        calibration = calibration_of_backbone(backbone, options, text)
        if graph is not None:
            sources = sources_of(labels, graph)
            progress.note(sources.note(len(labels)))
            graph, whole, hops = sources.graph, sources.graph.labels, model.hops(options)
            if len(whole) > len(labels):
                text = torch.cat([text, embed(LabelSet(whole.labels[len(labels) :]))])
        by_odds = calibration is None or not calibration.presets  # so that what fits nothing can be told
        wanted = by_odds or graph is not None or getattr(options, "standardise", False)
        background = Background.of(backbone, progress) if wanted else None
        vocabulary = Vocabulary(
            text,
            graph,
            np.full(len(text), graph is not None),  # everybody is a source
            hops,
            seen_targets=True,
            background=None if background is None else background.text,
        )
        one = cls.of(model, vocabulary, np.arange(len(labels)), whole.names, split, calibration)
        return replace(one, background=background)

    @classmethod
    def of_run(  # noqa: PLR0917
        cls,
        run: Run,
        model: Method,
        labels: LabelSet,
        embed: EmbedLabels,
        split: Split,
        graph: CategoryGraph | None = None,
    ) -> "Predictor":
        """A run, for labels of its own and for new ones, which are attached to it; see `attach`."""
        found = attach(run, labels, embed, graph)
        one = cls.of(model, found.vocabulary, found.columns, found.labels.names, split, calibration_of(run))
        return replace(one, run=run, attached=found)

    def of_columns(self, columns: np.ndarray) -> "Predictor":
        """The same for some of the labels that are asked for."""
        chosen = self.columns[columns]
        cache = None if self.cache is None else self.cache.of(torch.from_numpy(columns).to(self.model.device))
        labels = self.vocabulary.of(chosen).to(self.model.device)
        calibration = self.calibration
        if isinstance(calibration, Calibration):
            calibration = calibration.of_columns(columns)
        return replace(self, columns=chosen, labels=labels, attached=None, cache=cache, calibration=calibration)

    def with_profile(self, profile: Profile, labels: LabelSet, basis: Mapping[str, Any]) -> "Predictor":
        """The same with what people have corrected.

        Args:
            profile: What they have.
            labels: Those that are asked for, in their order.
            basis: What the scores depend on; see `basis_of`.

        Raises:
            UsageError: the profile belongs to other scores.
        """
        profile.check(basis)
        return replace(self, profile=profile, cache=profile.model_for(labels, self.model.device))

    @property
    def method(self) -> str:
        """Its name."""
        return self.model.name

    @property
    def text(self) -> Tensor:
        """Embeddings of the labels that are asked for, ``(L, D)``."""
        return self.labels.asked_text

    @property
    def seen(self) -> np.ndarray:
        """``(L,)`` bool: the label was trained on."""
        found: np.ndarray = self.vocabulary.seen[self.columns]
        return found

    @torch.inference_mode()
    def embed(self, tokens: Tokens, stored: Tensor | None = None) -> ImageEmbedding:
        """Run the late stages of the tower on tokens.

        Args:
            tokens: Entering the split, ``(B, T, W)``, anywhere.
            stored: The frozen global embeddings ``(B, D)``, for tokens of the local stream alone.
        """
        model = self.model
        moved = tokens.to(model.device, model.dtype)
        if moved.x is not None:
            return model.embed(moved, self.labels, self.split.stage, self.split.patch_attention)
        assert stored is not None
        _, patches = run_late_stages(model.backbone.tower, moved, self.split.stage, self.split.patch_attention)
        return ImageEmbedding(stored.to(model.device, model.dtype), patches)

    @torch.inference_mode()
    def scores(self, image: ImageEmbedding) -> Scores:
        """Score images: as many at once as memory allows, always the same number."""
        found = self._scores(image)
        return found if self.cache is None else self.cache.applied(found, image.global_)

    def _scores(self, image: ImageEmbedding) -> Scores:
        if not self.model.trainable:  # blocks of its own
            return self.model.scores(image, self.labels)
        text, patches = self.labels.text, image.patches
        most = max(1, BLOCK // (len(text) * max(text.shape[1], patches.shape[1])))
        size = max(step for step in range(1, len(image) + 1) if len(image) % step == 0 and step <= most)
        parts = [self.model.scores(image.rows(i, i + size), self.labels) for i in range(0, len(image), size)]
        joined: list[Any] = [None if part[0] is None else torch.cat(part) for part in zip(*parts, strict=True)]
        return Scores(*joined)

    def __call__(self, tokens: Tokens, stored: Tensor | None = None) -> Scores:
        """`embed`, then `scores`."""
        return self.scores(self.embed(tokens, stored))

    def probability(self, logits: np.ndarray) -> np.ndarray | None:
        """Probabilities of `Scores.logit` ``(..., L)``; None where nothing is calibrated."""
        if isinstance(self.calibration, RunCalibration):
            return self.calibration.probability(logits, self.seen)
        return None if self.calibration is None else self.calibration.probability(logits)

    @property
    def thresholds(self) -> np.ndarray | None:
        """The probability from which each label is given unless the user says otherwise, ``(L,)``."""
        if not isinstance(self.calibration, RunCalibration) or self.attached is None:
            return None
        keys = [self.attached.labels.labels[column].key for column in self.columns]  # as the run knows them
        return self.calibration.thresholds_of(keys, self.seen)

    @property
    def scoring(self) -> dict[str, Any]:
        """Options of the method that decide its scores, as JSON."""
        without = {"training"} if self.vocabulary.graph is not None else {"training", "propagation"}
        found: dict[str, Any] = self.model.options.model_dump(mode="json", exclude=without)
        return found

    @cached_property
    def options(self) -> Mapping[str, Any]:
        """What decides the scores beside backbone, labels and templates."""
        own: dict[str, Any] = {"options": self.scoring}
        own |= {} if self.profile is None else {"profile": self.profile.fingerprint}
        if self.run is None or self.attached is None:
            known, over = self.calibration, self.vocabulary.graph
            assert not isinstance(known, RunCalibration)
            own |= {"calibration": None if known is None else known.record}
            own |= {} if over is None else {"graph": over.fingerprint}
            return own | ({} if self.background is None else {"background": self.background.fingerprint})
        graph = self.attached.graph
        return own | {
            "run": fingerprint(self.run.manifest),
            "run_weights_sha256": file_sha256(self.run.folder / WEIGHTS),
            "graph": None if graph is None else graph.fingerprint,
            "calibration": None
            if not isinstance(self.calibration, RunCalibration)
            else fingerprint(self.calibration.record()),
        }

    @torch.inference_mode()
    def patches(self, image: ImageEmbedding, place: int, label_ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """How much the patches of one image are evidence for labels ``(n,)``, and their likeness: ``(n, P)`` both."""
        which = torch.from_numpy(label_ids).to(self.model.device)
        weights, likeness = self.model.patch_weights(image.patches[place], self.labels, which)
        return weights.float().cpu().numpy(), likeness.float().cpu().numpy()

    def sources(self, found: Scores, image: int, label: int) -> list[dict[str, Any]]:
        """Label, relation, strength, attention, and with propagation what was added, most attended first.

        With IST the attention is the last layer's, mean over heads; what is missing to 1 the label paid to itself.
        """
        if found.attention is None:
            return []
        rows = self.labels.layers[-1]
        weights = found.attention[image, label]
        spoken = []
        for place in rows.mask[label].nonzero()[1:, 0].tolist():  # the first is the label itself
            *relation, strength = rows.attr[label, place].tolist()
            entry = {
                "label": self.names[int(self.labels.nodes[int(rows.index[label, place])])],
                "relation": RELATIONS[relation.index(1.0)],
                "strength": round(strength, 4),
                "attention": round(float(weights[place]), 6),
            }
            if found.contribution is not None:
                entry["contribution"] = round(float(found.contribution[image, label, place]), 6)
            spoken.append(entry)
        return sorted(spoken, key=lambda entry: -entry["attention"])
