"""Many photographs with keywords: annotations, embeddings, a graph and a training, in one."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from c2srt_cli.artifacts import fingerprint
from c2srt_cli.datasets.annotations import Annotations, Incidence, write_annotations
from c2srt_cli.embeddings.embed import EmbedOptions, embed, prepare_embedding
from c2srt_cli.embeddings.split import Split
from c2srt_cli.embeddings.store import TEXT, Store
from c2srt_cli.embeddings.text import embed_labels, read_text
from c2srt_cli.errors import InputError
from c2srt_cli.graph.category_graph import write_graph
from c2srt_cli.graph.embedding import embedding_graph
from c2srt_cli.labels import DEFAULT_TEMPLATE, LabelSet
from c2srt_cli.learning.fit_labels import Judged
from c2srt_cli.learning.options import LearnOptions
from c2srt_cli.learning.photographs import Photographs
from c2srt_cli.methods.method import Method
from c2srt_cli.methods.registry import METHODS
from c2srt_cli.methods.tokens import check_tokens
from c2srt_cli.predict.profile import RUN, Learned
from c2srt_cli.progress import Progress
from c2srt_cli.training.calibrate import best_threshold, shrunk_threshold
from c2srt_cli.training.job import TrainJob
from c2srt_cli.training.prepare import TrainOptions, prepare_training
from c2srt_cli.training.run import Run
from c2srt_cli.training.train import train
from c2srt_cli.training.validation import predict

#: Photographs with keywords from which a training is worth while; fewer are taken for verdicts.
LEAST = 300
#: What it trains, which takes the least time.
METHOD = "label-propagation"
#: Parts of the cross-validation of thresholds.
FOLDS = 5
#: What the training reads, beside the profile until it is finished.
_FOLDER = "training"


@dataclass(frozen=True)
class Trained:
    """A run that has learned keywords.

    Attributes:
        run: The run.
        learned: What is expected of its labels.
        total: Of all of them together.
        images: How many it has learned from.
        folder: What the training has read.
    """

    run: Run
    learned: list[Learned]
    total: Learned
    images: int
    folder: Path

    @property
    def fingerprint(self) -> str:
        """Of the run."""
        return fingerprint(self.run.manifest)

    def with_verdicts(self, others: Sequence[Learned]) -> list[Learned]:
        """What is expected of its labels, verdicts on them counted in, and of labels that have only verdicts."""
        counts = {one.label.key: one for one in others}
        known = [(one, counts.pop(one.label.key, None)) for one in self.learned]
        return [
            one if more is None else one.model_copy(update={"yes": one.yes + more.yes, "no": one.no + more.no})
            for one, more in known
        ] + list(counts.values())

    def tidy(self) -> None:
        """Delete what the training has read, and its checkpoints."""
        shutil.rmtree(self.folder, ignore_errors=True)


def train_on_keywords(  # noqa: PLR0917
    options: LearnOptions,
    photographs: Photographs,
    labels: LabelSet,
    names: Sequence[str],
    shown: np.ndarray,
    progress: Progress,
) -> Trained:
    """Train the default method on photographs with keywords, or go on with it.

    A keyword that a photograph has not is taken for absent, as in any table of labels.

    Args:
        options: What the user asks for.
        photographs: Where they are, and their embeddings.
        labels: The keywords, ``L`` of them.
        names: The photographs.
        shown: Which of these show what, ``(N, L)`` bool.
        progress: Of every step.

    Raises:
        InputError: photographs or their embeddings cannot be used.
        Interrupted: the user stopped it; a rerun goes on from there.
    """
    folder, out = options.out / _FOLDER, options.out / RUN
    annotations = Annotations(
        photographs.root,
        labels,
        np.asarray(shown.any(0)),
        tuple(names),
        np.full(len(names), "train"),
        Incidence.from_lists([np.flatnonzero(row).tolist() for row in shown]),
        Incidence.empty(len(names)),
        complete=True,
        dataset="keywords",
    )
    write_annotations(folder / "annotations", annotations, {"keywords": len(names)}, overwrite=True)
    embeddings = _embeddings(options, photographs, folder, progress)
    store = Store.open(embeddings)
    called = None if options.backbone == "auto" else options.backbone
    backbone = store.options.load_backbone(embeddings, called)
    templates = store.options.templates or (DEFAULT_TEMPLATE,)
    text = read_text(embeddings / TEXT, labels, templates, backbone.dim)
    if text is None:
        text = embed_labels(backbone, labels, templates, progress)
    method = METHODS[METHOD].defaults()
    write_graph(folder / "graph.json", embedding_graph(labels, text, k=method.neighbours))
    job = prepare_training(
        TrainOptions(
            embeddings=embeddings,
            annotations=folder / "annotations",
            out=out,
            options=method,
            graph=str(folder / "graph.json"),
            templates=options.templates,
            device=options.machine.device,
            overwrite=options.overwrite,
            backbone=called,
        ),
        progress,
    )
    progress.note(f"training {METHOD} on {len(names):,} photographs and {int(annotations.seen.sum()):,} labels")
    train(job, progress)
    run = Run.open(out)
    learned, total = _expected(
        run, run.method(asked=called).move(next(job.backbone.model.parameters()).device, torch.float32), job, shown
    )
    return Trained(run, learned, total, len(names), folder)


def _embeddings(options: LearnOptions, photographs: Photographs, folder: Path, progress: Progress) -> Path:
    """Embeddings that the method can be trained from: those that are named, else new ones."""
    kind, store = METHODS[METHOD], photographs.store
    backbone = options.backbone
    if store is not None:
        try:
            tower = store.options.load_backbone(store.folder, None if backbone == "auto" else backbone).tower
            check_tokens(kind.needs(kind.defaults(), tower), store, kind, tower)
        except InputError as error:
            progress.note(f"{error.what}: {len(photographs.names):,} photographs are encoded anew for the training")
        else:
            return store.folder
        backbone = backbone or store.options.backbone
    wanted = EmbedOptions(
        (),
        folder / "embeddings",
        root=photographs.root,
        annotations=folder / "annotations",
        backbone=backbone,
        templates=options.templates or "default",
        needed=lambda tower: Split(*kind.needs(kind.defaults(), tower)),
        fit=None if store is None else store.options.pixels.fit,
        machine=options.machine,
        overwrite=False,
    )
    embed(prepare_embedding(wanted, progress), progress)
    return wanted.out


def _expected(run: Run, method: Method, job: TrainJob, shown: np.ndarray) -> tuple[list[Learned], Learned]:
    """Precision and recall on the validation set, whose parts are given labels by thresholds from the other parts."""
    data, judged, learned = job.data, [], []
    columns = np.flatnonzero(data.annotations.seen)
    scores, truth = np.zeros((0, len(columns))), np.zeros((0, len(columns)), np.int8)
    if len(data.validation) and run.calibration is not None:
        scores, truth = predict(method, data, columns, logit=True)
        scores = run.calibration.seen.probability(scores)
    parts = np.arange(len(scores)) % FOLDS
    commons = [best_threshold(scores[parts != k].ravel(), truth[parts != k].ravel()) for k in range(FOLDS)]
    for place, column in enumerate(columns.tolist()):
        label, yes = data.annotations.labels.labels[column], truth[:, place] > 0
        given = np.zeros(len(scores), bool)
        for part, common in enumerate(commons):
            out = parts == part
            at = shrunk_threshold(scores[~out, place], truth[~out, place], common)
            given[out] = scores[out, place] >= at
        judged.append(Judged(yes, given))
        count = int(shown[:, column].sum())
        one = judged[-1].expected(label.name, label.synonyms, label.id)
        learned.append(one.model_copy(update={"yes": count, "no": len(shown) - count}))
    counts = {side: sum(getattr(one, side) for one in learned) for side in ("yes", "no")}
    return learned, Judged.joined(judged).expected("all").model_copy(update=counts)
