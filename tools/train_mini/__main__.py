"""The steps of the recipe, each resumable: ``python -m train_mini STEP --help``."""

import argparse
import json
from copy import deepcopy
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from train_mini.corpus import Photo, read_photos
from train_mini.teacher import load, read_class_names
from train_mini.words import Vocabulary, read_names


def main() -> None:
    """Run one step."""
    parser = argparse.ArgumentParser(prog="train_mini", description=__doc__)
    steps = parser.add_subparsers(dest="step", required=True)
    for name, step in STEPS.items():
        sub = steps.add_parser(name, help=step.__doc__)
        sub.set_defaults(run=step)
        sub.add_argument("--cache", type=Path, required=True, help="folder of everything in between")
        sub.add_argument("--threads", type=int, default=2)
        if name in ("texts", "views", "linear", "image", "calibrate", "baselines"):
            sub.add_argument("--coco", type=Path, required=True, help="folder with data/, train.csv, test.csv")
            sub.add_argument("--flickr", type=Path, required=True, help="folder with images/, captions.txt")
        if name == "teacher":
            sub.add_argument("--lite", type=Path, required=True, help="weights of EfficientNet-Lite2")
        if name in ("texts", "baselines"):
            sub.add_argument("--shared", type=Path, required=True, help="the folder data of the shared data")
        if name in ("texts", "compose"):
            sub.add_argument("--wordnet", type=Path, required=True, help="words.txt of tiny-imagenet-200")
        if name in ("texts", "baselines"):
            sub.add_argument("--minilm", type=Path, required=True, help="folder of all-MiniLM-L6-v2")
        if name == "texts":
            sub.add_argument("--everyday", type=Path, required=True, help="the labels of the demo")
        if name in ("views", "linear"):
            sub.add_argument("--cut", type=int, default=4)
            if name == "views":
                sub.add_argument("--numbers", type=int, nargs="+", default=list(range(8)))
        if name in ("image", "export"):
            sub.add_argument("--name", default=name if name != "export" else "image", help="of the checkpoint")
        if name == "image":
            sub.add_argument("--set", nargs="*", default=[], metavar="OPTION=VALUE", help="change an option")
        if name == "image":
            sub.add_argument("--views", type=int, nargs="*", help="default: all that are there")
            sub.add_argument("--start", help="checkpoint whose averaged weights to start from")
            sub.add_argument("--hold", action="store_true", help="keep every seventh word out, to validate on")
            sub.add_argument("--every", type=int, default=350, help="steps from one validation to the next")
        if name in ("export", "calibrate"):
            sub.add_argument("--out", type=Path, required=True, help="folder of the exported backbone")
        if name == "export":
            sub.add_argument("--text", default="composed", help="checkpoint of the text tower")
            sub.add_argument("--start-share", type=float, default=0.2, help="of the weights training set out from")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    args.run(args)


def teacher(args: argparse.Namespace) -> None:
    """Bring the ImageNet teacher's weights under timm's names."""
    from train_mini.teacher import convert

    torch.save(convert(args.lite), args.cache / "teacher.pt")


def texts(args: argparse.Namespace) -> None:
    """Embed captions, words, names and tokens with the text teacher."""
    from open_clip import SimpleTokenizer

    from train_mini.minilm import MiniLM

    photos = _photos(args)
    decoder = SimpleTokenizer().decoder
    kinds = {
        "classes": read_class_names(args.shared / "teachers/imagenet1k-labels.txt"),
        "vocab": _vocabulary(photos).words,
        "captions": [caption for photo in photos for caption in photo.captions],
        "names": read_names(args.wordnet, args.shared, args.everyday),
        "tokens": [decoder[i].replace("</w>", " ").strip() or "." for i in range(49406)],
    }
    encoder = MiniLM(args.minilm)
    for kind, lines in kinds.items():
        names, out = args.cache / f"{kind}.json", args.cache / f"{kind}.npy"
        if out.exists() and names.exists() and json.loads(names.read_text(encoding="utf-8")) == lines:
            continue
        names.write_text(json.dumps(lines), encoding="utf-8")
        np.save(out, encoder.embed(lines))
        print(kind, len(lines), flush=True)


def views(args: argparse.Namespace) -> None:
    """Run the frozen stages on augmented views."""
    from train_mini.features import cache_view

    out = args.cache / f"cut{args.cut}"
    out.mkdir(exist_ok=True)
    paths = [photo.path for photo in _photos(args)]
    for number in args.numbers:
        cache_view(paths, load(args.cache / "teacher.pt"), out, number, cut=args.cut, seed=0)


def compose(args: argparse.Namespace) -> None:
    """Fit the vectors of the tokens and set the text tower from them."""
    from train_mini import bag
    from train_mini.export import build
    from train_mini.meaning import mend, read_senses
    from train_mini.text import TEXT_CONFIG
    from train_mini.text import compose as set_tower

    kept = TEXT_CONFIG["width"] - 3
    kinds = (*bag.BATCH, "tokens")
    texts = {kind: json.loads((args.cache / f"{kind}.json").read_text(encoding="utf-8")) for kind in kinds}
    targets = {kind: _targets(args.cache, kind) for kind in kinds}
    known = dict(zip(texts["names"], targets["names"], strict=True))
    taught, senses = torch.cat([targets["vocab"], targets["classes"]]), read_senses(args.wordnet)
    for kind in kinds:
        if kind != "captions":
            targets[kind] = mend(texts[kind], targets[kind], senses, known, taught)
        targets[kind] = normalize(targets[kind][:, :kept], dim=-1)
    torch.manual_seed(0)
    model = build()
    set_tower(model, bag.fit(texts, targets, targets.pop("tokens"), bag.Options()))
    own = {n: p.detach() for n, p in model.named_parameters() if not n.startswith(("visual.", "logit_"))}
    torch.save({"average": own}, args.cache / "composed.pt")


def linear(args: argparse.Namespace) -> None:
    """Fit the closed-form projection."""
    from train_mini.linear import fit

    photos = _photos(args)
    rows = np.flatnonzero([not photo.validates for photo in photos])
    features = np.load(args.cache / f"cut{args.cut}" / "features-0.npy", mmap_mode="r")[rows]
    captions, vocabulary = _targets(args.cache, "captions"), _vocabulary(photos)
    first = np.cumsum([0, *(len(photo.captions) for photo in photos)])
    projection = fit(
        torch.from_numpy(features).float(),
        captions=normalize(torch.stack([captions[first[i] : first[i + 1]].mean(0) for i in rows]), dim=-1),
        labels=[vocabulary.of(photos[i].captions) for i in rows],
        vocabulary=_targets(args.cache, "vocab"),
        classes=_targets(args.cache, "classes"),
        head=load(args.cache / "teacher.pt").classifier.weight.detach(),
    )
    torch.save(projection, args.cache / "projection.pt")


def image(args: argparse.Namespace) -> None:
    """Train the image tower."""
    from train_mini.image import Data, Options, Training, train

    options = _options(Options, args.set)
    photos = _photos(args)
    vocabulary = _vocabulary(photos)
    held = np.arange(len(vocabulary.words)) % 7 == 3
    labels = [vocabulary.of(photo.captions) for photo in photos]
    validates = np.array([photo.validates for photo in photos])
    if args.hold:
        labels = [own if v else [w for w in own if not held[w]] for own, v in zip(labels, validates, strict=True)]
    folder = args.cache / f"cut{options.cut}"
    numbers = args.views or sorted(int(path.stem.split("-")[1]) for path in folder.glob("maps-?.npy"))
    zero, step = torch.from_numpy(np.load(folder / "scale.npy"))
    data = Data(
        maps=[np.load(folder / f"maps-{k}.npy", mmap_mode="r") for k in numbers],
        features=[np.load(folder / f"features-{k}.npy", mmap_mode="r") for k in numbers],
        zero=zero,
        step=step,
        captions=_targets(args.cache, "captions"),
        first=np.cumsum([0, *(len(photo.captions) for photo in photos)]),
        classes=_targets(args.cache, "classes"),
        vocabulary=_targets(args.cache, "vocab"),
        labels=labels,
        rows=np.flatnonzero(~validates),
    )
    training = Training(data, load(args.cache / "teacher.pt"), torch.load(args.cache / "projection.pt"), options)
    if args.start:
        training.start(torch.load(args.cache / f"{args.start}.pt")["average"])
    train(training, args.cache / f"{args.name}.pt", np.flatnonzero(validates), held, args.every)


def export(args: argparse.Namespace) -> None:
    """Write the shipped files."""
    from train_mini.export import blend
    from train_mini.export import export as write
    from train_mini.image import Student

    trained, text_tower = (torch.load(args.cache / f"{name}.pt")["average"] for name in (args.name, args.text))
    start = Student(load(args.cache / "teacher.pt"), torch.load(args.cache / "projection.pt"))
    write(blend(trained, start.state_dict(), args.start_share), text_tower, args.out)


def calibrate(args: argparse.Namespace) -> None:
    """Fit the probabilities of an exported backbone."""
    from train_mini.calibrate import calibrate as fit

    fit(f"local-dir:{args.out.absolute()}", args.coco, _photos(args), args.out)


def baselines(args: argparse.Namespace) -> None:
    """Measure chance, ConSE and a linear map on frozen features, on the sets of benchmarks/backbone_quality.py."""
    from backbone_quality import coco18, corel5k, mean_ap

    from train_mini import baselines as b
    from train_mini.minilm import MiniLM

    every = _photos(args)
    photos = [photo for photo in every if not photo.validates]
    teacher, encoder = load(args.cache / "teacher.pt"), MiniLM(args.minilm)
    head = deepcopy(teacher.classifier)

    def embedded(texts: list[str]) -> torch.Tensor:
        return torch.from_numpy(encoder.embed(texts).astype(np.float32))

    classes = embedded(json.loads((args.cache / "classes.json").read_text(encoding="utf-8")))
    stored = np.load(args.cache / "cut4" / "features-0.npy")
    features = torch.from_numpy(stored[[not photo.validates for photo in every]]).float()
    captions = embedded([caption for photo in photos for caption in photo.captions])
    first = np.cumsum([0, *(len(photo.captions) for photo in photos)])
    project = b.linear_map(features, head(features).detach(), captions, first, classes)
    corel, concepts = corel5k(args.shared / "corel5k"), args.shared / "nus-wide/Concepts81.txt"
    known = set(concepts.read_text(encoding="utf-8").split("\n"))
    for name, test, kept in (
        ("Corel5k 260", corel, corel.labels),
        ("Corel5k 54", corel, [label for label in corel.labels if label in known]),
        ("COCO-18", coco := coco18(args.coco), coco.labels),
    ):
        columns = [i for i, label in enumerate(test.labels) if label in kept]
        truth, labels = test.truth[:, columns], embedded([test.labels[i] for i in columns])
        own = b.features_of(test.paths, teacher)
        with torch.inference_mode():
            by_class = b.conse(head(own), classes, labels)
            by_map = normalize(project(own), dim=-1) @ labels.T
        scores = {"chance": np.zeros(truth.shape), "ConSE": by_class.numpy(), "frozen + linear": by_map.numpy()}
        print(name, {kind: round(mean_ap(value, truth), 3) for kind, value in scores.items()}, flush=True)


STEPS = {
    "baselines": baselines,
    "compose": compose,
    "linear": linear,
    "teacher": teacher,
    "texts": texts,
    "views": views,
    "image": image,
    "export": export,
    "calibrate": calibrate,
}


def _photos(args: argparse.Namespace) -> list[Photo]:
    return read_photos(args.coco, args.flickr)


def _vocabulary(photos: list[Photo]) -> Vocabulary:
    return Vocabulary([photo.captions for photo in photos if not photo.validates])


def _targets(cache: Path, kind: str) -> Tensor:
    """The teacher's embeddings in the joint space: unit rows ``(N, D)``."""
    from train_mini.export import DIM
    from train_mini.space import SHARES, principal

    def centred(name: str) -> Tensor:
        return normalize(torch.from_numpy(np.load(cache / f"{name}.npy").astype(np.float32)) - mean, dim=-1)

    # what everyday words and classes have in common tells none from another
    common = [torch.from_numpy(np.load(cache / f"{part}.npy").astype(np.float32)) for part in ("vocab", "classes")]
    mean = torch.cat(common).mean(0)
    stored = cache / "space.pt"
    if not stored.exists():
        torch.save(principal({name: centred(name) for name in SHARES}, DIM), stored)
    return normalize(centred(kind) @ torch.load(stored), dim=-1)


def _options(kind: Any, changes: list[str]) -> Any:
    types = {field.name: field.type for field in fields(kind)}
    given = dict(change.split("=") for change in changes)
    return kind(**{name: (int if types[name] in (int, "int") else float)(value) for name, value in given.items()})


if __name__ == "__main__":
    main()
