"""From scores to probabilities: ``calibration.json``, and how well it holds for labels it was not fitted on."""

import hashlib
import json
import re
from pathlib import Path

import numpy as np
import torch

from c2srt_cli.backbone.registry import load_backbone
from c2srt_cli.embeddings.encoder import pixel_spec
from c2srt_cli.embeddings.text import embed_labels
from c2srt_cli.images import load_pixels
from c2srt_cli.labels import DEFAULT_TEMPLATE, Label, LabelSet
from c2srt_cli.methods.pooling import ISR
from c2srt_cli.methods.zero_shot import score
from c2srt_cli.progress import Progress
from train_mini.corpus import coco_test_names

#: COCO ids of the labels in ``train.csv``.
CLASSES = {
    1: "person", 2: "bicycle", 3: "car", 4: "motorcycle", 5: "airplane", 6: "bus", 7: "train", 8: "truck", 9: "boat",
    10: "traffic light", 11: "fire hydrant", 13: "stop sign", 14: "parking meter", 15: "bench", 16: "bird", 17: "cat",
    18: "dog", 19: "horse",
}  # fmt: skip
UNSEEN = ("bus", "boat", "cat", "horse", "traffic light")
PHOTOGRAPHS = 3000


@torch.inference_mode()
def calibrate(backbone_spec: str, coco: Path, out: Path) -> None:
    """Fit the logistic map on training photographs, the unseen labels left out, and print what it is worth on both.

    Each label weighs the same, with as much weight on its positives as it has in the photographs.
    """
    backbone, pooling = load_backbone(backbone_spec), ISR()
    rows = dict(re.findall(r"^(\d+\.jpg),([\d ]+),", (coco / "train.csv").read_text(encoding="utf-8"), re.MULTILINE))
    tests = coco_test_names(coco)
    names = sorted(rows.keys() - tests, key=lambda n: hashlib.sha1(n.encode(), usedforsecurity=False).hexdigest())
    names = names[:PHOTOGRAPHS]
    truth = np.array([[c in set(map(int, rows[name].split())) for c in CLASSES] for name in names])
    labels = LabelSet(tuple(map(Label, CLASSES.values())))
    text = embed_labels(backbone, labels, (DEFAULT_TEMPLATE,), Progress())
    spec, depth, parts = pixel_spec(backbone, fit=None, draft=True), backbone.tower.depth, []
    for start in range(0, len(names), 32):
        arrays = [load_pixels(coco / "data" / name, spec).array for name in names[start : start + 32]]
        tokens = backbone.early_stages(torch.from_numpy(np.stack(arrays)), depth)
        one, many = backbone.late_stages(tokens, depth)
        assert one is not None
        parts.append(score(one, many, text, logit_scale=backbone.logit_scale, pooling=pooling)[0])
    scores = torch.cat(parts).numpy()
    seen = np.array([name not in UNSEEN for name in CLASSES.values()])
    slope, intercept = fit(scores[:, seen].ravel(), truth[:, seen].ravel())
    for kind, columns in (("seen", seen), ("unseen", ~seen)):
        probability = 1 / (1 + np.exp(-(slope * scores[:, columns] + intercept)))
        print(
            kind,
            "labels: expected calibration error",
            round(reliability(probability.ravel(), truth[:, columns].ravel()), 4),
        )
    value = {
        "method": "logistic",
        "slope": slope,
        "intercept": intercept,
        "scoring": {"pool": "isr", "alpha": pooling.alpha, "cap": pooling.max_patches},
    }
    out.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


def fit(scores: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    """Slope and intercept by Newton's method."""
    mean, std = scores.mean(), scores.std()
    x = np.stack([(scores - mean) / std, np.ones_like(scores)], 1).astype(np.float64)
    w = np.zeros(2)
    for _ in range(50):
        p = 1 / (1 + np.exp(-x @ w))
        w += np.linalg.solve((x * (p * (1 - p))[:, None]).T @ x, x.T @ (truth - p))
    return float(w[0] / std), float(w[1] - w[0] * mean / std)


def reliability(probability: np.ndarray, truth: np.ndarray) -> float:
    """Print the reliability curve in ten bins; returns the expected calibration error."""
    bins = np.minimum((probability * 10).astype(int), 9)
    error = 0.0
    for i in range(10):
        if (mine := bins == i).any():
            said, was = probability[mine].mean(), truth[mine].mean()
            error += mine.mean() * abs(said - was)
            print(f"  {i / 10:.1f} to {(i + 1) / 10:.1f}: {mine.sum():6} said {said:.3f} was {was:.3f}")
    return float(error)
