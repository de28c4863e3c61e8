"""A narrow CLIP text transformer: composed from what MiniLM makes of single words, distilled on whole names."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from open_clip import SimpleTokenizer
from open_clip.model import CLIP
from torch import Tensor, nn
from torch.nn.functional import normalize

START, END = 49406, 49407
CONTEXT = 32
TEXT_CONFIG = {"context_length": CONTEXT, "vocab_size": 49408, "width": 192, "heads": 3, "layers": 4}
#: A name inside one of these means what the name alone means.
TEMPLATES = (
    "{}",
    "a photo of a {}.",
    "a photo of the {}.",
    "a photo of {}.",
    "a {}.",
    "there is a {} in the scene.",
    "a photo of many {}.",
    "a bad photo of a {}.",
    "a close-up photo of a {}.",
    "a photo of a small {}.",
    "a photo of a large {}.",
    "a cropped photo of the {}.",
    "a good photo of the {}.",
    "itap of a {}.",
    "a picture of {}.",
    "an image of {}.",
)


@dataclass(frozen=True)
class Options:
    """How the tower is distilled; ``repeats`` is how often everyday words are drawn for each time a name is."""

    steps: int = 1500
    batch: int = 1024
    lr: float = 2e-3
    relational: float = 20.0
    plain: float = 0.35
    seed: int = 0
    minutes: float = 4.0


class Corpus:
    """Texts as token ids, with their targets, drawn by kind.

    Args:
        kinds: Texts, targets ``(N, D)`` of unit norm, the share of a batch, and whether templates go around them.
    """

    def __init__(self, kinds: Sequence[tuple[list[str], Tensor, float, bool]]) -> None:
        encode = SimpleTokenizer().encode
        self.kinds = [([encode(text) for text in texts], *rest) for texts, *rest in kinds]
        parts = [template.split("{}") for template in TEMPLATES]
        self.templates = [(encode(before), encode(after)) for before, after in parts]

    def batch(self, size: int, plain: float, random: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Token ids ``(B, n)`` and targets ``(B, D)``, sorted by nothing."""
        rows: list[list[int]] = []
        targets = []
        for texts, target, share, templated in self.kinds:
            chosen = random.integers(len(texts), size=round(size * share))
            targets.append(target[chosen])
            for i in chosen.tolist():
                before, after = [], []
                if templated and random.random() > plain:
                    before, after = self.templates[1 if random.random() < 0.35 else random.integers(len(TEMPLATES))]
                rows.append([START, *[*before, *texts[i], *after][: CONTEXT - 2], END])
        longest = max(map(len, rows))
        return torch.tensor([row + [0] * (longest - len(row)) for row in rows]), torch.cat(targets)


def encode(model: CLIP, tokens: Tensor) -> Tensor:
    """What `CLIP.encode_text` computes, without the context behind the longest text: ``(B, n)`` to ``(B, D)``."""
    n = tokens.shape[1]
    x = model.token_embedding(tokens) + model.positional_embedding[:n]
    for block in model.transformer.resblocks:
        x = block(x, attn_mask=model.attn_mask[:n, :n])
    ends = tokens.argmax(1)
    return model.ln_final(x[torch.arange(len(x)), ends]) @ model.text_projection


@torch.no_grad()
def compose(model: CLIP, token_targets: Tensor, others: Tensor) -> None:
    """Set the text tower so that a text means the mean of what its words mean, without any training.

    Words of the templates, start and end lie on an axis of their own that the first layer's values drop, so they stay
    silent. That layer attends to all tokens alike; the other layers and all MLPs add nothing. What is random here
    matters to `Distillation` only.

    Args:
        model: Its text tower is set.
        token_targets: Teacher embeddings of the tokens, each alone, ``(49406, D)``, centred, of unit norm.
        others: More teacher embeddings that the reduced space should hold, ``(N, D)``.
    """
    width = model.token_embedding.weight.shape[1]
    kept = width - 2
    _, _, basis = torch.pca_lowrank(torch.cat([token_targets, others]), kept, center=False, niter=4)  # (D, kept)
    tokenizer = SimpleTokenizer()
    silent = {token for template in TEMPLATES for token in tokenizer.encode(template.replace("{}", " "))}
    silent |= set(range(len(token_targets), len(model.token_embedding.weight)))
    table = torch.zeros_like(model.token_embedding.weight)
    table[: len(token_targets), :kept] = token_targets @ basis * 10
    table[sorted(silent)] = 0
    table[sorted(silent), kept], table[sorted(silent), kept + 1] = 30.0, -30.0
    for name, parameter in model.transformer.named_parameters():
        if name.endswith(("in_proj_weight", "c_fc.weight")):
            parameter.normal_(std=width**-0.5)
        elif "ln_" not in name:
            parameter.zero_()
    model.token_embedding.weight.copy_(table)
    model.positional_embedding.zero_()
    attention = model.transformer.resblocks[0].attn
    values = torch.eye(width)
    values[kept:] = 0
    attention.in_proj_weight[width : 2 * width] = 0  # keys alone, so that queries and keys can still learn
    attention.in_proj_weight[2 * width :] = values * 1000  # so that the mean drowns the end token's own axis
    attention.out_proj.weight.copy_(torch.eye(width))
    model.text_projection.zero_()
    model.text_projection[:kept] = basis.T * 0.1


class Distillation:
    """The state of a run: everything a checkpoint holds."""

    def __init__(self, model: CLIP, corpus: Corpus, options: Options) -> None:
        self.model, self.corpus, self.options, self.done = model, corpus, options, 0
        named = [(n, p) for n, p in model.named_parameters() if not n.startswith(("visual.", "logit_"))]
        self.names = [name for name, _ in named]
        decayed = [p for n, p in named if p.ndim > 1 and "embedding" not in n]
        others = [p for n, p in named if p.ndim <= 1 or "embedding" in n]
        groups: list[dict[str, Any]] = [
            {"params": decayed, "weight_decay": 0.02},
            {"params": others, "weight_decay": 0},
        ]
        self.optimizer = torch.optim.AdamW(groups, lr=options.lr, betas=(0.9, 0.98))
        self.average = {n: p.detach().clone() for n, p in named}

    def step(self) -> dict[str, float]:
        """One batch; the random numbers depend on the seed and the step alone."""
        options = self.options
        random = np.random.default_rng((options.seed, self.done))
        tokens, targets = self.corpus.batch(options.batch, options.plain, random)
        order = tokens.argmax(1).argsort()
        parts, kept = [], []
        with torch.autocast("cpu", torch.bfloat16):
            for rows in order.chunk(4):  # short texts do not pay for long ones
                length = int(tokens[rows].argmax(1).max()) + 1
                parts.append(encode(self.model, tokens[rows, :length]).float())
                kept.append(targets[rows])
        out, target = normalize(torch.cat(parts), dim=-1), torch.cat(kept)
        cosine = (out * target).sum(1).mean()
        relation = (out @ target.T - target @ target.T).square().mean()
        loss = 1 - cosine + options.relational * relation
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        progress = self.done / options.steps
        factor = min(1.0, (self.done + 1) / 50) * max(0.01, 0.5 + 0.5 * math.cos(math.pi * min(1.0, progress)))
        for group in self.optimizer.param_groups:
            group["lr"] = options.lr * factor
        self.optimizer.step()
        self.done += 1
        rate = min(0.99, self.done / (self.done + 10))
        with torch.no_grad():
            own = dict(self.model.named_parameters())
            for name, value in self.average.items():
                value.lerp_(own[name], 1 - rate)
        return {"cosine": cosine.item(), "relation": relation.item()}

    def save(self, path: Path) -> None:
        """Write everything needed to go on exactly."""
        own = dict(self.model.named_parameters())
        state = {"model": {name: own[name].detach() for name in self.names}, "optimizer": self.optimizer.state_dict()}
        partial = path.with_suffix(".partial")
        torch.save({**state, "average": self.average, "done": self.done}, partial)
        partial.replace(path)

    def resume(self, path: Path) -> None:
        """Go on from `save`."""
        state = torch.load(path)
        self.model.load_state_dict(state["model"], strict=False)
        self.optimizer.load_state_dict(state["optimizer"])
        self.done, self.average = state["done"], state["average"]


def distil(run: Distillation, checkpoint: Path) -> None:
    """Run to the end, saving every few minutes."""
    if checkpoint.exists():
        run.resume(checkpoint)
    saved = started = time.monotonic()
    begin, sums = run.done, dict[str, float]()
    while run.done < run.options.steps:
        for name, value in run.step().items():
            sums[name] = sums.get(name, 0.0) + value / 25
        if run.done % 25 == 0:
            rate = (time.monotonic() - started) / (run.done - begin)
            print(run.done, {k: round(v, 5) for k, v in sums.items()}, f"{rate:.2f} s/step", flush=True)
            sums = {}
        if time.monotonic() - saved > 60 * run.options.minutes:
            run.save(checkpoint)
            saved = time.monotonic()
    run.save(checkpoint)
