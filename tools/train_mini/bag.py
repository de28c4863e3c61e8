"""What a text means as the sum of what its tokens mean: a table of vectors, fitted to the text teacher."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from open_clip import SimpleTokenizer
from torch import Tensor, nn
from torch.nn.functional import normalize

#: Texts of each kind in a batch.
BATCH = {"vocab": 512, "classes": 256, "names": 2048, "captions": 768}
#: What the tagger writes around a label; it must not change what the label means.
BEFORE, AFTER = "a photo of a", "."
#: One name or caption in so many is kept out, to see how well texts are met that were not fitted.
KEEP_OUT = 33


@dataclass(frozen=True)
class Options:
    """How the table is fitted."""

    steps: int = 3000
    lr: float = 0.01
    seed: int = 0


def fit(texts: Mapping[str, Sequence[str]], targets: Mapping[str, Tensor], tokens: Tensor, options: Options) -> Tensor:
    """A table ``(49408, d)``: the vectors of a text's tokens, summed, point where the teacher does.

    Start and end of a text get no meaning.

    Args:
        texts: By kind, those of `BATCH`.
        targets: The teacher's for each, ``(N, d)`` of unit norm.
        tokens: The teacher's for each token alone, ``(49406, d)``, where the fit starts.
        options: How.
    """
    encode = SimpleTokenizer().encode
    ids = {kind: [encode(text) for text in texts[kind]] for kind in BATCH}
    before, after = encode(BEFORE), encode(AFTER)
    table = torch.cat([tokens * 0.5, torch.zeros(2, tokens.shape[1])])
    table[before + after] *= 0.1
    bag = nn.EmbeddingBag.from_pretrained(table, freeze=False, mode="sum", sparse=True)
    optimizer = torch.optim.SparseAdam(bag.parameters(), lr=options.lr)
    random = np.random.default_rng(options.seed)

    def embed(rows: Sequence[Sequence[int]]) -> Tensor:
        starts = np.cumsum([0, *(len(row) for row in rows[:-1])])
        return normalize(bag(torch.tensor([i for row in rows for i in row]), torch.from_numpy(starts)), dim=-1)

    for step in range(options.steps):
        optimizer.param_groups[0]["lr"] = options.lr * max(0.02, 1 - step / options.steps)
        rows, target = [], []
        for kind, size in BATCH.items():
            chosen = random.integers(len(ids[kind]), size=size)
            if kind in ("names", "captions"):
                chosen = chosen[chosen % KEEP_OUT > 0]
            around = random.random(len(chosen)) < (0 if kind == "captions" else 0.5)
            own = [ids[kind][i] for i in chosen]
            rows += [[*before, *row, *after] if a else row for row, a in zip(own, around, strict=True)]
            target.append(targets[kind][chosen])
        cosine = (embed(rows) * torch.cat(target)).sum(1).mean()
        optimizer.zero_grad()
        torch.autograd.backward(1 - cosine)
        optimizer.step()  # type: ignore[no-untyped-call]
        if (step + 1) % 500 == 0:
            with torch.no_grad():
                found = {}
                for kind in BATCH:
                    kept = range(0, len(ids[kind]), KEEP_OUT if kind in ("names", "captions") else 1)
                    same = embed([[*before, *ids[kind][i], *after] for i in kept]) * targets[kind][list(kept)]
                    found[kind] = round(float(same.sum(1).mean()), 3)
            print(step + 1, "cosine; names and captions that were kept out:", found, flush=True)
    return bag.weight.detach()
