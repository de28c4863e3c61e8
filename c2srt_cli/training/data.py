"""What one training learns from."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from c2srt_cli.datasets.annotations import Annotations
from c2srt_cli.methods.method import Method
from c2srt_cli.methods.vocabulary import Labels, Vocabulary
from c2srt_cli.training.images import ImageSet
from c2srt_cli.training.tokens import TokenSet

#: Images scored at once, at most.
BATCH = 64
#: Entries of one map of features (images, labels, D); scoring holds about eight such maps in float32.
ENTRIES = 1 << 25


@dataclass(frozen=True, eq=False)
class TrainingData:
    """What one training learns from.

    Attributes:
        annotations: What is known of the images.
        train: Tokens to train on.
        validation: Tokens of other images, to look at.
        labels: ``(C,)`` ids of the labels whose annotations it reads.
        vocabulary: All labels and their graph.
        split_stage: Stage before which the tokens were stored.
        autocast: Products run in bfloat16.
        checkpoint: Folder to keep its state in.
        init: Weights of the image side to start from, by name; those of the backbone where None.
    """

    annotations: Annotations
    train: TokenSet | ImageSet
    validation: TokenSet | ImageSet
    labels: np.ndarray
    vocabulary: Vocabulary
    split_stage: int
    autocast: bool
    checkpoint: Path
    init: dict[str, Tensor] | None = None

    def without(self, hidden: np.ndarray) -> "TrainingData":
        """The same where some labels are like unseen ones: not taught, and no sources."""
        return replace(self, labels=np.setdiff1d(self.labels, hidden), vocabulary=self.vocabulary.without(hidden))

    def precision(self, device: torch.device) -> torch.autocast:
        """In which forward passes run."""
        return torch.autocast(device.type, torch.bfloat16, enabled=self.autocast)

    def labels_of(self, method: Method, columns: np.ndarray) -> Labels:
        """Some labels ``(T,)`` with all that their scores depend on, under the prompt as it is now."""
        found = self.vocabulary.of(columns)
        if self.vocabulary.prompts is None or not len(columns):
            return found
        with self.precision(method.device):
            return found._replace(text=self.vocabulary.prompts.embed(method.text_tower, found.nodes))


def sample(truth: np.ndarray, negatives: int, random: np.random.Generator) -> np.ndarray:
    """Columns of a batch's truth ``(B, C)`` to train on: all that are present, some known to be absent; ascending."""
    if negatives == 0:
        return np.arange(truth.shape[1])
    present = (truth > 0).any(0)
    others = np.flatnonzero(~present & (truth < 0).any(0))  # unknown labels teach nothing
    drawn = random.choice(others, min(negatives, len(others)), replace=False)
    return np.sort(np.concatenate([np.flatnonzero(present), drawn]))


def images_at_once(method: Method, labels: int) -> int:
    """How many images can be scored on so many labels at once."""
    return min(BATCH, max(1, ENTRIES // (labels * method.width)))
