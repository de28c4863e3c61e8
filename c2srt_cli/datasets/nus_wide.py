"""NUS-WIDE from its official raw files: 925 user tags are seen, the 81 concepts of the ground truth are unseen.

T.-S. Chua et al., NUS-WIDE: A real-world web image database from National University of Singapore, CIVR 2009; the
925/81 split as in D. Huynh and E. Elhamifar, A shared multi-attention framework for multi-label zero-shot learning,
CVPR 2020, whose code sets the tags that are concepts too to absent: here they are no labels at all.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from c2srt_cli.datasets.annotations import Annotations, Incidence
from c2srt_cli.datasets.source import Source, damaged, read_lines, reading
from c2srt_cli.labels import Label, LabelSet, normalise

ORIGIN = "https://github.com/NExTplusplus/NUS-WIDE"
IMAGES = f"{ORIGIN} (by request)"
PROTOCOLS = ("925-81",)
#: Lines of tags that are decoded at once.
BLOCK = 4096


def read(source: Source, protocol: str) -> Annotations:
    """Read the lists of images, ``AllTags1k.txt`` and the ground truth of the 81 concepts.

    All test images are kept: whether those without an unseen label count is the evaluation's to say.

    Raises:
        InputError: files are missing, or do not fit to each other.
    """
    del protocol
    names = ("ConceptsList/Concepts81.txt", "NUS_WID_Tags/TagList1k.txt", "NUS_WID_Tags/AllTags1k.txt")
    lists = ("ImageList/Imagelist.txt", "ImageList/TrainImagelist.txt", "ImageList/TestImagelist.txt")
    concepts_path, tags_path, matrix_path, all_path, train_path, test_path = source.files(
        dict.fromkeys((*names, *lists), ORIGIN)
    )
    concepts, tags = _words(concepts_path), _words(tags_path)
    truth_paths = source.files({f"Groundtruth/AllLabels/Labels_{concept}.txt": ORIGIN for concept in concepts})
    paths = [_image(line) for line in read_lines(all_path)]
    split = _split(paths, {"train": train_path, "test": test_path}, all_path)
    kept = np.array([tag not in set(concepts) for tag in tags])
    seen = [tag for tag, keep in zip(tags, kept, strict=True) if keep]
    rows, columns = _tags(matrix_path, len(paths), np.where(kept, np.cumsum(kept) - 1, -1))
    for number, path in enumerate(truth_paths):
        present = np.flatnonzero(_truth(path, len(paths)))
        rows.append(present)
        columns.append(np.full(len(present), len(seen) + number))
    annotations = Annotations(
        source.root(source.path / "Flickr"),
        LabelSet(tuple(Label(name) for name in [*seen, *concepts])),
        np.arange(len(seen) + len(concepts)) < len(seen),
        tuple(paths),
        np.array(split, dtype="U5"),
        Incidence.from_pairs(np.concatenate(rows), np.concatenate(columns), len(paths)),
        Incidence.empty(len(paths)),
        complete=True,
        dataset="nus-wide",
    )
    _count(source, annotations, len(tags) - len(seen))
    return annotations


def twins(concepts: list[str], seen: list[str]) -> list[tuple[str, str]]:
    """Concepts and seen tags that are each other's plural: dog and dogs, leaf and leaves."""
    return [
        (concept, tag) for concept in concepts for tag in seen if concept in plurals(tag) or tag in plurals(concept)
    ]


def plurals(word: str) -> set[str]:
    """What the plural of an English word may be."""
    found = {f"{word}s", f"{word}es"}
    if word.endswith("y"):
        found.add(f"{word[:-1]}ies")
    if word.endswith("f"):
        found.add(f"{word[:-1]}ves")
    return found


def _count(source: Source, annotations: Annotations, shared: int) -> None:
    train, test = annotations.rows("train"), annotations.rows("test")
    names = annotations.labels.names
    seen = [name for name, known in zip(names, annotations.seen, strict=True) if known]
    concepts = names[len(seen) :]
    source.count("images", len(annotations), 269_648)
    source.count("training images", len(train), 161_789)
    source.count("test images", len(test), 107_859)
    source.count("concepts, unseen", len(concepts), 81)
    source.count("tags that are concepts too, left out", shared, 75)
    source.count("tags, seen", len(seen), 925)
    positive = annotations.positive.select(test)
    unseen = positive.dense(np.flatnonzero(~annotations.seen)).sum(1)
    labelled = unseen > 0
    if len(test):
        source.count("unseen labels of a test image", float(unseen.mean()), 1.876)
        source.count("labels of a test image", float(positive.lengths.mean()), 6.805)
        source.count("test images with an unseen label (protocol L)", int(labelled.sum()))
    if labelled.any():
        source.count("unseen labels of a test image that has one", float(unseen[labelled].mean()), 2.42)
    pairs = twins(list(concepts), seen)
    source.count("concepts whose singular or plural is a seen tag", len({concept for concept, _ in pairs}))
    if pairs:
        listed = ", ".join(f"{concept} and {tag}" for concept, tag in pairs)
        source.remark(f"the split is not lexically clean, these unseen and seen labels are twins: {listed}")
    source.remark("seen labels are noisy user tags, unseen ones human ground truth")


def _words(path: Path) -> list[str]:
    words = [normalise(line) for line in read_lines(path)]
    if doubles := sorted({word for word in words if words.count(word) > 1}):
        raise damaged(path, [f"{word} stands twice" for word in doubles])
    return words


def _image(line: str) -> str:
    r"""``actor\0001_2124494179.jpg`` → ``actor/0001_2124494179.jpg``."""
    return line.replace("\\", "/")


def _split(paths: list[str], lists: dict[str, Path], all_path: Path) -> list[str]:
    """The split of each image."""
    places: dict[str, list[str]] = {path: [] for path in paths}
    if len(places) < len(paths):
        raise damaged(all_path, [f"{len(paths) - len(places):,} images stand twice"])
    for name, path in lists.items():
        listed = [_image(line) for line in read_lines(path)]
        if strangers := [image for image in listed if image not in places]:
            raise damaged(path, [f"{image} is not in {all_path.name}" for image in strangers])
        for image in listed:
            places[image].append(name)
    if unplaced := [path for path, found in places.items() if len(found) != 1]:
        raise damaged(all_path, [f"{path} is in {len(places[path])} splits, not in one" for path in unplaced])
    return [found[0] for found in places.values()]


def _tags(path: Path, count: int, places: np.ndarray) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Images and seen labels of every 1 in the matrix of tags, where ``places`` has the label of each column."""
    rows: list[np.ndarray] = []
    columns: list[np.ndarray] = []
    start = 0
    for lines in _blocks(path):
        lengths = {len(line) for line in lines}
        if lengths != {2 * len(places)}:
            wrong = next(number for number, line in enumerate(lines) if len(line) != 2 * len(places))
            raise damaged(path, [f"line {start + wrong + 1}: not {len(places)} cells of 0 or 1 with tabs between"])
        cells = np.frombuffer(b"".join(lines), np.uint8).reshape(len(lines), len(places), 2)  # digit, separator
        if bad := np.flatnonzero(
            ((cells[..., 0] & 0xFE) != ord("0")).any(1) | (cells[..., 1] > ord(" ")).any(1)
        ).tolist():
            raise damaged(path, [f"line {start + number + 1}: something else than 0, 1 and tabs" for number in bad])
        row, column = np.nonzero(cells[..., 0] == ord("1"))
        keep = places[column] >= 0
        rows.append(row[keep] + start)
        columns.append(places[column[keep]])
        start += len(lines)
    if start != count:
        raise damaged(path, [f"{start:,} lines for {count:,} images"])
    return rows, columns


def _blocks(path: Path) -> Iterator[list[bytes]]:
    """Lines that hold something, each with one tab at its end, a block at a time."""
    with reading(path), path.open("rb") as file:
        block: list[bytes] = []
        for line in file:
            if stripped := line.strip():
                block.append(stripped + b"\t")
            if len(block) == BLOCK:
                yield block
                block = []
        if block:
            yield block


def _truth(path: Path, count: int) -> np.ndarray:
    with reading(path):
        cells = path.read_bytes().split()
    if len(cells) != count:
        raise damaged(path, [f"{len(cells):,} lines for {count:,} images"])
    if others := set(cells) - {b"0", b"1"}:
        raise damaged(path, [f"{sorted(others)[0]!r} where 0 or 1 should be"])
    return np.array([cell == b"1" for cell in cells], dtype=bool)
