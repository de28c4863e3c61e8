"""The photographs with captions, and which of them may be trained on."""

import csv
import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

COCO_TESTS = 3000
#: Every so-many-th photograph, in the order of the sha1 of its name, validates choices.
VALIDATION_SHARE = 20


@dataclass(frozen=True, slots=True)
class Photo:
    """A photograph: its file, its captions, and whether it validates choices instead of being trained on."""

    path: Path
    captions: tuple[str, ...]
    validates: bool


def coco_test_names(coco: Path) -> set[str]:
    """The COCO-18 test photographs: of the labelled ones, the 3,000 with the smallest sha1 of the file name."""
    labelled = re.findall(r"^(\d+\.jpg),[\d ]+,", (coco / "train.csv").read_text(encoding="utf-8"), re.MULTILINE)
    return set(sorted(labelled, key=_sha1)[:COCO_TESTS])


def read_photos(coco: Path, flickr: Path) -> list[Photo]:
    """All photographs that may be seen: COCO without the test photographs, then Flickr8k, each by name.

    The human labels of ``train.csv`` are skipped over, never returned.
    """
    tests = coco_test_names(coco)
    captions: dict[str, str] = {}
    for name in ("train.csv", "test.csv"):
        text = (coco / name).read_text(encoding="utf-8")
        parts = re.split(r"^(\d+\.jpg),(?:[\d ]+,)?", text, flags=re.MULTILINE)
        captions |= {photo: _clean(caption) for photo, caption in zip(parts[1::2], parts[2::2], strict=True)}
    photos = [
        Photo(coco / "data" / name, (captions[name],), _validates(name))
        for name in sorted(captions.keys() - tests, key=lambda name: int(name.removesuffix(".jpg")))
    ]
    grouped: dict[str, list[str]] = {}
    with (flickr / "captions.txt").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            grouped.setdefault(row["image"], []).append(_clean(row["caption"]))
    return photos + [
        Photo(flickr / "images" / name, tuple(grouped[name]), _validates(name)) for name in sorted(grouped)
    ]


def _clean(caption: str) -> str:
    return re.sub(r"\s+", " ", caption.replace('"', " ")).strip(" .,").lower()


def _sha1(name: str) -> str:
    return hashlib.sha1(name.encode(), usedforsecurity=False).hexdigest()


def _validates(name: str) -> bool:
    return int(_sha1(name + "#"), 16) % VALIDATION_SHARE == 0
