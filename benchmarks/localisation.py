"""Whether patches look where the label is: the pointing game on COCO-18 against a detector's boxes.

A hit: the place that the label's best patch looks at lies in one of the boxes that a detector (YOLOX-nano, trained on
COCO's boxes) draws for it. The place is where the patch's gradient on the pixels is centred: with TensorFlow's padding
that is not the middle of its cell. The peers are a patch drawn at random and the patch that boxes of the label cover
most often in other images. Images whose label the detector does not find, or covers with half of the picture,
say nothing about localisation and are left out of the second figure.
``python benchmarks/localisation.py --coco FOLDER``; needs the package ``onnxruntime``.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from backbone_quality import COCO_CLASSES, TestSet, coco18, embed
from PIL import Image

from c2srt_cli.backbone.registry import Backbone, load_backbone
from c2srt_cli.backbone.tower import Tokens
from c2srt_cli.embeddings.text import embed_labels
from c2srt_cli.labels import DEFAULT_TEMPLATE, Label, LabelSet
from c2srt_cli.progress import Progress

SIDE = 416
#: Objectness times class probability from which a box counts.
CONFIDENT = 0.3
#: A label covering more of the picture than this is hit by any patch.
SMALL = 0.5


class Detector:
    """The boxes of the 18 classes, in shares of the picture's sides."""

    def __init__(self, path: Path, threads: int) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self._input = self._session.get_inputs()[0].name
        names = (path.parent.parent / "coco/names80.txt").read_text(encoding="utf-8").splitlines()
        sides = {stride: SIDE // stride for stride in (8, 16, 32)}
        self._cells = np.concatenate(
            [np.stack(np.meshgrid(*2 * [np.arange(n)]), -1).reshape(-1, 2) for n in sides.values()]
        )
        self._strides = np.concatenate([np.full((n * n, 1), stride) for stride, n in sides.items()])
        self._columns = [5 + names.index(name) for name in COCO_CLASSES.values()]

    def boxes(self, path: Path) -> list[np.ndarray]:
        """For each class ``(K, 4)``: left, top, right, bottom."""
        with Image.open(path) as file:
            image = file.convert("RGB")
        scale = SIDE / max(image.size)
        width, height = round(image.width * scale), round(image.height * scale)
        canvas = np.full((SIDE, SIDE, 3), 114, np.float32)
        canvas[:height, :width] = np.asarray(image.resize((width, height), Image.Resampling.BILINEAR))[..., ::-1]
        (out,) = self._session.run(None, {self._input: canvas.transpose(2, 0, 1)[None]})
        rows = out[0]  # (3549, 85): centre from the cell's corner, logarithm of the size, objectness, classes
        score = rows[:, 4:5] * rows[:, self._columns]
        centre, half = (rows[:, :2] + self._cells) * self._strides, np.exp(rows[:, 2:4]) * self._strides / 2
        corners = np.concatenate([centre - half, centre + half], 1)
        corners = (corners / [width, height, width, height]).clip(0, 1)
        return [corners[score[:, i] >= CONFIDENT] for i in range(len(self._columns))]


def gaze(backbone: Backbone, side: int) -> float:
    """Where in its cell a patch looks, as a share of the cell's side: the centre of its gradient on noise."""
    torch.manual_seed(0)
    size, depth, middle = backbone.image_size, backbone.tower.depth, side // 2
    pixels = torch.randn(4, 3, size, size, requires_grad=True)
    tokens = backbone.tower.run(Tokens(backbone.tower.stem(pixels)), 0, depth, None)
    assert tokens.x is not None
    backbone.tower.project(tokens.x)[:, middle * side + middle].square().sum().backward()  # type: ignore[no-untyped-call]
    assert pixels.grad is not None
    weight = pixels.grad.square().sum((0, 1))  # (S, S)
    place = torch.arange(size) + 0.5
    centre = float(((weight.sum(0) + weight.sum(1)) * place).sum() / (2 * weight.sum()))
    return centre * side / size - middle


def covered(boxes: np.ndarray, side: int, offset: float) -> np.ndarray:
    """Which patches look into a box: ``(K, 4)`` to ``(P,)``."""
    centre = ((np.arange(side) + offset) / side).clip(max=1 - 1e-6)
    x, y = (grid.ravel()[:, None] for grid in np.meshgrid(centre, centre))
    inside = (x >= boxes[:, 0]) & (x < boxes[:, 2]) & (y >= boxes[:, 1]) & (y < boxes[:, 3])
    return np.asarray(inside.any(1))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backbone", default="mini")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder with teachers/ and coco/")
    parser.add_argument("--coco", type=Path, help="folder with data/ and train.csv of the 40,000 COCO images")
    parser.add_argument("--images", type=int, default=3000)
    options = parser.parse_args()
    model = options.data / "teachers/coco80-yolox-nano-416.onnx"
    if options.coco is None or not options.coco.is_dir() or not model.exists():
        print("skipped: --coco names no folder" if model.exists() else f"skipped: there is no {model}")
        return
    try:
        detector = Detector(model, torch.get_num_threads())
    except ImportError:
        print("skipped: the package onnxruntime is not installed")
        return
    test = coco18(options.coco)
    test = TestSet(test.paths[: options.images], test.labels, test.truth[: options.images])
    backbone = load_backbone(options.backbone)
    # squashed, so that a patch's place in the grid is its place in the picture
    _, patches = embed(backbone, test.paths, "squash")
    text = embed_labels(backbone, LabelSet(tuple(map(Label, test.labels))), (DEFAULT_TEMPLATE,), Progress())
    unit = torch.nn.functional.normalize(text, dim=-1)
    side = round(patches.shape[1] ** 0.5)
    offset = gaze(backbone, side)
    found: list[tuple[int, int, np.ndarray]] = []  # image, class, the patches that boxes cover
    for i, path in enumerate(test.paths):
        boxes = detector.boxes(path)
        found += [(i, int(c), covered(boxes[c], side, offset)) for c in np.flatnonzero(test.truth[i]) if len(boxes[c])]
    found = [(i, c, mask) for i, c, mask in found if mask.any()]
    count = np.zeros((len(test.labels), side * side))
    for _, c, mask in found:
        count[c] += mask
    rows = []
    for i, c, mask in found:
        best = int((torch.nn.functional.normalize(patches[i].float(), dim=-1) @ unit[c]).argmax())
        often = int((count[c] - mask).argmax())  # in the other images
        rows.append((c, mask.mean(), mask[best], mask.mean(), mask[often]))
    table = np.array(rows, float)
    print(f"{backbone.id}   {side}x{side} patches, {len(test.paths):,} images   share of hits")
    print(f"a patch looks at {offset:.2f} of its cell")
    print(f"{'':34}{'pairs':>7}{'best patch':>12}{'random':>9}{'usual place':>13}")
    small = table[:, 1] <= SMALL
    parts = {"all": table, f"boxes cover at most {SMALL:.0%}": table[small]}
    parts |= {f"  {label}": table[small & (table[:, 0] == c)] for c, label in enumerate(test.labels)}
    for name, part in parts.items():
        best, chance, often = part[:, 2:].mean(0) if len(part) else np.full(3, np.nan)
        print(f"{name:34}{len(part):7}{best:12.3f}{chance:9.3f}{often:13.3f}")


if __name__ == "__main__":
    main()
