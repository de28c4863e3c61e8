"""What a backbone's probabilities and presets are worth, on Corel5k's training photographs.

    python benchmarks/probabilities.py --backbone mini --data ../shared/data

Calibration: pairs of probability 0.1 or more, for vocabularies of 5, 50 and all 374 words, alone and with 400 everyday
and 1,000 ImageNet labels asked together with them; beside it what is wrong with a predictor that says of each of these
pairs how often pairs of its vocabulary are true.
Presets: thresholds on one half of the photographs (where they are chosen), the backbone's own on the other half, beside
the relative rule, which needs no calibration, and the same on scores centred on the user's own photographs. Of that
rule also what it is worth for 1, 5, 20 and all words, with its test against background labels and without.
Only annotated words are judged: Corel5k has at most five words a photograph, and what else is there counts as wrong.
"""

import argparse
import csv
import hashlib
from pathlib import Path

import numpy as np
import torch
from backbone_quality import embed
from timm.data.imagenet_info import ImageNetInfo

from c2srt_cli.backbone.registry import load_backbone
from c2srt_cli.embeddings.text import embed_labels
from c2srt_cli.labels import DEFAULT_TEMPLATE, Label, LabelSet, read_labels
from c2srt_cli.labels.everyday import everyday_labels
from c2srt_cli.methods.pooling import ISR
from c2srt_cli.methods.zero_shot import ZeroShot, score
from c2srt_cli.predict.calibration import calibration_of_backbone
from c2srt_cli.progress import Progress
from c2srt_cli.scoring.calibration import Calibration
from c2srt_cli.scoring.presets import PRESETS, Preset
from c2srt_cli.tagging.decision import ABOVE_BACKGROUND, Rule

SIZES = (5, 50, 374)
DRAWS = 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backbone", default="mini")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder with corel5k/")
    parser.add_argument("--photographs", type=int, default=4500)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    backbone = load_backbone(options.backbone)
    backbone.to("cpu", torch.bfloat16)
    folder = options.data / "corel5k"
    with (folder / "annotations.csv").open(encoding="utf-8", newline="") as file:
        rows = [(row["path"], set(row["labels"].split(";"))) for row in csv.DictReader(file) if row["split"] == "train"]
    rows = sorted(rows, key=lambda row: _sha1(row[0]))[: options.photographs]
    words = [word for word in (folder / "words.txt").read_text(encoding="utf-8").split("\n") if word]
    others: dict[int, list[str]] = {0: [], 400: list(read_labels(everyday_labels()).names), 1000: imagenet_names()}
    every = list(dict.fromkeys([*words, *others[400], *others[1000]]))
    text = embed_labels(backbone, LabelSet(tuple(map(Label, every))), (DEFAULT_TEMPLATE,), Progress())
    images = embed(backbone, [folder / path for path, _ in rows], backbone.default_fit)
    scores = np.concatenate(
        [
            score(*some, text, logit_scale=backbone.logit_scale, pooling=ISR())[0].float().numpy()
            for some in zip(torch.split(images[0], 64), torch.split(images[1], 64), strict=True)
        ]
    )
    truth = np.array([[word in labels for word in words] for _, labels in rows])
    known = calibration_of_backbone(backbone, ZeroShot.Options(), text)
    print(f"{backbone.id}   weights {backbone.weights_sha256[:12]}   {len(rows):,} training photographs of Corel5k")
    chosen = np.arange(len(rows)) % 2 == 0
    if known is not None:
        place = {label: i for i, label in enumerate(every)}
        beside = {count: np.array([place[one] for one in labels], np.int64) for count, labels in others.items()}
        calibration(known, scores, truth, beside)
        thresholds(known, scores[chosen], truth[chosen])
    presets(known, scores[~chosen], truth[~chosen], backbone.logit_scale)
    background = scores[:, [every.index(label) for label in others[400]]]
    standard = (scores - background.mean(1, keepdims=True)) / background.std(1, ddof=1, keepdims=True)
    outstanding(scores * backbone.logit_scale, standard, truth)
    if known is not None:
        not_found(known, scores, truth)


def calibration(known: Calibration, scores: np.ndarray, truth: np.ndarray, beside: dict[int, np.ndarray]) -> None:
    """The table of sizes, and the curves."""
    odds = known.log_odds(scores)
    said, bar = 1 / (1 + np.exp(-odds)), known.presets.get("balanced")
    count = truth.shape[1]
    frequent, curves = np.argsort(-truth.mean(0), kind="stable"), {}
    heads = ("pairs", "error", "signed", "constant", "others", "tags said", "were", "apart")
    print(f"\n{'words':22}" + "".join(f"{head:>10}" for head in heads))
    for size in SIZES:
        random = np.random.default_rng(0)
        sets = {"at random": [random.choice(count, size, replace=False) for _ in range(DRAWS)]}
        sets["most frequent"] = [frequent[:size]]
        for name, columns in (sets if size < count else {"all": [np.arange(count)]}).items():
            pairs = [(said[:, one].ravel(), truth[:, one].ravel()) for one in columns]
            p, y = (np.concatenate(part) for part in zip(*pairs, strict=True))
            kept = p >= 0.1
            curves[f"{size} {name}"] = (p, y)
            cells = f"{kept.sum() // len(columns):>10,}{calibration_error(p[kept], y[kept]):10.3f}"
            cells += f"{p[kept].mean() - y[kept].mean():+10.3f}{abs(y.mean() - y[kept].mean()):10.3f}"
            for number, other in beside.items():
                given = []
                for one in columns if bar is not None else []:
                    asked = np.concatenate([one, np.setdiff1d(other, one)])
                    tags = choose(odds[:, asked], "balanced", bar)[:, :size]
                    given.append((said[:, one][tags], truth[:, one][tags]))
                a, b = (np.concatenate(part).mean() for part in zip(*given, strict=True)) if given else (np.nan, np.nan)
                print(f"{size:>4} {name:17}{cells}{number:>10,}{a:10.3f}{b:10.3f}{a - b:+10.3f}", flush=True)
    print("\nreliability: of pairs said to be true with a probability from … on, how many were (of how many)")
    print(f"{'':20}" + "".join(f"{i / 10:>15.1f}" for i in range(10)))
    for name, (p, y) in curves.items():
        bins = [y[np.minimum((p * 10).astype(int), 9) == i] for i in range(10)]
        print(f"{name:20}" + "".join(f"{one.mean():7.3f}{len(one):>8,}" if len(one) else f"{'-':>15}" for one in bins))


def thresholds(known: Calibration, scores: np.ndarray, truth: np.ndarray) -> None:
    """What each probability would give as a preset."""
    odds = known.log_odds(scores)[:, : truth.shape[1]]
    print("\nthe half on which presets are chosen")
    for bar in np.arange(0.05, 0.65, 0.05):
        print(f"  from {bar:.2f} on                  {measure(choose(odds, 'balanced', bar), truth)}")


def presets(known: Calibration | None, scores: np.ndarray, truth: np.ndarray, logit_scale: float) -> None:
    """The presets, and what there is without a calibration."""
    own = scores[:, : truth.shape[1]]
    odds = None if known is None else known.log_odds(scores)[:, : truth.shape[1]]
    print("\nthe other half")
    for preset in PRESETS:
        if known is not None and odds is not None and preset in known.presets:
            bar = known.presets[preset]
            print(f"  {preset:9} from {bar:.2f} on        {measure(choose(odds, preset, bar), truth)}")
    for preset in PRESETS:
        print(f"  {preset:9} relative rule       {measure(choose(own * logit_scale, preset), truth)}")
    for count in (20, 500):
        centred = (own - own[:count].mean(0)) * logit_scale
        print(f"  relative, centred on {count:<4}      {measure(choose(centred, 'balanced'), truth)}")
    print("\nfolders of one theme: share of the photographs of a word that are given it")
    frequent = np.argsort(-truth.sum(0), kind="stable")
    for column in frequent[:60:6]:
        rows = truth[:, column]
        kinds = {"relative": own * logit_scale, "centred": (own - own[rows].mean(0)) * logit_scale}
        shares = {name: choose(some[rows], "balanced")[:, column].mean() for name, some in kinds.items()}
        if odds is not None and known is not None and "balanced" in known.presets:
            shares["by probability"] = choose(odds[rows], "balanced", known.presets["balanced"])[:, column].mean()
        print(f"  {rows.sum():4} photographs: " + ", ".join(f"{name} {share:.2f}" for name, share in shares.items()))


def outstanding(logits: np.ndarray, standard: np.ndarray, truth: np.ndarray) -> None:
    """The relative rule in balanced, with labels that do not stand out and without."""
    print(f"\nrelative rule, not below {ABOVE_BACKGROUND['balanced']} sd above the background, and without that")
    random, words = np.random.default_rng(0), np.flatnonzero(truth.sum(0) >= 10)
    for size in (1, 5, 20, len(words)):
        draws = 1 if size == len(words) else DRAWS if size > 1 else len(words)
        sets = words[:, None] if size == 1 else [random.choice(words, size, replace=False) for _ in range(draws)]
        for name, above in (("with", standard), ("without", None)):
            given = [choose(logits[:, one], "balanced", None, None if above is None else above[:, one]) for one in sets]
            print(
                f"  {size:>4} {name:8}"
                + measure(np.concatenate(given, 1), np.concatenate([truth[:, one] for one in sets], 1), draws)
            )


def not_found(known: Calibration, scores: np.ndarray, truth: np.ndarray) -> None:
    """Collections of 200 photographs: which words of those that are there, and of those that are not, are given."""
    random, rows = np.random.default_rng(1), []
    tags = choose(known.log_odds(scores)[:, : truth.shape[1]], "balanced", known.presets.get("balanced"))
    for _ in range(20):
        some = random.choice(len(truth), min(200, len(truth)), replace=False)
        there, given = np.any(truth[some], 0), np.any(tags[some], 0)
        rows.append((there.mean(), given[there].mean(), given[~there].mean()))
    share, found, wrongly = np.mean(rows, 0)
    print(
        f"\ncollections of 200: {found:.0%} of the annotated words ({share:.0%}) are given, {wrongly:.0%} of the others"
    )


def choose(
    odds: np.ndarray, preset: Preset, bar: float | None = None, standard: np.ndarray | None = None
) -> np.ndarray:
    """Which labels of log-odds ``(N, L)`` are given, ``(N, L)``, as `tag` chooses them."""
    rule, said, own = Rule.asked(preset), 1 / (1 + np.exp(-odds)), np.full(odds.shape[1], np.nan)
    given = np.zeros(odds.shape, bool)
    for row, (mine, probabilities) in enumerate(zip(odds, said, strict=True)):
        above = None if standard is None else standard[row]
        given[row, rule.choose(mine, probabilities, own, 1.0, bar=bar, standard=above)] = True
    return given


def measure(given: np.ndarray, truth: np.ndarray, vocabularies: int = 1) -> str:
    """Precision, recall, F1 over all pairs of vocabularies side by side, tags a photograph and photographs without."""
    right = (given & truth).sum()
    precision, recall = right / max(1, given.sum()), right / truth.sum()
    f1 = 2 * precision * recall / max(precision + recall, 1e-9)
    bare = (~given.reshape(len(given), vocabularies, -1).any(2)).mean()
    tags = given.sum(1).mean() / vocabularies
    return f"P {precision:.3f}  R {recall:.3f}  F1 {f1:.3f}  {tags:5.2f} tags, none {bare:.0%}"


def calibration_error(p: np.ndarray, y: np.ndarray) -> float:
    """Expected calibration error in ten bins."""
    bins = np.minimum((p * 10).astype(int), 9)
    return float(sum(abs((p[bins == i] - y[bins == i]).sum()) for i in range(10)) / max(1, len(p)))


def imagenet_names() -> list[str]:
    """The 1,000 classes, each by its first name."""
    info = ImageNetInfo("imagenet-1k")
    return [info.index_to_description(i).partition(",")[0].strip().lower() for i in range(1000)]


def _sha1(name: str) -> str:
    return hashlib.sha1(name.encode(), usedforsecurity=False).hexdigest()


if __name__ == "__main__":
    main()
