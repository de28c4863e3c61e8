"""Open Images V4 from its official CSVs: 7,186 trainable classes are seen, 400 others unseen; MIDs are the keys.

A. Kuznetsova et al., The Open Images Dataset V4, IJCV 2020; the 400 unseen classes, each with at least 75 verified
test images, as in D. Huynh and E. Elhamifar, A shared multi-attention framework for multi-label zero-shot
learning, CVPR 2020.
"""

from collections import Counter
from pathlib import Path

import numpy as np

from c2srt_cli.datasets.annotations import Annotations, Incidence
from c2srt_cli.datasets.source import Source, damaged, read_lines, reading
from c2srt_cli.labels import Label, LabelSet, normalise

BASE = "https://storage.googleapis.com/openimages/2018_04"
IMAGES = "https://open-images-dataset.s3.amazonaws.com/{train,validation,test}/IMAGE_ID.jpg"
PROTOCOLS = ("7186-400",)
#: The official names of the splits, and ours.
SPLITS = {"train": "train", "validation": "val", "test": "test"}


def read(source: Source, protocol: str) -> Annotations:
    """Read the labels that humans verified, present or absent; whatever nobody verified is unknown.

    A label that was found both present and absent counts as present. Names repeat: a label's id is its MID.

    Raises:
        InputError: files are missing, or not what they should be.
    """
    del protocol
    trainable_path, names_path, *tables = source.files(
        {name: f"{BASE}/{name}" for name in ("classes-trainable.txt", "class-descriptions.csv")}
        | {f"{part}/{part}-annotations-human-imagelabels.csv": _origin(part) for part in SPLITS}
    )
    trainable = read_lines(trainable_path)
    unseen = read_lines(Path(__file__).with_name("open_images_unseen.txt"))
    mids = [*trainable, *unseen]
    names = _names(names_path)
    doubles = sorted(mid for mid, count in Counter(mids).items() if count > 1)
    problems = [f"{mid} stands twice, or is unseen too" for mid in doubles]
    problems += [f"{mid} has no name in {names_path.name}" for mid in mids if mid not in names]
    if problems:
        raise damaged(trainable_path, problems)
    labels = LabelSet(tuple(Label(names[mid], id=mid) for mid in mids))

    paths: list[str] = []
    split: list[str] = []
    pairs: dict[bool, list[tuple[np.ndarray, np.ndarray]]] = {True: [], False: []}
    for (part, name), path in zip(SPLITS.items(), tables, strict=True):
        images, rows, columns, present = _verified(path, mids)
        for value, found in pairs.items():
            found.append((rows[present == value] + len(paths), columns[present == value]))
        paths += [f"{part}/{image}.jpg" for image in images]
        split += [name] * len(images)
    positive, absent = (
        Incidence.from_pairs(
            np.concatenate([rows for rows, _ in pairs[value]]),
            np.concatenate([columns for _, columns in pairs[value]]),
            len(paths),
        )
        for value in (True, False)
    )
    negative = _without(absent, positive, len(mids))
    annotations = Annotations(
        source.root(source.path),
        labels,
        np.arange(len(mids)) < len(trainable),
        tuple(paths),
        np.array(split, dtype="U5"),
        positive,
        negative,
        complete=False,
        dataset="open-images",
    )
    source.count("labels found both present and absent, now present", len(absent.labels) - len(negative.labels))
    _count(source, annotations, len(trainable))
    return annotations


def _origin(part: str) -> str:
    return f"{BASE}/{part}/{part}-annotations-human-imagelabels.csv"


def _names(path: Path) -> dict[str, str]:
    """Name of each MID; some names are quoted and hold commas, so a line is cut at its first comma only."""
    cells = [line.split(",", 1) for line in read_lines(path)]
    if wrong := [number for number, cell in enumerate(cells, 1) if len(cell) != 2]:
        raise damaged(path, [f"line {number}: no comma between MID and name" for number in wrong])
    return {mid: normalise(name.strip().strip('"').replace('""', '"')) for mid, name in cells}


def _verified(path: Path, mids: list[str]) -> tuple[list[str], np.ndarray, np.ndarray, np.ndarray]:
    """The ids of all images, and of every row of a known class: image, class, whether present."""
    import pyarrow as pa
    import pyarrow.compute as pc
    from pyarrow import csv

    name = pa.dictionary(pa.int32(), pa.string())
    types = {"ImageID": name, "LabelName": name, "Confidence": pa.float64()}
    with reading(path):
        table = csv.read_csv(
            path, convert_options=csv.ConvertOptions(include_columns=list(types), column_types=types)
        ).unify_dictionaries()
        if not len(table):
            return [], np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, bool)
        images, classes = (table[column].combine_chunks() for column in ("ImageID", "LabelName"))
        columns = pc.index_in(classes.dictionary, pa.array(mids)).fill_null(-1).to_numpy()[classes.indices.to_numpy()]
        confidence = table["Confidence"].to_numpy()
    if not np.isin(confidence, (0.0, 1.0)).all():
        row = int(np.flatnonzero(~np.isin(confidence, (0.0, 1.0)))[0])
        raise damaged(path, [f"line {row + 2}: Confidence is {confidence[row]}, where humans verify as 0 or 1"])
    known = columns >= 0
    return images.dictionary.to_pylist(), images.indices.to_numpy()[known], columns[known], confidence[known] == 1


def _without(first: Incidence, second: Incidence, width: int) -> Incidence:
    """The labels of the first that are not in the second, where there are ``width`` labels."""
    rows, others = (np.repeat(np.arange(len(part)), part.lengths) for part in (first, second))
    kept = ~np.isin(rows * width + first.labels, others * width + second.labels)
    return Incidence.from_pairs(rows[kept], first.labels[kept], len(first))


def _count(source: Source, annotations: Annotations, seen: int) -> None:
    labels, test = annotations.labels, annotations.rows("test")
    source.count("classes, seen", seen, 7186)
    source.count("classes, unseen", len(labels) - seen, 400)
    train = annotations.rows("train")
    known = [part.select(train) for part in (annotations.positive, annotations.negative)]
    owners = [np.repeat(np.arange(len(train)), part.lengths)[part.labels < seen] for part in known]
    source.count("training images with a verified seen class", len(np.unique(np.concatenate(owners))), 5_501_586)
    source.count("test images", len(test), 125_436)
    positive, negative = annotations.positive.select(test), annotations.negative.select(test)
    owner = np.repeat(np.arange(len(test)), positive.lengths)
    unseen = np.bincount(owner[positive.labels >= seen], minlength=len(test))
    if unseen.any():
        source.count("unseen classes of a test image that has one", float(unseen[unseen > 0].mean()), 1.284)
    if positive.lengths.any():
        source.count("classes of a test image that has one", float(positive.lengths[positive.lengths > 0].mean()), 8.68)
    verified = np.unique(np.concatenate([positive.labels, negative.labels]))
    source.count("seen classes with a verified test image", int((verified < seen).sum()), 4728)
    names = [label.name.casefold() for label in labels]
    source.count("names that repeat among the seen classes", seen - len(set(names[:seen])))
    shared = sorted(set(names[:seen]) & set(names[seen:]))
    source.remark(f"names that are both a seen and an unseen class: {', '.join(shared) or 'none'}; the MID is the key")
