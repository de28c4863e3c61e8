"""The JSON files of RAM: ``{"images": [[path, [names…]], …], "classes": [names…]}``.

Recover and Match, arXiv 2503.15337. The classes' names are cleaned for the text encoder; where that changes more than
capitals, the raw name stays as the label's id.
"""

import json
import os
import re
from collections import Counter
from pathlib import Path
from typing import Any

from c2srt_cli.datasets import table
from c2srt_cli.datasets.annotations import Annotations
from c2srt_cli.datasets.coco import UNSEEN_17
from c2srt_cli.datasets.rows import Row
from c2srt_cli.datasets.source import Source, damaged, reading
from c2srt_cli.datasets.unseen import unseen_by_name
from c2srt_cli.errors import InputError
from c2srt_cli.labels import Label, LabelSet, normalise

ORIGIN = "https://github.com/EricTan7/RAM (datasets/json)"
IMAGES = "the dataset that the file names"
PROTOCOLS = ("files", "48-17")
#: Names that a text encoder would not know as they are written.
SPELLING = {
    "habor": "harbor",
    "Solar Pannel": "solar panel",
    "Wind Trubine": "wind turbine",
    "Pusing": "pushing",
    "Other Attchment": "other attachment",
    "AgeLess16": "age less than 16",
    "AgeLess18": "age less than 18",
    "TShirt": "t-shirt",
    "SSBag": "single shoulder bag",
}
#: Images and labels an image, by the number of classes and the split.
KNOWN = {
    (17, "test"): (2729, 1.207),
    (65, "test"): (6392, 2.570),
    (36, "train"): (7000, 4.61),
    (36, "test"): (7000, 4.61),
    (60, "test"): (21823, 5.02),
    (26, "test"): (10000, 5.58),
    (51, "test"): (8317, 8.64),
}


def read(source: Source, protocol: str) -> Annotations:
    """Read one file, or all of a folder; the beginning of a file's name (train, val, test) is its split.

    Under ``files`` the classes of the training files are seen, or all where there is none; under ``48-17`` all but
    COCO's 17. An image in several files has the labels of all of them.

    Raises:
        InputError: files are missing, or not what they should be, or paths need a prefix stripped.
    """
    paths = sorted(source.path.glob("*.json")) if source.path.is_dir() else [source.path]
    if not paths:
        raise InputError("there is no .json in it", where=str(source.path), hint=f"it comes from {ORIGIN}")
    raw: dict[str, None] = {}
    trained: set[str] = set()
    names: dict[str, set[str]] = {}
    splits: dict[str, str] = {}
    for path in paths:
        source.used[path.name] = path
        split = _split(path)
        images, classes = _content(path)
        raw |= dict.fromkeys(classes)
        if split == "train":
            trained |= set(classes)
        outside = Counter(name for _, found in images for name in found if name not in set(classes))
        if outside:
            source.remark(f"{path.name}: names that are no class, dropped: {', '.join(sorted(outside))}")
        inside = [(image, set(found) - outside.keys()) for image, found in images]
        expected = KNOWN.get((len(classes), split), (None, None))
        source.count(f"images of {path.name}", len(inside), expected[0])
        mean = sum(len(found) for _, found in inside) / max(len(inside), 1)
        source.count(f"labels of an image of {path.name}", mean, expected[1])
        for image, found in inside:
            if splits.setdefault(image, split) != split:
                raise damaged(path, [f"{image} is in {splits[image]} too"])
            names.setdefault(image, set()).update(found)
    _check_prefix(source, list(names))
    rows = [Row(path, path, tuple(sorted(found)), splits[path]) for path, found in names.items()]
    plain = LabelSet(tuple(Label(name) for name in raw))
    annotations = table.gather(
        source, rows, plain, source.path if source.path.is_dir() else source.path.parent, "ram-json"
    )
    seen = annotations.seen
    if protocol == "48-17":
        seen = unseen_by_name(plain, UNSEEN_17.split())
    elif protocol == "files" and trained:
        seen = unseen_by_name(plain, set(raw) - trained)
    return annotations.with_labels(LabelSet(tuple(clean(name) for name in raw))).with_seen(seen)


def clean(raw: str) -> Label:
    """A class as a text encoder reads it, in lower case and single words; its raw name as id where that is another."""
    name = SPELLING.get(raw) or re.sub(r"(?<=[a-z])(?=[A-Z0-9])", " ", raw).replace("_", " ").lower()
    return Label(normalise(name), id="" if name.casefold() == raw.casefold() else raw)


def _split(path: Path) -> str:
    for split in ("train", "val", "test"):
        if path.name.lower().startswith(split):
            return split
    raise damaged(path, ["the name of the file begins with none of train, val, test"])


def _content(path: Path) -> tuple[list[tuple[str, list[str]]], list[str]]:
    with reading(path):
        content: Any = json.loads(path.read_bytes())
    try:
        images = [(str(image), [str(name) for name in names]) for image, names in content["images"]]
        classes = [str(name) for name in content["classes"]]
    except (KeyError, TypeError, ValueError) as error:
        raise damaged(path, [f"is not of RAM's form: {type(error).__name__} {error}"]) from None
    if doubles := [name for name, count in Counter(map(str.casefold, classes)).items() if count > 1]:
        raise damaged(path, [f"class {name} stands twice" for name in doubles])
    return images, classes


def _check_prefix(source: Source, paths: list[str]) -> None:
    """Refuse absolute paths of the authors' machine, with what to strip from them."""
    away = [path for path in paths if path.startswith("/") and not path.startswith(source.prefix or "//")]
    if away and not source.images:
        common = os.path.commonpath([os.path.dirname(path) for path in away])  # noqa: PTH120 - of another machine
        raise InputError(
            f"{len(away):,} of {len(paths):,} paths are absolute, of another machine",
            where=str(source.path),
            problems=away[:3],
            hint=f"strip their beginning, as in --prefix {common}/ --root FOLDER",
        )
