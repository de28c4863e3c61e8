"""What a batch costs, as a module that several processes share."""

from collections.abc import Sequence

import torch
from torch import Tensor

from c2srt_cli.backbone.embedding import ImageEmbedding
from c2srt_cli.backbone.tower import Tokens
from c2srt_cli.methods.method import Method
from c2srt_cli.methods.scores import Scores
from c2srt_cli.methods.vocabulary import Labels
from c2srt_cli.training.processes import gathered
from c2srt_cli.training.state import Weights


class BatchLoss(Weights):
    """What a batch costs, by name; of all processes together, as if one had all of it.

    Args:
        method: In training. Its parameters are this module's.
        split_stage: Where tokens enter.
        precision: Of the forward pass; losses are in float32.
    """

    def __init__(self, method: Method, split_stage: int, precision: torch.autocast) -> None:
        super().__init__(method)
        self._method = (method,)  # in a tuple: what it does not learn is nobody's to share
        self.split_stage, self.precision = split_stage, precision

    def forward(
        self, tokens: Tokens, labels: Labels, truth: Tensor, target: Tensor, counts: Sequence[int] = ()
    ) -> dict[str, Tensor]:
        """Terms of the loss.

        Args:
            tokens: Of B images, entering the split.
            labels: Those that are asked for, with what they aggregate from.
            truth: ``(B, T)``: 1 present, -1 absent, 0 unknown.
            target: Frozen global embeddings ``(B, D)``.
            counts: Images of the batch in each process, where there are several; rows beyond its own are left out.
        """
        (method,) = self._method
        with self.precision:
            moved = tokens.to(method.device, torch.float32)
            image = method.embed(moved, labels, self.split_stage, method.need.patch_attention).float()
            scores = method.scores(image, labels, truth)
        sides = None if scores.sides is None else gathered(scores.sides, counts)
        ranking = gathered(scores.ranking, counts)
        own = None if scores.own is None else gathered(scores.own, counts)
        everyone = Scores(ranking, ranking, sides=sides, playing=scores.playing, own=own)
        whole = ImageEmbedding(gathered(image.global_, counts), image.patches)
        targets = gathered(target.to(method.device), counts) if target.numel() else target
        return method.losses(everyone, gathered(truth, counts), whole, targets)
