"""From scores to probabilities: ``calibration.json`` and ``frequency.safetensors``, fitted on captions.

A score says how well a photograph fits a label; how often the label occurs is the other half of its probability. So the
map is ``log-odds = slope score + weight log f(label) + intercept``, where ``f`` comes from a table of words: the share
of COCO's training photographs whose caption has the word. The map is fitted on photographs of another collection,
Flickr8k's validation photographs, whose five captions each say what is there, and a share of the words is hidden from
the table, as labels of users may be. So a table counts for what it is worth elsewhere.

Captions leave out what goes without saying: few of them have the word "person". So the 13 seen classes are in the table
as often as people have labelled them. Their labels check the map, each class also without its entry.
"""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from probabilities import calibration_error
from safetensors.numpy import save_file

from c2srt_cli.artifacts import file_sha256
from c2srt_cli.backbone.registry import Backbone, load_backbone
from c2srt_cli.embeddings.encoder import pixel_spec
from c2srt_cli.embeddings.text import embed_labels
from c2srt_cli.images import load_pixels
from c2srt_cli.labels import DEFAULT_TEMPLATE, Label, LabelSet
from c2srt_cli.methods.pooling import ISR
from c2srt_cli.methods.zero_shot import score
from c2srt_cli.progress import Progress
from c2srt_cli.scoring.calibration import Calibration, FrequencyOptions
from c2srt_cli.scoring.frequency import FREQUENCY, LabelFrequency
from train_mini.corpus import Photo
from train_mini.words import Vocabulary

#: COCO ids of the labels in ``train.csv``.
CLASSES = {
    1: "person", 2: "bicycle", 3: "car", 4: "motorcycle", 5: "airplane", 6: "bus", 7: "train", 8: "truck", 9: "boat",
    10: "traffic light", 11: "fire hydrant", 13: "stop sign", 14: "parking meter", 15: "bench", 16: "bird", 17: "cat",
    18: "dog", 19: "horse",
}  # fmt: skip
UNSEEN = ("bus", "boat", "cat", "horse", "traffic light")
#: The kernel, chosen by the likelihood of Flickr8k's validation photographs, where it is flat.
SHARPNESS, SMOOTHING, FLOOR = 20.0, 0.3, -8.0
#: Words that the map is fitted on: the most frequent, and as many of the others at random.
FREQUENT, OTHERS = 300, 1000
#: Share of these that is hidden from the table.
HIDDEN = 0.44
#: Added to shares, so that every word has a logarithm.
RARE = 1e-5
#: The probability from which labels are given; chosen on one half of Corel5k's training photographs, see
#: benchmarks/probabilities.py.
PRESETS = {"strict": 0.5, "balanced": 0.3, "generous": 0.15}


def calibrate(backbone_spec: str, coco: Path, photos: Sequence[Photo], out: Path) -> None:
    """Write both files into the folder ``out``, and print what they are worth."""
    backbone = load_backbone(backbone_spec)
    trained = [photo for photo in photos if not photo.validates]
    vocabulary = Vocabulary([photo.captions for photo in trained])
    table = _table(backbone, coco, [photo for photo in trained if photo.path.is_relative_to(coco)], vocabulary)
    flickr = [photo for photo in photos if photo.validates and not photo.path.is_relative_to(coco)]
    random = np.random.default_rng(0)
    drawn = FREQUENT + random.choice(len(vocabulary.words) - FREQUENT, OTHERS, replace=False)
    chosen = np.concatenate([np.arange(FREQUENT), np.sort(drawn)])
    place = {int(word): i for i, word in enumerate(chosen)}
    truth = np.zeros((len(flickr), len(chosen)), bool)
    for row, photo in enumerate(flickr):
        truth[row, [place[word] for word in vocabulary.of(photo.captions) if word in place]] = True
    words = [vocabulary.words[i] for i in chosen]
    text = _text(backbone, words)
    scores = _scores(backbone, flickr, text)
    own = np.where(random.random(len(words)) < HIDDEN, [_place(table, word) for word in words], -1)
    slope, weight, intercept = fit(scores, truth, _log_frequency(table, text, own))

    known = Calibration(slope, intercept, {}, table[0].options.model_copy(update={"weight": weight}))
    said = known.of_labels(_log_frequency(table, text, own)).probability(scores)
    print("words of Flickr8k's captions:", _error(said, truth))
    reliability(said.ravel(), truth.ravel())
    seen = {number: name for number, name in CLASSES.items() if name not in UNSEEN}
    names, labels = list(seen.values()), _labels(coco)
    checked = [photo for photo in photos if photo.validates and photo.path.name in labels]
    human = np.array([[number in labels[photo.path.name] for number in seen] for photo in checked])
    text = _text(backbone, names)
    scores = _scores(backbone, checked, text)
    save_table(out, table)
    options = table[0].options.model_copy(update={"weight": weight, "sha256": file_sha256(out / FREQUENCY)})
    value = {
        "method": "logistic",
        "slope": slope,
        "intercept": intercept,
        "scoring": {"pool": "isr", "alpha": ISR().alpha, "cap": ISR().max_patches},
        "frequency": options.model_dump(),
        "presets": PRESETS,
    }
    (out / "calibration.json").write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(value, indent=2))
    hidden = _log_frequency(table, text, np.array([_place(table, name) for name in names]))
    for how, frequency in (("in the table", table[0](text)), ("each without its entry", hidden)):
        said = known.of_labels(frequency).probability(scores)
        print(f"the {len(names)} seen classes, {how}:", _error(said, human))
        pairs = zip(names, said.mean(0), human.mean(0), strict=True)
        print("  said, was:", *(f"{name} {a:.2f} {b:.2f};" for name, a, b in pairs))


def fit(scores: np.ndarray, truth: np.ndarray, log_frequency: np.ndarray) -> tuple[float, float, float]:
    """Slope, weight of the log frequency ``(L,)``, and intercept of the greatest likelihood, by Newton's method."""
    columns = np.stack([scores.ravel(), np.broadcast_to(log_frequency, scores.shape).ravel()], 1).astype(np.float64)
    mean, std = columns.mean(0), columns.std(0)
    x = np.concatenate([(columns - mean) / std, np.ones((len(columns), 1))], 1)
    y, w = truth.ravel(), np.array([0.0, 0.0, np.log(truth.mean() / (1 - truth.mean()))])
    for _ in range(50):
        p = 1 / (1 + np.exp(-x @ w))
        w += np.linalg.solve((x * (p * (1 - p))[:, None]).T @ x, x.T @ (y - p))
    slopes = w[:2] / std
    return float(slopes[0]), float(slopes[1]), float(w[2] - slopes @ mean)


def reliability(probability: np.ndarray, truth: np.ndarray) -> None:
    """Print the reliability curve in ten bins."""
    bins = np.minimum((probability * 10).astype(int), 9)
    for i in range(10):
        if (mine := bins == i).any():
            said, was = probability[mine].mean(), truth[mine].mean()
            print(f"  {i / 10:.1f} to {(i + 1) / 10:.1f}: {mine.sum():6} said {said:.3f} was {was:.3f}")


def _error(probability: np.ndarray, truth: np.ndarray) -> str:
    """Expected calibration error over pairs of probability 0.1 or more, and what is said less what is."""
    kept = probability >= 0.1
    p, y = probability[kept], truth[kept]
    return f"error {calibration_error(p, y):.3f}, signed {p.mean() - y.mean():+.3f}, {kept.sum():,} pairs"


Table = tuple[LabelFrequency, list[str]]


def _table(backbone: Backbone, coco: Path, photos: Sequence[Photo], vocabulary: Vocabulary) -> Table:
    """How often words are in captions of the photographs, and classes in their labels; and which words these are."""
    words = [*vocabulary.words, *(name for name in CLASSES.values() if name not in (*vocabulary.words, *UNSEEN))]
    counts = np.zeros(len(words))
    for photo in photos:
        counts[vocabulary.of(photo.captions)] += 1
    shares, labels = counts / len(photos) + RARE, _labels(coco)
    known = [labels[photo.path.name] for photo in photos if photo.path.name in labels]
    for number, name in CLASSES.items():
        if name not in UNSEEN:
            shares[words.index(name)] = sum(number in one for one in known) / len(known)
    options = FrequencyOptions(weight=1.0, sharpness=SHARPNESS, smoothing=SMOOTHING, floor=FLOOR, sha256="0" * 64)
    return LabelFrequency(options, _text(backbone, words), np.log(shares)), words


def save_table(out: Path, table: Table) -> None:
    """Write the file that `LabelFrequency.read` reads."""
    frequency, words = table
    arrays: dict[str, np.ndarray] = {
        "text": frequency.text.astype(np.float16),
        "log_frequency": frequency.log_frequency.astype(np.float32),
    }
    save_file(arrays, out / FREQUENCY, metadata={"words": json.dumps(words)})


def _place(table: Table, word: str) -> int:
    return table[1].index(word)


def _log_frequency(table: Table, text: np.ndarray, hidden: np.ndarray) -> np.ndarray:
    """Of labels with these embeddings, each without one entry of the table; -1 hides none."""
    frequency = table[0]
    found = frequency(text)
    for row in np.flatnonzero(hidden >= 0):
        kept = np.delete(np.arange(len(frequency.text)), hidden[row])
        less = LabelFrequency(frequency.options, frequency.text[kept], frequency.log_frequency[kept])
        found[row] = less(text[row : row + 1])[0]
    return found


def _labels(coco: Path) -> Mapping[str, set[int]]:
    """The ids that people gave COCO's labelled photographs, by file name."""
    rows = re.findall(r"^(\d+\.jpg),([\d ]+),", (coco / "train.csv").read_text(encoding="utf-8"), re.MULTILINE)
    return {name: set(map(int, ids.split())) for name, ids in rows}


def _text(backbone: Backbone, words: Sequence[str]) -> np.ndarray:
    labels = LabelSet(tuple(map(Label, words)))
    return embed_labels(backbone, labels, (DEFAULT_TEMPLATE,), Progress()).float().numpy()


@torch.inference_mode()
def _scores(backbone: Backbone, photos: Sequence[Photo], text: np.ndarray) -> np.ndarray:
    """As the tag path gives them, ``(N, L)``."""
    spec, depth, parts = pixel_spec(backbone, fit=None, draft=True), backbone.tower.depth, []
    for start in range(0, len(photos), 32):
        arrays = [load_pixels(photo.path, spec).array for photo in photos[start : start + 32]]
        one, many = backbone.late_stages(backbone.early_stages(torch.from_numpy(np.stack(arrays)), depth), depth)
        assert one is not None
        found = score(one, many, torch.from_numpy(text), logit_scale=backbone.logit_scale, pooling=ISR())
        parts.append(found[0].numpy())
    return np.concatenate(parts)
