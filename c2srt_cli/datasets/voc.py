"""PASCAL VOC from one year's official folder: ``ImageSets/Main``, ``Annotations/*.xml``, ``JPEGImages``.

M. Everingham et al., The PASCAL visual object classes challenge, IJCV 2010. Objects marked as difficult do not count.
"""

from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from c2srt_cli.datasets.annotations import Annotations, Incidence
from c2srt_cli.datasets.source import Source, damaged, read_lines, reading
from c2srt_cli.labels import Label, LabelSet

ORIGIN = "http://host.robots.ox.ac.uk/pascal/VOC/"
PROTOCOLS: tuple[str, ...] = ()
_NAMES = """
    aeroplane bicycle bird boat bottle bus car cat chair cow diningtable dog horse motorbike person pottedplant sheep
    sofa train tvmonitor
"""
NAMES = tuple(_NAMES.split())
#: What a text encoder reads where VOC writes two words as one, or in the British way.
SYNONYMS = {
    "aeroplane": ("airplane",),
    "diningtable": ("dining table",),
    "motorbike": ("motorcycle",),
    "pottedplant": ("potted plant",),
    "sofa": ("couch",),
    "tvmonitor": ("tv monitor",),
}


def read(source: Source, protocol: str) -> Annotations:
    """Read ``trainval`` and ``test``; where a year has no public test set, ``train`` and, for testing, ``val``.

    All labels are seen.

    Raises:
        InputError: files are missing, or not what they should be.
    """
    del protocol
    public = (source.path / "ImageSets/Main/test.txt").is_file()
    if not public and (source.path / "ImageSets/Main/val.txt").is_file():
        parts = {"train": "train", "test": "val"}
        source.remark("there is no test.txt: train is for training, val for testing")
    else:
        parts = {"train": "trainval", "test": "test"}
    files = source.files({f"ImageSets/Main/{part}.txt": ORIGIN for part in parts.values()})
    listed = [(name, number) for name, path in zip(parts, files, strict=True) for number in read_lines(path)]
    if doubles := len(listed) - len({number for _, number in listed}):
        raise damaged(files[-1], [f"{doubles} images stand twice in the lists"])
    described = source.files({f"Annotations/{number}.xml": ORIGIN for _, number in listed})
    source.count("classes", len(NAMES), 20)
    return Annotations(
        source.root(source.path),
        LabelSet(tuple(Label(name, SYNONYMS.get(name, ())) for name in NAMES)),
        np.ones(len(NAMES), dtype=bool),
        tuple(f"JPEGImages/{number}.jpg" for _, number in listed),
        np.array([name for name, _ in listed], dtype="U5"),
        Incidence.from_lists([_objects(path) for path in described]),
        Incidence.empty(len(listed)),
        complete=True,
        dataset="voc",
    )


def _objects(path: Path) -> set[int]:
    """The labels of the objects that are not difficult."""
    with reading(path):
        data = path.read_bytes()
    if b"<!" in data.replace(b"<!--", b""):  # entities can be made to fill the memory
        raise damaged(path, ["declares entities or a document type, which VOC's files do not"])
    try:
        objects = ElementTree.fromstring(data).findall("object")  # noqa: S314 - see above
    except ElementTree.ParseError as error:
        raise damaged(path, [f"is not XML: {error}"]) from None
    found, problems = set(), []
    for one in objects:
        name = (one.findtext("name") or "").strip().lower()
        if name not in NAMES:
            problems.append(f"{name!r} is no class of VOC")
        elif (one.findtext("difficult") or "0").strip() != "1":
            found.add(NAMES.index(name))
    if problems:
        raise damaged(path, problems)
    return found
