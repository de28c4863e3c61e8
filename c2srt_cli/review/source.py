"""What is to be looked at: tags from a file, or embeddings that are tagged on the way."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

from c2srt_cli.artifacts import Stamp
from c2srt_cli.errors import InputError, UsageError
from c2srt_cli.labels import read_labels
from c2srt_cli.progress import Progress
from c2srt_cli.review.options import ReviewOptions
from c2srt_cli.tagging.decision import Rule
from c2srt_cli.tagging.model import holds_embeddings
from c2srt_cli.tagging.options import TagOptions
from c2srt_cli.tagging.parts.part import TagDataset
from c2srt_cli.tagging.reading import open_tags, read_reasons
from c2srt_cli.tagging.record import FailedImage, TaggedImage
from c2srt_cli.tagging.sources import Item
from c2srt_cli.tagging.tag import prepare_tagging
from c2srt_cli.tagging.tagger import tag_images
from c2srt_cli.tagging.targets import finished


@dataclass(frozen=True)
class Tagged:
    """Images with their tags.

    Attributes:
        title: What the page is called.
        root: The folder that their paths are relative to.
        labels: Those to show, in this order; None for those that turn out to be given.
        scored: The labels of `TaggedImage.scores`.
        total: How many they are, where that is known.
        images: Read as they are asked for, with the reasons of their tags where these are known.
        sha256: Of the images' files when they were tagged, as far as it is known.
        rule: The fields of the `Rule` that chose the tags; none where it is not known.
        fit: How the pictures became squares, or None.
        grid: Height and width of the map of patches on these, or None.
        problems: Gets the images that have no tags.
    """

    title: str
    root: Path
    labels: tuple[str, ...] | None
    scored: tuple[str, ...]
    total: int | None
    images: Iterable[TaggedImage]
    sha256: Mapping[str, str]
    rule: Mapping[str, Any]
    fit: str | None
    grid: tuple[int, int] | None
    problems: list[FailedImage]


@contextmanager
def open_source(options: ReviewOptions, progress: Progress) -> Iterator[Tagged]:
    """Open what the user names; its images are read within the block.

    Raises:
        InputError: it is missing, damaged, or of other labels.
        UsageError: options are given that do not go with it.
    """
    embeddings = holds_embeddings(options.source)
    others = {
        "--explain": embeddings and options.explain is not None,
        "--run": not embeddings and options.run is not None,
        "--profile": not embeddings and options.profile is not None,
        "--graph": not embeddings and options.graph is not None,
        "--backbone": not embeddings and options.backbone is not None,
        "--preset, --threshold, --top-k": not embeddings and options.rule != Rule(),
    }
    if given := [name for name, wrong in others.items() if wrong]:
        what = "embeddings: their reasons are worked out" if embeddings else "tags: they are shown as they were given"
        raise UsageError(f"does not go with {what}", where=", ".join(given), hint="leave it out")
    if embeddings:
        with _embeddings(options, progress) as tagged:
            yield tagged
        return
    made, stamps = _made(options.source)
    with open_tags(options.source) as tags:
        if options.root is None and "root" not in made:
            raise InputError(
                "nothing says where the photographs are: it was not written by c2srt tag --out, or has changed since",
                where=str(options.source),
                hint="name their folder: --root PHOTOS",
            )
        root = (options.root or Path(made["root"])).absolute()
        grid, reasons = (None, {}) if options.explain is None else read_reasons(options.explain)
        yield Tagged(
            title=root.name or options.source.name,
            root=root,
            labels=None if options.labels is None else read_labels(options.labels).names,
            scored=tags.scored,
            total=len(stamps) or None,
            images=(_with_reasons(image, reasons) for image in tags.images),
            sha256={name: stamp.sha256 for name, stamp in stamps.items()},
            rule=made.get("rule") or {},
            fit=(made.get("pixels") or {}).get("fit"),
            grid=grid,
            problems=[],
        )


def _made(source: Path) -> tuple[Mapping[str, Any], Mapping[str, Stamp]]:
    """What is known of tags beside them: the options that they were given under, and the versions of the images."""
    if source.is_dir():
        dataset = TagDataset.open(source)
        return dataset.options, dataset.stamps
    there = finished(source) if source.is_file() else None
    return ({}, {}) if there is None else (there.options, there.images)


@contextmanager
def _embeddings(options: ReviewOptions, progress: Progress) -> Iterator[Tagged]:
    if options.labels is None:
        raise UsageError(
            "embeddings have no tags yet", where=str(options.source), hint="give --labels: they are scored"
        )
    job = prepare_tagging(
        TagOptions(
            inputs=(str(options.source),),
            labels=options.labels,
            root=options.root,
            run=options.run,
            profile=options.profile,
            graph=options.graph,
            backbone=options.backbone,
            rule=options.rule,
            all_scores=True,
            explain=options.out,
            machine=options.machine,
        ),
        progress,
    )
    problems = list(job.source.problems)

    def images(batches: Iterable[list[tuple[Item, TaggedImage | FailedImage]]]) -> Iterator[TaggedImage]:
        for _, result in chain.from_iterable(batches):
            if isinstance(result, FailedImage):
                problems.append(result)
            else:
                yield result

    with closing(tag_images(job, job.source.items, Progress(note=progress.note))) as found:
        yield Tagged(
            title=options.source.name,
            root=job.source.root.absolute(),
            labels=job.labels.names,
            scored=job.labels.names,
            total=len(job.source.items),
            images=images(found),
            sha256={item.name: item.stamp.sha256 for item in job.source.items},
            rule=asdict(job.rule),
            fit=job.pixels["fit"],
            grid=job.grid,
            problems=problems,
        )


def _with_reasons(image: TaggedImage, reasons: Mapping[str, list[dict[str, Any]]]) -> TaggedImage:
    """The image with what is known of its tags; tags of which nothing is known have no reasons."""
    if image.path not in reasons:
        return image
    known = {entry["label"]: entry for entry in reasons[image.path]}
    none: dict[str, Any] = {"patches": [], "sources": []}
    return replace(image, explanation=[known.get(tag.label, none) for tag in image.tags])
