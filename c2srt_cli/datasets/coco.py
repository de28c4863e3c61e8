"""MS-COCO from its official ``instances_{train,val}2014.json`` (or 2017): train is for training, val for testing.

48/17: A. Bansal et al., Zero-shot object detection, ECCV 2018. 65/15: S. Rahman et al., Polarity loss for zero-shot
object detection, 2018.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np

from c2srt_cli.datasets.annotations import Annotations, Incidence
from c2srt_cli.datasets.source import Source, damaged, reading
from c2srt_cli.datasets.unseen import unseen_by_name
from c2srt_cli.labels import Label, LabelSet, normalise

ORIGIN = "http://images.cocodataset.org/annotations/annotations_trainval{year}.zip"
IMAGES = "http://images.cocodataset.org/zips/ (train2014.zip, val2014.zip)"
PROTOCOLS = ("48-17", "65-15")
UNSEEN_17 = """
    airplane bus cat dog cow elephant umbrella tie snowboard skateboard cup knife cake couch keyboard sink scissors
"""
SEEN_48 = """
    person bicycle car motorcycle train truck boat bench bird horse sheep bear zebra giraffe backpack handbag suitcase
    frisbee skis kite surfboard bottle fork spoon bowl banana apple sandwich orange broccoli carrot pizza donut chair
    bed toilet tv laptop mouse remote microwave oven toaster refrigerator book clock vase toothbrush
"""
UNSEEN_15 = """
    airplane train parking_meter cat bear suitcase frisbee snowboard fork sandwich hot_dog toilet mouse
    toaster hair_drier
"""


def read(source: Source, protocol: str) -> Annotations:
    """Read which categories each image has an instance of; ``48-17`` keeps those 65 of the 80 categories.

    Raises:
        InputError: files are missing, or not what they should be.
    """
    year = "2017" if _there(source, "2017") and not _there(source, "2014") else "2014"
    parts = {"train": f"train{year}", "test": f"val{year}"}
    files = source.files({f"annotations/instances_{part}.json": ORIGIN.format(year=year) for part in parts.values()})
    contents = [_instances(path) for path in files]
    categories = {number: name for content in contents for number, name in content[0].items()}
    kept = {*SEEN_48.split(), *UNSEEN_17.split()} if protocol == "48-17" else set(categories.values())
    if lacking := sorted(kept - set(categories.values())):
        raise damaged(files[0], [f"there is no category {name}" for name in lacking])
    numbers = [number for number in sorted(categories) if categories[number] in kept]
    places = {number: place for place, number in enumerate(numbers)}
    labels = LabelSet(tuple(Label(categories[number]) for number in numbers))
    paths: list[str] = []
    split: list[str] = []
    lists: list[set[int]] = []
    for (name, part), (_, images, instances) in zip(parts.items(), contents, strict=True):
        paths += [f"{part}/{file}" for file in images.values()]
        split += [name] * len(images)
        found: dict[int, set[int]] = {number: set() for number in images}
        for image, category in instances:
            if category in places:
                found[image].add(places[category])
        lists += found.values()
    seen = np.ones(len(labels), dtype=bool)
    if protocol:
        unseen = [name.replace("_", " ") for name in (UNSEEN_17 if protocol == "48-17" else UNSEEN_15).split()]
        seen = unseen_by_name(labels, unseen)
        source.count("unseen categories", int((~seen).sum()), int(protocol[-2:]))
        source.count("seen categories", int(seen.sum()), int(protocol[:2]))
    if protocol == "48-17":
        source.remark(
            "published 48/17 tables test on lists of their own (2,729 images for ZSL, 6,392 for GZSL), not on all "
            "of val: to compare with them read those lists with ram-json"
        )
    source.count("categories", len(categories), 80)
    return Annotations(
        source.root(source.path),
        labels,
        seen,
        tuple(paths),
        np.array(split, dtype="U5"),
        Incidence.from_lists(lists),
        Incidence.empty(len(lists)),
        complete=True,
        dataset="coco",
    )


def _there(source: Source, year: str) -> bool:
    names = (f"instances_train{year}.json", f"instances_val{year}.json")
    return any((source.path / folder / name).is_file() for folder in ("annotations", ".") for name in names)


def _instances(path: Path) -> tuple[dict[int, str], dict[int, str], list[tuple[int, int]]]:
    """Categories by id, file names by the id of the image, and pairs of an image and a category."""
    with reading(path):
        content: Any = json.loads(path.read_bytes())
    try:
        categories = {int(one["id"]): normalise(one["name"]) for one in content["categories"]}
        images = {int(one["id"]): str(one["file_name"]) for one in content["images"]}
        instances = [(int(one["image_id"]), int(one["category_id"])) for one in content["annotations"]]
    except (KeyError, TypeError, ValueError) as error:
        raise damaged(path, [f"is no file of instances: {type(error).__name__} {error}"]) from None
    problems = [f"image {number} has instances, but is not listed" for number, _ in instances if number not in images]
    problems += [f"category {number} has no name" for number in sorted({c for _, c in instances} - categories.keys())]
    if len(images) < len(content["images"]):
        problems.append("images stand twice")
    if problems:
        raise damaged(path, problems)
    return categories, images, instances
