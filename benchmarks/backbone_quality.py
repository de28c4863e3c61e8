"""How well a backbone tags without training: Corel5k and COCO-18 through the tag path itself.

The peers are the figures of plainer ways to the same scores, on the same images and stated in the table: chance,
ConSE (an ImageNet teacher's classes carried to words by a sentence encoder), and one linear map on frozen features.
``python benchmarks/backbone_quality.py --data ../shared/data --coco FOLDER``; what is missing is skipped and said.
``--validation`` runs the same on as many images outside both test sets: defaults are chosen there.
"""

import argparse
import csv
import hashlib
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from c2srt_cli.backbone.registry import Backbone, load_backbone
from c2srt_cli.embeddings.encoder import pixel_spec
from c2srt_cli.embeddings.text import embed_labels
from c2srt_cli.images import load_pixels
from c2srt_cli.labels import DEFAULT_TEMPLATE, Label, LabelSet
from c2srt_cli.methods.pooling import ISR, Best, Global, Mean, Pooling, TopK
from c2srt_cli.methods.zero_shot import score
from c2srt_cli.progress import Progress
from c2srt_cli.scoring.average_precision import average_precision

FITS = ("crop", "squash", "pad")
COCO_TESTS = 3000
#: COCO ids 1 to 19 without 12, as they are in the labels of the 40,000 images.
COCO_CLASSES = {
    1: "person",
    2: "bicycle",
    3: "car",
    4: "motorcycle",
    5: "airplane",
    6: "bus",
    7: "train",
    8: "truck",
    9: "boat",
    10: "traffic light",
    11: "fire hydrant",
    13: "stop sign",
    14: "parking meter",
    15: "bench",
    16: "bird",
    17: "cat",
    18: "dog",
    19: "horse",
}
#: Chance, ConSE, frozen features with a linear map, as measured before the first training (mean pooling, squash).
PEERS = {
    "Corel5k 260": "chance 0.014   ConSE 0.142   frozen + linear 0.148",
    "Corel5k 54": "chance 0.037   ConSE 0.220   frozen + linear 0.298",
    "COCO-18": "chance 0.088   ConSE 0.355   frozen + linear 0.508   a detector trained on COCO's boxes 0.716",
}
SYNONYMS = {
    "cat": "kitty",
    "cars": "automobiles",
    "car": "automobile",
    "ocean": "sea",
    "dog": "puppy",
    "plane": "aeroplane",
    "airplane": "aircraft",
    "people": "persons",
    "person": "human",
    "boats": "ships",
    "boat": "ship",
    "street": "avenue",
    "mountain": "peak",
    "flowers": "blossoms",
    "horses": "ponies",
    "horse": "pony",
    "bicycle": "bike",
    "motorcycle": "motorbike",
    "train": "railway train",
    "bus": "coach",
    "rocks": "stones",
    "forest": "woods",
    "snow": "snowfall",
    "bear": "grizzly",
}


@dataclass(frozen=True)
class TestSet:
    """Images and which labels they have: ``truth`` is ``(N, L)``."""

    paths: list[Path]
    labels: list[str]
    truth: np.ndarray


POOLS: dict[str, Pooling] = {"isr": ISR(), "topk": TopK(k=32), "max": Best(), "mean": Mean(), "global": Global()}


def corel5k(folder: Path, *, validation: bool = False) -> TestSet:
    """The test split over the 260 words that occur in both splits; or each ninth training image."""
    with (folder / "annotations.csv").open(encoding="utf-8", newline="") as file:
        rows = [(row["path"], row["split"], set(row["labels"].split(";"))) for row in csv.DictReader(file)]
    both = [set[str]().union(*(words for _, split, words in rows if split == name)) for name in ("train", "test")]
    labels = sorted(both[0] & both[1])
    tests = [(path, words) for path, split, words in rows if split == ("train" if validation else "test")]
    tests = tests[::9] if validation else tests
    truth = np.array([[label in words for label in labels] for _, words in tests])
    return TestSet([folder / path for path, _ in tests], labels, truth)


def coco18(folder: Path, *, validation: bool = False) -> TestSet:
    """The 3,000 labelled images with the smallest sha1 of the file name; or the next 3,000."""
    text = (folder / "train.csv").read_text(encoding="utf-8")
    labelled = dict(re.findall(r"^(\d+\.jpg),([\d ]+),", text, re.MULTILINE))
    names = sorted(labelled, key=lambda name: hashlib.sha1(name.encode(), usedforsecurity=False).hexdigest())
    names = names[COCO_TESTS : 2 * COCO_TESTS] if validation else names[:COCO_TESTS]
    truth = np.array([[c in set(map(int, labelled[name].split())) for c in COCO_CLASSES] for name in names])
    return TestSet([folder / "data" / name for name in names], list(COCO_CLASSES.values()), truth)


def mean_ap(scores: np.ndarray, truth: np.ndarray) -> float:
    """Mean over the classes that have positives."""
    kept = np.flatnonzero(truth.any(0))
    return float(average_precision(scores[:, kept].T, truth[:, kept].T).mean())


@torch.inference_mode()
def embed(backbone: Backbone, paths: list[Path], fit: str, batch: int = 32) -> tuple[Tensor, Tensor]:
    """Global embeddings ``(N, D)`` and patches ``(N, P, D)``, as ``c2srt embed`` computes them."""
    spec = pixel_spec(backbone, fit=fit, draft=True)
    depth, patch_attention = backbone.tower.depth, backbone.default_patch_attention
    overall, local = [], []
    with ThreadPoolExecutor(2) as pool:
        arrays = pool.map(lambda path: load_pixels(path, spec).array, paths)
        for start in range(0, len(paths), batch):
            pixels = torch.from_numpy(np.stack([next(arrays) for _ in paths[start : start + batch]]))
            tokens = backbone.early_stages(
                pixels, depth, patch_attention=patch_attention, streams="both" if patch_attention else "global"
            )
            one, many = backbone.late_stages(tokens, depth, patch_attention=patch_attention)
            assert one is not None
            overall.append(one)
            local.append(many)
    return torch.cat(overall), torch.cat(local)


@torch.inference_mode()
def scores_of(backbone: Backbone, image: tuple[Tensor, Tensor], labels: list[str], pooling: Pooling) -> np.ndarray:
    """``(N, L)``."""
    text = embed_labels(backbone, LabelSet(tuple(map(Label, labels))), (DEFAULT_TEMPLATE,), Progress())
    parts = [
        score(one, many, text, logit_scale=backbone.logit_scale, pooling=pooling)[0]
        for one, many in zip(torch.split(image[0], 64), torch.split(image[1], 64), strict=True)
    ]
    return torch.cat(parts).numpy()


def report(backbone: Backbone, name: str, test: TestSet, parts: dict[str, np.ndarray]) -> None:
    """Print the rows of one set: pools by fits, then the labels replaced by synonyms."""
    for part, columns in parts.items():
        print(f"\n{part}: {len(test.paths):,} images, {len(columns)} labels   {PEERS[part]}")
        print(f"{'':10}" + "".join(f"{pool if pool != 'topk' else 'top-8':>9}" for pool in POOLS))
    chosen = [i for i, label in enumerate(test.labels) if label in SYNONYMS]
    for fit in FITS:
        image = embed(backbone, test.paths, fit)
        scores = {pool: scores_of(backbone, image, test.labels, pooling) for pool, pooling in POOLS.items()}
        for part, columns in parts.items():
            cells = (mean_ap(scores[pool][:, columns], test.truth[:, columns]) for pool in POOLS)
            mark = " (default)" if fit == backbone.default_fit else ""
            print(f"{part:12}{fit + mark:18}" + "".join(f"{cell:9.3f}" for cell in cells), flush=True)
        if fit == backbone.default_fit:
            other = [SYNONYMS[test.labels[i]] for i in chosen]
            renamed = scores_of(backbone, image, other, ISR())
            before, after = (
                mean_ap(scores["isr"][:, chosen], test.truth[:, chosen]),
                mean_ap(renamed, test.truth[:, chosen]),
            )
            print(f"{name}: {len(chosen)} labels by their own names {before:.3f}, by synonyms {after:.3f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backbone", default="mini")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder with corel5k/ and nus-wide/")
    parser.add_argument("--coco", type=Path, help="folder with data/ and train.csv of the 40,000 COCO images")
    parser.add_argument("--validation", action="store_true", help="images outside both test sets instead")
    options = parser.parse_args()
    backbone = load_backbone(options.backbone)
    print(f"{backbone.id}   weights {backbone.weights_sha256[:12]}   mAP over labels with images")
    if options.validation:
        print("validation images; the peers' figures are those of the test sets")
    corel = options.data / "corel5k"
    if corel.is_dir():
        test = corel5k(corel, validation=options.validation)
        concepts = set((options.data / "nus-wide/Concepts81.txt").read_text(encoding="utf-8").split("\n"))
        unseen = np.array([i for i, label in enumerate(test.labels) if label in concepts])
        report(backbone, "Corel5k", test, {"Corel5k 260": np.arange(len(test.labels)), "Corel5k 54": unseen})
    else:
        print(f"Corel5k is skipped: there is no {corel}")
    if options.coco is not None and options.coco.is_dir():
        test = coco18(options.coco, validation=options.validation)
        report(backbone, "COCO-18", test, {"COCO-18": np.arange(len(test.labels))})
    else:
        print("COCO-18 is skipped: --coco names no folder")


if __name__ == "__main__":
    main()
