"""What the figures of `mini` are compared with: ConSE, and one linear map on the teacher's frozen features."""

from pathlib import Path

import numpy as np
import torch
from timm.models.efficientnet import EfficientNet
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, log_softmax, normalize

from c2srt_cli.backbone.convolution import use_fused_convolutions
from train_mini.features import batches, pooled, trunk

EPOCHS, BATCH, RATE = 20, 1024, 1e-3
#: Classes whose names a photograph's ConSE vector averages (Norouzi et al. 2014).
TOP = 10


@torch.inference_mode()
def features_of(paths: list[Path], teacher: EfficientNet) -> Tensor:
    """The teacher's pooled features ``(N, 1280)`` of squashed photographs."""
    use_fused_convolutions(teacher)
    teacher.to(torch.bfloat16)
    return torch.cat([pooled(teacher, trunk(teacher, x, 0), 0) for _, x in batches(paths, 0, None)])


def conse(logits: Tensor, classes: Tensor, labels: Tensor) -> Tensor:
    """Scores ``(N, L)``: the names of the likeliest classes, averaged by probability, against the labels."""
    probability, index = logits.softmax(1).topk(TOP)
    mean = (probability[..., None] * classes[index]).sum(1)  # (N, D)
    return normalize(mean, dim=-1) @ labels.T


def linear_map(features: Tensor, logits: Tensor, captions: Tensor, first: np.ndarray, classes: Tensor) -> nn.Linear:
    """One linear map to the text teacher's space: InfoNCE against captions, KL to the teacher's classes.

    Args:
        features: Of the training photographs, ``(N, 1280)``.
        logits: The teacher's, ``(N, 1000)``.
        captions: ``(M, D)``.
        first: Row of each photograph's first caption, ``(N + 1,)``.
        classes: ``(1000, D)``.
    """
    torch.manual_seed(0)
    random = np.random.default_rng(0)
    project = nn.Linear(features.shape[1], captions.shape[1])
    scale = nn.Parameter(torch.tensor(20.0).log())
    optimizer = torch.optim.AdamW([*project.parameters(), scale], lr=RATE)
    for _ in range(EPOCHS):
        for rows in np.array_split(random.permutation(len(features)), len(features) // BATCH):
            image = normalize(project(features[rows]), dim=-1)
            text = captions[random.integers(first[rows], first[rows + 1])]
            similarity = scale.exp() * image @ text.T
            target = torch.arange(len(rows))
            loss = (cross_entropy(similarity, target) + cross_entropy(similarity.T, target)) / 2
            by_class = log_softmax(scale.exp() * image @ classes.T, 1)
            loss = loss - (logits[rows].softmax(1) * by_class).sum(1).mean()
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
    return project
