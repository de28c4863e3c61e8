"""Tags and scores in memory."""

import os
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

import numpy as np
from PIL import Image

from c2srt_cli.api.labels import Labels, label_spec
from c2srt_cli.api.random_state import keeps_random_state
from c2srt_cli.embeddings.encoder import Machine
from c2srt_cli.errors import InputError
from c2srt_cli.images import ImageFile, MemoryImage, PixelSpec, find_images
from c2srt_cli.labels import LabelSet, open_labels
from c2srt_cli.progress import Progress
from c2srt_cli.scoring.presets import Preset
from c2srt_cli.tagging.decision import Rule
from c2srt_cli.tagging.job import TagJob
from c2srt_cli.tagging.model import check_rule, open_run
from c2srt_cli.tagging.options import TagOptions
from c2srt_cli.tagging.record import FailedImage, TaggedImage
from c2srt_cli.tagging.sources import ImageSource
from c2srt_cli.tagging.tag import load_tagger
from c2srt_cli.tagging.tagger import tag_images

#: What can be tagged: the path of an image or of a folder of them, a Pillow image, an array ``(H, W, 3)`` uint8.
Tagged: TypeAlias = str | os.PathLike[str] | Image.Image | np.ndarray


class Tagger:
    """A backbone or a run that has read its labels, ready for images.

    Args:
        labels: Words, `LabelSet`, or a file of labels.
        backbone: As ``c2srt tag --backbone``; the embedded one, or what was fetched, where None.
        run: A run of `train` to tag with; it decides backbone and templates.
        profile: What `learn` has made of corrections and keywords.
        graph: A graph's file, or the name of one that comes with c2srt.
        templates: ``default``, ``clip`` or a file.
        fit: ``crop``, ``squash`` or ``pad``; the backbone's own where None.
        device: ``cpu``, ``cuda``, ``mps``; the fastest there is where None.
        precision: ``float32``, ``bfloat16`` or ``float16``; what a probe finds fast where None.
        batch_size: Images in a forward pass.
        workers: Threads that decode.
        progress: Takes notes and counts.

    Raises:
        InputError: labels, run, graph or weights are missing or unusable.
        UsageError: the options contradict each other.
    """

    @keeps_random_state
    def __init__(
        self,
        labels: Labels,
        *,
        backbone: str | None = None,
        run: str | os.PathLike[str] | None = None,
        profile: str | os.PathLike[str] | None = None,
        graph: str | None = None,
        templates: str | None = None,
        fit: str | None = None,
        device: str | None = None,
        precision: str | None = None,
        batch_size: int | None = None,
        workers: int | None = None,
        progress: Progress | None = None,
    ) -> None:
        self._progress = progress or Progress()
        options = TagOptions(
            inputs=(),
            labels=label_spec(labels),
            run=None if run is None else Path(run),
            profile=None if profile is None else Path(profile),
            graph=graph,
            backbone=backbone,
            templates=templates,
            fit=fit,
            machine=Machine(device, precision, batch_size, workers),
        )
        opened, edges = open_run(options)
        self._threads = options.machine.decode_threads
        self._job = load_tagger(
            options,
            open_labels(options.labels),
            opened,
            edges,
            self._progress,
            lambda encoder, pixels: ImageSource(Path(), (), (), encoder, pixels, self._threads),
        )

    @property
    def labels(self) -> LabelSet:
        """What it looks for."""
        return self._job.labels

    @property
    def backbone(self) -> str:
        """Name of the backbone."""
        return self._job.encoder.backbone.id

    def tag(
        self,
        images: Tagged | Iterable[Tagged],
        *,
        preset: Preset | None = None,
        threshold: float | None = None,
        top_k: int | None = None,
        all_scores: bool = False,
    ) -> Iterator[TaggedImage | FailedImage]:
        """Tag images, in their order, as they come out of the pipeline.

        Args:
            images: Paths of images or folders, Pillow images, arrays ``(H, W, 3)`` uint8; one or many.
            preset: How readily labels are given: ``strict``, ``balanced``, ``generous``. With none of these three
                ``balanced``, or a run's own thresholds.
            threshold: Give labels from this probability on.
            top_k: Give so many labels.
            all_scores: Keep every label's score in `TaggedImage.scores`.

        Yields:
            A `TaggedImage`, or a `FailedImage` with the reason why there is none. ``path`` is the path as it was given,
            or ``image 3`` where the fourth of them is in memory.

        Raises:
            UsageError: a threshold is asked for and nothing is calibrated, the run's scores fit ``top_k`` alone, or a
                preset is asked for beside one of these.
        """
        rule = Rule.asked(preset, threshold, top_k)
        check_rule(self._job.predictor.run, rule)
        rule.check(self.labels, calibrated=self._job.predictor.calibration is not None)
        source, problems = self._source(images)
        job = replace(self._job, source=source, rule=rule, all_scores=all_scores)
        return _results(job, problems, self._progress)

    def scores(self, images: Tagged | Iterable[Tagged]) -> np.ndarray:
        """Scores ``(N, L)`` of all labels, float32: those by which tag and evaluate rank.

        Raises:
            InputError: some images cannot be read.
        """
        return self._predicted(images)[0]

    def probabilities(self, images: Tagged | Iterable[Tagged]) -> np.ndarray | None:
        """Calibrated probabilities ``(N, L)``; None where nothing is calibrated.

        Raises:
            InputError: some images cannot be read.
        """
        return self._job.predictor.probability(self._predicted(images)[1])

    def _predicted(self, images: Tagged | Iterable[Tagged]) -> tuple[np.ndarray, np.ndarray]:
        """Ranking scores and logits, ``(N, L)`` each."""
        source, problems = self._source(images)
        empty = np.empty((0, len(self.labels)), np.float32)
        ranking, logits = [empty], [empty]
        with closing(source.batches(source.items)) as batches:
            for batch in batches:
                problems += batch.failures.values()
                found = batch.scores(self._job.predictor) if len(batch.items) > len(batch.failures) else None
                if found is not None:
                    good = len(batch.items) - len(batch.failures)
                    ranking.append(found.ranking[:good].float().cpu().numpy())
                    logits.append(found.logit[:good].float().cpu().numpy())
        if problems:
            raise InputError(
                "some images cannot be read",
                problems=[f"{one.path}: {one.reason}, {one.detail}" for one in problems],
                hint="leave them out, or use tag, which reports each",
            )
        return np.concatenate(ranking), np.concatenate(logits)

    def _source(self, images: Tagged | Iterable[Tagged]) -> tuple[ImageSource, list[FailedImage]]:
        """The images, and what is known to be wrong before any is read."""
        given = (images,) if isinstance(images, str | os.PathLike | np.ndarray | Image.Image) else images
        files: list[ImageFile | MemoryImage] = []
        problems: list[FailedImage] = []
        for number, image in enumerate(given):
            if isinstance(image, np.ndarray | Image.Image):
                files.append(MemoryImage(image, f"image {number}"))
            elif Path(image).is_dir():
                found = find_images([os.fspath(image)])
                files += (ImageFile(file.path, f"{image}/{file.name}") for file in found.files)
                problems += (FailedImage(f"{image}/{bad.name}", bad.reason, bad.detail) for bad in found.problems)
            else:
                files.append(ImageFile(Path(image), os.fspath(image)))
        encoder, pixels = self._job.encoder, PixelSpec(**self._job.pixels)
        return ImageSource(Path(), files, (), encoder, pixels, self._threads), problems


def _results(job: TagJob, problems: list[FailedImage], progress: Progress) -> Iterator[TaggedImage | FailedImage]:
    with closing(tag_images(job, job.source.items, progress)) as batches:
        for batch in batches:
            yield from (result for _, result in batch)
    yield from problems
