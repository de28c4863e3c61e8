"""The frame of a method: a backbone whose last stages may learn, and what makes scores and losses of embeddings."""

import math
from threading import Lock
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from c2srt_cli.backbone.embedding import ImageEmbedding
from c2srt_cli.backbone.registry import Backbone
from c2srt_cli.backbone.vit import VitTower
from c2srt_cli.methods.image_side import ImageSide
from c2srt_cli.methods.kcot import PUBLISHED, teacher_plan
from c2srt_cli.methods.losses import distillation
from c2srt_cli.methods.options import Options
from c2srt_cli.methods.pooling import Global, Pooling, similarity
from c2srt_cli.methods.propagation import ScorePropagation
from c2srt_cli.methods.scores import Scores
from c2srt_cli.methods.vocabulary import Labels

_COUNTING = Lock()


class Method(ImageSide):
    """A recogniser on a backbone. A method is one subclass in one file: its options, and how it scores.

    Args:
        options: The method's own.
        backbone: On its device. Not changed.

    Attributes:
        propagation: Over the category graph, or None.
    """

    Options: ClassVar[type[Options]]
    #: Whether there is anything to train.
    trainable: ClassVar[bool] = True
    #: Whether scores mean the same with any vocabulary, or nearly so, so that probabilities can be fitted.
    can_calibrate: ClassVar[bool] = True

    def __init__(self, options: Any, backbone: Backbone) -> None:
        super().__init__(options, backbone)
        self._unconverged: Tensor | int = 0
        self.propagation: ScorePropagation | None = None
        loss = getattr(options, "loss", None)
        if hasattr(options, "logit_scale"):
            self.log_scale = nn.Parameter(
                torch.tensor(math.log(options.logit_scale)), requires_grad=options.learn_logit_scale
            )
        if loss is not None and loss.has_bias:
            self.bias = nn.Parameter(torch.tensor(loss.bias))

    # What a method may say otherwise -------------------------------------------------------------------------------

    @classmethod
    def defaults(cls) -> Any:
        """Its options as they are unless something else is said."""
        return cls.Options()  # type: ignore[call-arg] # every method has a name

    @classmethod
    def hops(cls, options: Any) -> int:
        """Edges of the category graph that knowledge crosses; 0 for a method without a graph."""
        return int(getattr(options, "propagation", None) is not None)

    @classmethod
    def seen_targets(cls, options: Any) -> bool:
        """Whether seen labels aggregate from others too."""
        return bool(getattr(getattr(options, "propagation", None), "seen_gain", 0.0))

    @classmethod
    def adapted(cls, options: Any, backbone: Backbone) -> tuple[Any, list[str]]:
        """The options without what a backbone has no place for, and what is to be said of that."""
        notes, changes = [], {}
        adapters, tokens = getattr(options, "adapters", None), getattr(options, "text_tokens", None)
        if adapters and adapters.stages and adapters.vision_tokens and not isinstance(backbone.tower, VitTower):
            notes.append(f"{backbone.id} has no place for vision tokens: none learn")
            changes["adapters"] = adapters.model_copy(update={"vision_tokens": 0})
        if tokens and tokens.count and tokens.layers > (layers := backbone.text.layers):
            notes.append(f"the text tower of {backbone.id} has {layers} layers: text tokens learn in each")
            changes["text_tokens"] = tokens.model_copy(update={"layers": layers})
        return options.model_copy(update=changes), notes

    @property
    def width(self) -> int:
        """Of the largest map of features (images, labels, width)."""
        return self.backbone.dim

    def scores(self, image: ImageEmbedding, labels: Labels, truth: Tensor | None = None) -> Scores:
        """Score the labels that are asked for.

        Args:
            image: Of B images.
            labels: These and what they aggregate from.
            truth: In training, ``(B, T)``: 1 present, -1 absent, 0 unknown.
        """
        raise NotImplementedError

    def episode(self, labels: Labels, random: np.random.Generator) -> Labels:  # noqa: ARG002
        """Labels of a step as training shows them; drawn alike in every process. By default none hears another."""
        return labels.playing(torch.zeros_like(labels.unseen))

    def held_out(self, labels: np.ndarray) -> np.ndarray:
        """Which of the seen labels ``(C,)`` stopping early looks at, as if they were unseen; by default none."""
        return labels[:0]

    def as_unseen(self, image: ImageEmbedding, labels: Labels) -> tuple[Tensor, Tensor]:
        """Scores ``(B, T)`` of seen labels as if each was the only unseen one, and what a gain of 1 adds to them."""
        raise NotImplementedError

    def losses(self, scores: Scores, truth: Tensor, image: ImageEmbedding, target: Tensor) -> dict[str, Tensor]:
        """What a batch costs, by name.

        Args:
            scores: Of `scores` in training.
            truth: ``(B, T)``, as there.
            image: The embeddings that were scored.
            target: The frozen global embeddings ``(B, D)``.
        """
        scaled = self.log_scale.exp() * scores.ranking
        return self.loss_terms(scaled, truth) | self.distillation_term(image, target)

    def similarity(self, patches: Tensor, text: Tensor) -> Tensor:
        """By what the patches of an image ``(P, D)`` are compared with labels ``(C, D)``: ``(C, P)``."""
        return text @ normalize(patches.float(), dim=-1).T

    # What methods compose -------------------------------------------------------------------------------------------

    @property
    def pooling(self) -> Pooling:
        """How patches are weighed."""
        found: Pooling = getattr(self.options, "patches", None) or Global()
        return found

    @property
    def vocabulary_dependent(self) -> bool:
        """Whether a label's ranking depends on which others are asked for."""
        return self.pooling.vocabulary_dependent or self.adapters is not None

    @property
    def needs_teacher(self) -> bool:
        """Whether the frozen backbone's embeddings are asked for in training."""
        return self.pooling.needs_teacher and not self.prompt

    @property
    def zero_shot_weight(self) -> float:
        """Share of the frozen backbone's score in an unseen label's (WiSE-FT's ensembling, in score space)."""
        return float(getattr(self.options, "zero_shot_weight", 0.0))

    @torch.no_grad()
    def weigh(self, patches: Tensor, text: Tensor, teacher: Tensor | None = None) -> Tensor:
        """Weights ``(B, C, P)`` of unit patches ``(B, P, D)`` for labels ``(C, D)``; without gradient."""
        weights, unconverged = self.pooling.weights(patches, text, self.backbone.logit_scale, teacher)
        if unconverged is not None:
            with _COUNTING:  # batches may be scored side by side
                self._unconverged = self._unconverged + unconverged.sum()
        return weights

    def teacher_of(self, image: ImageEmbedding, labels: Labels, truth: Tensor | None) -> Tensor | None:
        """Where the frozen backbone sees labels, in training; None without a teacher."""
        if truth is None or image.frozen is None or not self.needs_teacher:
            return None
        known = torch.zeros(len(truth), len(labels.text), dtype=truth.dtype, device=truth.device)
        known[:, : truth.shape[1]] = truth
        seen = similarity(image.frozen.patches, labels.frozen_text)
        return teacher_plan(seen, known, self.backbone.logit_scale)

    def reads_frozen(self, labels: Labels) -> bool:
        """For a teacher in training, and to ensemble scores of unseen labels behind it."""
        if self.training:
            return self.needs_teacher
        return bool(self.zero_shot_weight) and bool(labels.unseen.any())

    def ensemble_zero_shot(self, scores: Tensor, image: ImageEmbedding, labels: Labels) -> Tensor:
        """Scores ``(B, C, ...)`` where the frozen backbone's have their share in those of unseen labels."""
        if image.frozen is None or not self.zero_shot_weight:
            return scores
        columns = labels.unseen[: scores.shape[1]].nonzero()[:, 0]
        if not len(columns):
            return scores
        if self.pooling.vocabulary_dependent:
            before = self.base_scores(image.frozen, labels.text)[0][:, columns]
        else:
            before = self.base_scores(image.frozen, labels.text[columns])[0]
        return scores.index_copy(1, columns, torch.lerp(scores[:, columns], before, self.zero_shot_weight))

    def base_scores(
        self, image: ImageEmbedding, text: Tensor, teacher: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """What images alone say of labels ``(C, D)``, ``(B, C, ...)``, and the share of patches behind each."""
        raise NotImplementedError

    def combined(self, base: Tensor, *, vocabulary_free: bool = False) -> Tensor:  # noqa: ARG002
        """Base scores ``(B, C, ...)`` as one for each label ``(B, C)``."""
        return base

    def loss_terms(self, scores: Tensor, truth: Tensor) -> dict[str, Tensor]:
        """Terms of the loss of scaled scores ``(B, T)``."""
        loss = self.options.loss
        found: dict[str, Tensor] = loss.terms(scores + self.bias if loss.has_bias else scores, truth)
        return found

    def distillation_term(self, image: ImageEmbedding, target: Tensor) -> dict[str, Tensor]:
        """The weighted distance to the frozen global embeddings; empty at weight 0."""
        own = self.options.distillation
        if not own.weight:
            return {}
        return {"distillation": own.weight * distillation(image.global_, target, own.norm)}

    def patch_weights(self, patches: Tensor, labels: Labels, which: Tensor) -> tuple[Tensor, Tensor]:
        """How much patches of an image ``(P, D)`` are evidence for labels ``(n,)``, and their likeness: ``(n, P)``."""
        weights = self.weigh(normalize(patches.float(), dim=-1)[None], labels.text)[0]
        return weights[which], self.similarity(patches, labels.text[which])

    # What training asks --------------------------------------------------------------------------------------------

    @property
    def fitted(self) -> tuple[nn.Parameter, ...]:
        """What is fitted after training."""
        return () if self.propagation is None else (self.propagation.gain, self.propagation.center)

    def log(self) -> dict[str, float]:
        """Learned factors that a history shows."""
        return {"logit_scale": float(self.log_scale.detach().exp())} if hasattr(self, "log_scale") else {}

    def pop_warnings(self) -> str:
        """What is to be said of the images since the last time; empty where all is well."""
        count, self._unconverged = int(self._unconverged), 0
        few = f"{count:,} images: regions and labels are not matched within {PUBLISHED.iterations} iterations"
        reg = getattr(self.pooling, "ot_reg", 0.0)
        return f"{few}; a larger patches.ot_reg than {reg:g} would be" if count else ""
