"""The stage behind ``c2srt review``: tags → a page to look at, to correct and to save the corrections from."""

from collections.abc import Iterable, Mapping
from itertools import chain, islice
from pathlib import Path
from typing import Any

from c2srt_cli.artifacts import (
    LOCK,
    MANIFEST,
    UNFINISHED,
    disk_errors,
    fingerprint,
    lock,
    manifest,
    previous_manifest,
    remove_leftovers,
    write_json,
)
from c2srt_cli.errors import ImageError, InputError, Interrupted, counted
from c2srt_cli.progress import Progress
from c2srt_cli.review.options import ReviewOptions, ReviewResult
from c2srt_cli.review.page import PAGE, address, write_page
from c2srt_cli.review.ranking import Ranking
from c2srt_cli.review.source import Tagged, open_source
from c2srt_cli.review.thumbnails import Thumbnail, forget_others, make_thumbnails, thumbnail_path
from c2srt_cli.tagging.record import FailedImage, Tag, TaggedImage

KIND, SCHEMA = "review", 1
#: Photographs whose scores are held at once, between two looks at whether the user wants to stop.
CHUNK = 64
#: Decimals of scores and probabilities on the page.
DIGITS = 4


def review(options: ReviewOptions, progress: Progress) -> ReviewResult:
    """Write the page of some tags, or bring it up to date.

    Thumbnails that are there are kept; verdicts are the browser's, and not touched.

    Raises:
        InputError: the tags cannot be read, none of their photographs can, or the folder holds something else.
        Interrupted: the user stopped it; a rerun goes on with the thumbnails that are missing.
        UsageError: options contradict each other, or another process is writing there.
    """
    with open_source(options, progress) as tagged:
        return write_review(tagged, options.out, options.machine.decode_threads, progress)


def write_review(tagged: Tagged, out: Path, workers: int, progress: Progress) -> ReviewResult:
    """`review` of images whose tags are known.

    Args:
        tagged: They and their tags.
        out: The folder of the page.
        workers: Threads that decode.
        progress: Callbacks.
    """
    with disk_errors(out):
        previous_manifest(out, KIND)
        images = iter(tagged.images)
        first = next(images, None)
        if first is None:
            raise InputError("there is no tagged photograph in it", where=tagged.title)
        with lock(out / LOCK):
            remove_leftovers(out)
            made = manifest(KIND, SCHEMA, {"root": str(tagged.root), "source": tagged.title}, {})
            write_json(out / UNFINISHED, made)
            (out / MANIFEST).unlink(missing_ok=True)
            result = _write(tagged, chain([first], images), out, workers, progress)
            write_json(out / MANIFEST, made)
            (out / UNFINISHED).unlink()
    return result


def begin_page(out: Path) -> None:
    """Make a folder that of a page, before what it shows is tagged.

    Raises:
        InputError: it holds something else.
    """
    with disk_errors(out):
        previous_manifest(out, KIND)
        if not (out / MANIFEST).exists():
            out.mkdir(parents=True, exist_ok=True)
            write_json(out / UNFINISHED, manifest(KIND, SCHEMA, {}, {}))


def _write(tagged: Tagged, images: Iterable[TaggedImage], out: Path, workers: int, progress: Progress) -> ReviewResult:
    failures: list[FailedImage] = []
    ranking = Ranking(tagged.labels, tagged.scored)
    photographs: list[list[Any]] = []
    reasons: list[list[Any]] = []
    thumbnails: list[Thumbnail] = []
    done = changed = 0
    rest = iter(images)
    while part := list(islice(rest, CHUNK)):
        names = [image.path for image in part]
        made = make_thumbnails(out, tagged.root, names, tagged.sha256, workers)
        for image, found in zip(part, made, strict=True):
            if isinstance(found, ImageError):
                failures.append(FailedImage(image.path, found.reason, found.detail))
                continue
            ranking.add(len(photographs), image)
            photographs.append([image.path, found.sha256, found.width, found.height])
            reasons.append(_reasons(image))
            thumbnails.append(found)
            changed += tagged.sha256.get(image.path, found.sha256) != found.sha256
        done += len(part)
        progress.advance(done, tagged.total or done)
        if progress.stopped() and done != tagged.total:
            raise Interrupted(f"{counted(done, 'photograph')} have their thumbnail")
    failures += tagged.problems
    if not photographs:
        raise InputError(
            "none of its photographs can be read there",
            where=str(tagged.root),
            problems=[f"{failure.path}: {failure.detail}" for failure in failures[:3]],
            hint="say where they are now: --root PHOTOS",
        )
    labels, given, others = ranking.lists()
    data = {
        "id": fingerprint(str(tagged.root))[:16],
        "title": tagged.title,
        "root": address(tagged.root, out),
        "fit": tagged.fit,
        "grid": tagged.grid,
        "rule": {name: tagged.rule.get(name) for name in ("threshold", "top_k")} if tagged.rule else None,
        "labels": labels,
        "photographs": photographs,
        "given": [[_given(number, tag) for number, tag in one] for one in given],
        "others": [[[number, round(score, DIGITS)] for number, score in one] for one in others],
    }
    write_page(out, data, reasons if any(reasons) else [])
    forget_others(out, {thumbnail_path(one.sha256) for one in thumbnails})
    new = sum(one.made for one in thumbnails)
    return ReviewResult(out / PAGE, len(photographs), len(labels), new, changed, tuple(failures))


def _given(number: int, tag: Tag) -> list[float | None]:
    """Photograph, score, probability, share."""
    numbers = (tag.score, tag.probability, tag.share)
    return [number, *(None if one is None else round(one, DIGITS) for one in numbers)]


def _reasons(image: TaggedImage) -> list[list[Any]]:
    """For each tag of an image its label, the rows and columns of its patches, and who spoke for it."""
    if image.explanation is None:
        return []
    return [
        [tag.label, [_place(patch) for patch in entry["patches"]], [_speaker(one) for one in entry["sources"]]]
        for tag, entry in zip(image.tags, image.explanation, strict=True)
        if entry["patches"] or entry["sources"]
    ]


def _place(patch: Mapping[str, Any]) -> list[int]:
    return [patch["row"], patch["col"]]


def _speaker(source: Mapping[str, Any]) -> list[Any]:
    return [source["label"], source["relation"], round(source["attention"], DIGITS)]
