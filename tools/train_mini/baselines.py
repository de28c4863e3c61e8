"""What the figures of `mini` are compared with: ConSE, and one linear map on the teacher's frozen features."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, log_softmax, normalize

from train_mini.features import SIDE
from train_mini.tower import Tower

EPOCHS, BATCH, RATE = 20, 1024, 1e-3
#: Classes whose names a photograph's ConSE vector averages (Norouzi et al. 2014).
TOP = 10


@torch.inference_mode()
def features_of(paths: list[Path], teacher: list[tuple[Tensor, Tensor]]) -> Tensor:
    """The teacher's pooled features ``(N, 1280)`` of squashed photographs."""
    tower = Tower()
    tower.load(teacher[:-1])
    tower = tower.to(torch.bfloat16, memory_format=torch.channels_last)
    parts = []
    for start in range(0, len(paths), 16):
        views = []
        for path in paths[start : start + 16]:
            with Image.open(path) as file:
                views.append(np.asarray(file.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BICUBIC)))
        x = torch.from_numpy(np.stack(views)).permute(0, 3, 1, 2).float().sub_(127.5).div_(127.5)
        x = x.bfloat16().contiguous(memory_format=torch.channels_last)
        parts.append(tower.tail(tower.trunk(x, 0), 0).float().mean((2, 3)))
    return torch.cat(parts)


def logits_of(features: Tensor, teacher: list[tuple[Tensor, Tensor]]) -> Tensor:
    """The teacher's ``(N, 1000)``."""
    weight, bias = teacher[-1][0].flatten(1), teacher[-1][1]
    return (features @ weight.T + bias)[:, 1:]


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
            loss.backward()
            optimizer.step()
    return project
