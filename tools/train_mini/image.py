"""The image tower's tail and projection, trained on cached maps against fixed text embeddings."""

import math
import time
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from timm.models.efficientnet import EfficientNet
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, linear, log_softmax, normalize

from train_mini.teacher import FEATURES
from train_mini.tower import Tower


@dataclass(frozen=True)
class Options:
    """How the tail is trained.

    Attributes:
        cut: The stage before which the maps were stored.
        first: The first stage that learns; those from the cut to it run in bfloat16, without gradient.
        steps: Batches in all.
        bank: Captions drawn as negatives for each batch.
        words: Vocabulary words drawn as negatives for each batch.
    """

    cut: int = 4
    first: int = 4
    steps: int = 1600
    batch: int = 128
    lr: float = 3e-4
    lr_head: float = 1e-3
    weight_decay: float = 0.05
    bank: int = 8192
    words: int = 300
    caption_weight: float = 1.0
    class_weight: float = 1.0
    word_weight: float = 1.0
    average: float = 0.997
    seed: int = 0
    minutes: float = 5.0


@dataclass(frozen=True)
class Data:
    """Everything the loop draws from.

    Attributes:
        maps: Views of the photographs at the cut, each ``(N, h, w, C)`` uint8.
        features: The teacher's, pooled, of the same views, each ``(N, 1280)``.
        zero: ``(C,)``; a map's value is ``zero + step * uint8``.
        step: ``(C,)``.
        captions: ``(M, D)`` unit embeddings.
        first: Row of each photograph's first caption, ``(N + 1,)``.
        classes: ``(1000, D)``.
        vocabulary: ``(V, D)``.
        labels: Vocabulary ids of each photograph.
        rows: Photographs to train on.
    """

    maps: list[np.ndarray]
    features: list[np.ndarray]
    zero: Tensor
    step: Tensor
    captions: Tensor
    first: np.ndarray
    classes: Tensor
    vocabulary: Tensor
    labels: list[list[int]]
    rows: np.ndarray


class Student(nn.Module):
    """Tower and projection, as open_clip will run them, with the scales of the losses."""

    def __init__(self, teacher: EfficientNet, projection: Tensor) -> None:
        super().__init__()
        self.tower = Tower(teacher)
        self.project = nn.Linear(FEATURES, len(projection), bias=False)
        self.project.weight.data.copy_(projection)
        self.logit_scale = nn.Parameter(torch.tensor(math.log(20.0)))
        self.class_scale = nn.Parameter(torch.tensor(math.log(20.0)))
        self.class_bias = nn.Parameter(torch.zeros(1000))

    def forward(self, maps: Tensor, cut: int) -> tuple[Tensor, Tensor]:
        """Maps at the cut to the unit global ``(B, D)`` and unit patches ``(B, P, D)``."""
        x = self.tower.tail(maps, cut).flatten(2).transpose(1, 2)  # (B, P, 1280)
        patches = linear(x, self.project.weight.bfloat16()).float()
        return normalize(patches.mean(1), dim=-1), normalize(patches, dim=-1)


def local_score(patches: Tensor, text: Tensor, scale: Tensor) -> Tensor:
    """Cosines averaged over patches by their own softmax, a smooth ISR: ``(B, P, D)``, ``(V, D)`` to ``(B, V)``."""
    b, p, d = patches.shape
    cosine = (patches.reshape(b * p, d) @ text.T).view(b, p, -1)
    return ((cosine * scale.detach()).softmax(1) * cosine).sum(1)


def word_loss(logits: Tensor, positive: Tensor, weight: Tensor) -> Tensor:
    """Words against words in a photograph and photographs against photographs for a word, positives sharing the mass.

    Args:
        logits: ``(B, V)``.
        positive: ``(B, V)``, 1 where a caption has the word.
        weight: ``(V,)``, rarer words weigh more in a photograph.
    """
    rows = positive * weight
    rows = rows / rows.sum(1, keepdim=True).clamp_min(1e-6)
    by_photograph = -(rows * log_softmax(logits, 1)).sum(1).mean()
    present = positive.sum(0) > 0
    columns = positive[:, present] / positive[:, present].sum(0)
    by_word = -(columns * log_softmax(logits[:, present], 0)).sum(0).mean()
    return by_photograph + by_word


class Training:
    """The state of a run: everything a checkpoint holds."""

    def __init__(self, data: Data, teacher: EfficientNet, projection: Tensor, options: Options) -> None:
        torch.manual_seed(options.seed)
        self.data, self.options, self.done = data, options, 0
        self.head = deepcopy(teacher.classifier)
        self.student = Student(teacher, projection).to(memory_format=torch.channels_last)
        self.student.tower.freeze(options.first)
        self.bridge = deepcopy(nn.Sequential(*self.student.tower.stages[options.cut : options.first])).bfloat16()
        tail = [p for p in self.student.tower.parameters() if p.requires_grad]
        scales = [self.student.logit_scale, self.student.class_scale, self.student.class_bias]
        groups = [
            {"params": [p for p in tail if p.ndim > 1], "lr": options.lr, "weight_decay": options.weight_decay},
            {"params": [p for p in tail if p.ndim == 1], "lr": options.lr, "weight_decay": 0.0},
            {"params": [self.student.project.weight], "lr": options.lr_head, "weight_decay": options.weight_decay},
            {"params": scales, "lr": options.lr_head, "weight_decay": 0.0},
        ]
        self.optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.98))
        self.peaks: list[float] = [group["lr"] for group in self.optimizer.param_groups]
        self.average = {name: value.clone() for name, value in self.student.state_dict().items()}
        counts = np.bincount([w for i in data.rows for w in data.labels[i]], minlength=len(data.vocabulary))
        self.weight = torch.from_numpy((counts.clip(1) ** -0.5).astype(np.float32))

    def start(self, state: dict[str, Tensor]) -> None:
        """Begin from another run's weights."""
        self.student.load_state_dict(state)
        self.average = {name: value.clone() for name, value in state.items()}

    def step(self) -> dict[str, float]:
        """One batch; the random numbers depend on the seed and the step alone."""
        data, options, student = self.data, self.options, self.student
        random = np.random.default_rng((options.seed, self.done))
        epoch, place = divmod(self.done * options.batch, len(data.rows) - options.batch)
        order = np.random.default_rng((options.seed, epoch, 1)).permutation(data.rows)
        rows = np.sort(order[place : place + options.batch])
        views = random.integers(len(data.maps), size=len(rows))
        stored = np.stack([data.maps[v][i] for v, i in zip(views, rows, strict=True)])
        maps = (torch.from_numpy(stored).float() * data.step + data.zero).permute(0, 3, 1, 2)  # (B, C, h, w)
        known = np.stack([data.features[v][i] for v, i in zip(views, rows, strict=True)])
        with torch.no_grad():
            teacher = self.head(torch.from_numpy(known).float())  # (B, 1000)
            maps = self.bridge(maps.bfloat16())
        overall, patches = student(maps, options.first)

        own = np.array([random.integers(data.first[i], data.first[i + 1]) for i in rows])
        others = random.integers(len(data.captions), size=options.bank)
        others = others[~np.isin(others, np.concatenate([np.arange(data.first[i], data.first[i + 1]) for i in rows]))]
        bank = data.captions[np.concatenate([own, others])]
        scale = student.logit_scale.exp()
        similarity = scale * overall @ bank.T
        target = torch.arange(len(rows))
        caption = cross_entropy(similarity, target) + cross_entropy(similarity[:, : len(rows)].T, target)

        by_class = student.class_scale.exp() * overall @ data.classes.T + student.class_bias
        class_ = -(teacher.softmax(1) * log_softmax(by_class, 1)).sum(1).mean()

        present = {word for i in rows for word in data.labels[i]}
        drawn = np.array(sorted(present | set(random.integers(len(data.vocabulary), size=options.words).tolist())))
        places = {word: column for column, word in enumerate(drawn.tolist())}
        positive = torch.zeros(len(rows), len(drawn))
        for row, i in enumerate(rows):
            positive[row, [places[word] for word in data.labels[i]]] = 1
        text = data.vocabulary[drawn]
        local = local_score(patches, text, scale)
        both = (overall @ text.T + local) / 2
        weight = self.weight[drawn]
        word = word_loss(scale * both, positive, weight) + 0.5 * word_loss(scale * local, positive, weight)

        loss = options.caption_weight * caption + options.class_weight * class_ + options.word_weight * word
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(student.parameters(), 2.0)
        progress = self.done / options.steps
        factor = min(1.0, (self.done + 1) / 50) * (0.5 + 0.5 * math.cos(math.pi * min(1.0, progress)))
        for group, peak in zip(self.optimizer.param_groups, self.peaks, strict=True):
            group["lr"] = peak * max(factor, 0.01)
        self.optimizer.step()
        student.logit_scale.data.clamp_(max=math.log(100.0))
        self.done += 1
        rate = min(options.average, self.done / (self.done + 10))
        with torch.no_grad():
            for name, value in student.state_dict().items():
                self.average[name].lerp_(value, 1 - rate)
        return {"caption": caption.item(), "class": class_.item(), "word": word.item(), "scale": scale.item()}

    def averaged(self) -> Student:
        """The student with the averaged weights."""
        student = deepcopy(self.student)
        student.load_state_dict(self.average)
        return student

    def save(self, path: Path) -> None:
        """Write everything needed to go on exactly."""
        state = {"student": self.student.state_dict(), "optimizer": self.optimizer.state_dict(), "done": self.done}
        partial = path.with_suffix(".partial")
        torch.save({**state, "average": self.average}, partial)
        partial.replace(path)

    def resume(self, path: Path) -> None:
        """Go on from `save`."""
        state = torch.load(path)
        self.student.load_state_dict(state["student"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.done, self.average = state["done"], state["average"]


@torch.inference_mode()
def validate(student: Student, data: Data, rows: np.ndarray, cut: int, held: np.ndarray) -> dict[str, float]:
    """Mean AP over words of validation captions, with at least 8 photographs, from whole photographs.

    Args:
        student: In evaluation mode.
        data: As for training; ``maps[0]`` shows whole photographs.
        rows: Photographs to validate on.
        cut: As for training.
        held: Words that were left out of training, a mask ``(V,)``.
    """
    overall, local = [], []
    for part in np.array_split(rows, len(rows) // 32):
        maps = (torch.from_numpy(data.maps[0][part]).float() * data.step + data.zero).permute(0, 3, 1, 2)
        g, patches = student(maps, cut)
        overall.append(g @ data.vocabulary.T)
        local.append(local_score(patches, data.vocabulary, student.logit_scale.exp()))
    g, both = torch.cat(overall), torch.cat(overall) + torch.cat(local)
    positive = torch.zeros(len(rows), len(data.vocabulary), dtype=torch.bool)
    for row, i in enumerate(rows):
        positive[row, data.labels[i]] = True
    scores = {}
    for name, mask in (("seen", ~held), ("held", held)):
        columns = torch.from_numpy(mask) & (positive.sum(0) >= 8)
        for kind, value in (("global", g), ("both", both), ("local", both - g)):
            scores[f"{name} {kind}"] = _mean_ap(value[:, columns], positive[:, columns])
    return scores


def _mean_ap(scores: Tensor, positive: Tensor) -> float:
    order = scores.argsort(0, descending=True)
    hits = positive.gather(0, order).float()  # (N, V)
    precision = hits.cumsum(0) / torch.arange(1, len(hits) + 1)[:, None]
    return float(((precision * hits).sum(0) / hits.sum(0)).mean())


def train(training: Training, checkpoint: Path, validation: np.ndarray, held: np.ndarray, every: int) -> None:
    """Run to the end, saving every few minutes and validating every so many steps."""
    if checkpoint.exists():
        training.resume(checkpoint)
    saved = started = time.monotonic()
    options, sums, begin = training.options, dict[str, float](), training.done
    while training.done < options.steps:
        for name, value in training.step().items():
            sums[name] = sums.get(name, 0.0) + value / 50
        if training.done % 50 == 0:
            rate = (time.monotonic() - started) / (training.done - begin)
            print(training.done, {k: round(v, 3) for k, v in sums.items()}, f"{rate:.2f} s/step", flush=True)
            sums = {}
        if training.done % every == 0 or training.done == options.steps:
            scores = validate(training.averaged(), training.data, validation, options.cut, held)
            print("validation", training.done, {k: round(v, 4) for k, v in scores.items()}, flush=True)
        if time.monotonic() - saved > 60 * options.minutes or training.done % every == 0:
            training.save(checkpoint)
            saved = time.monotonic()
    training.save(checkpoint)
