"""Tokens of a test set → scores, by a trained run or without training."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from torch import Tensor

from c2srt_cli.artifacts import fingerprint
from c2srt_cli.backbone.precision import find_device
from c2srt_cli.datasets.annotations import Annotations
from c2srt_cli.embeddings.store import TEXT, Store
from c2srt_cli.embeddings.text import embed_labels, read_text
from c2srt_cli.errors import InputError, Interrupted
from c2srt_cli.evaluation.gain import fit_gain
from c2srt_cli.evaluation.protocol import Protocol, counted_images, ranked_labels, settings
from c2srt_cli.evaluation.score_file import ScoreFile, write_scores
from c2srt_cli.evaluation.selection import check_images
from c2srt_cli.graph.category_graph import CategoryGraph
from c2srt_cli.labels import LabelSet, read_templates
from c2srt_cli.methods.options import Options
from c2srt_cli.methods.registry import METHODS
from c2srt_cli.predict.predictor import Predictor
from c2srt_cli.predict.profile import Profile, basis_of, is_profile
from c2srt_cli.predict.runs import open_run
from c2srt_cli.predict.split import split_in
from c2srt_cli.progress import Progress
from c2srt_cli.training.data import BATCH, images_at_once
from c2srt_cli.training.tokens import TokenSet


def predictor(  # noqa: PLR0917
    method: str,
    store: Store,
    annotations: Annotations,
    templates: str | None,
    progress: Progress,
    device: str | None = "cpu",
    called: str | None = None,
    *,
    graph: CategoryGraph | None = None,
    options: Options | None = None,
    run: Path | None = None,
) -> Predictor:
    """A method that needs no training, or the run in a folder, for all labels of a test set.

    Args:
        method: Its name, or the folder of a run or of a profile.
        store: The tokens.
        annotations: The test set.
        templates: Prompts around the labels, for a method without a run; None for those of the embeddings.
        progress: For the embedding of labels.
        device: Where to compute; None for the fastest there is.
        called: The name that the backbone has here, where it is not the one that the tokens and the run name.
        graph: Which labels are evidence for which, for a method without a run or a profile, or None.
        options: Of a method without a run; None for those that it has by default.
        run: The run whose tags the profile corrects, or None.

    Raises:
        InputError: the run is of other labels or another backbone, or the tokens do not serve the method.
        UsageError: there is neither such a method nor such a run, or the profile was learned with others.
    """
    where, columns = find_device(device or "auto"), np.arange(len(annotations.labels))
    if is_profile(method):
        profile = Profile.open(Path(method))
        folder = profile.run_beside(run)
        return _corrected(profile, folder, graph, store, annotations, templates, progress, device, called)
    if method in METHODS and not METHODS[method].trainable:
        backbone = store.options.load_backbone(store.folder, called)
        prompts = _templates(store, templates)
        backbone.to(where, torch.float32)
        options = options or METHODS[method].defaults()

        def embed(labels: LabelSet) -> Tensor:
            text = read_text(store.folder / TEXT, labels, prompts, backbone.dim)
            return embed_labels(backbone, labels, prompts, progress) if text is None else text

        split = split_in(store, METHODS[method](options, backbone))
        one = Predictor.untrained(options, backbone, annotations.labels, embed, split, graph, progress)
        if graph is not None and one.model.options.propagation.gain == "fit":
            fit_gain(one, store, annotations, progress)
        return one
    trained = open_run(Path(method))
    if [label.key for label in trained.labels] != [label.key for label in annotations.labels]:
        raise InputError("the run has other labels than the annotations", where=method)
    if not np.array_equal(trained.seen, annotations.seen):
        raise InputError("the run was trained with other labels seen than these annotations say", where=method)
    model = trained.method(asked=called).move(where, torch.float32)
    return Predictor.of(model, trained.vocabulary(), columns, trained.labels.names, split_in(store, model, trained))


def _corrected(  # noqa: PLR0917
    profile: Profile,
    folder: Path | None,
    graph: CategoryGraph | None,
    store: Store,
    annotations: Annotations,
    templates: str | None,
    progress: Progress,
    device: str | None,
    called: str | None,
) -> Predictor:
    """What a profile raises: a run, for any labels, or the backbone as it is; by a graph where there is one."""
    labels, run = annotations.labels, None
    if folder is None:
        one = predictor("zero-shot", store, annotations, templates, progress, device, called, graph=graph)
        prompts = _templates(store, templates)
    else:
        run = open_run(folder)
        model = run.method(asked=called).move(find_device(device or "auto"), torch.float32)
        prompts = run.made.templates

        def embed(some: LabelSet) -> Tensor:
            return embed_labels(model, some, prompts, progress)

        one = Predictor.of_run(run, model, labels, embed, split_in(store, model, run), graph)
    backbone = one.model.backbone
    basis = basis_of(
        backbone.id,
        backbone.weights_sha256,
        one.split.patch_attention,
        store.options.pixels.record,
        prompts,
        one.scoring,
        None if run is None else fingerprint(run.manifest),
        None if graph is None else graph.fingerprint,
    )
    judged = {verdict.sha256 for verdict in profile.verdicts}
    known = pc.is_in(store.columns("sha256")["sha256"], value_set=pa.array(judged, pa.string()))
    there = set(store.paths.filter(known.combine_chunks()).to_pylist())
    test = sum(annotations.paths[row] in there for row in annotations.rows("test"))
    if test:
        progress.note(f"{test:,} test images were judged by whoever made the profile: its figures are too good")
    return one.with_profile(profile, labels, basis)


def _templates(store: Store, asked: str | None) -> tuple[str, ...]:
    inherited = store.options.templates if asked is None else ()
    return inherited or read_templates(asked or "default")


def check_test_set(store: Store, annotations: Annotations, protocol: Protocol, *, allow_missing: bool = False) -> None:
    """Refuse tokens that lack what a protocol counts, before anything is scored.

    Raises:
        InputError: images of the protocol are missing, all of them or (unless that is allowed) some.
    """
    there = TokenSet.of(store, annotations, "test").rows
    for setting in settings(annotations):
        check_images(annotations, protocol, setting, there, where=str(store.folder), allow_missing=allow_missing)


@torch.inference_mode()
def score_split(
    one: Predictor, store: Store, annotations: Annotations, protocol: Protocol, *, folder: Path, progress: Progress
) -> dict[str, ScoreFile]:
    """Score what a protocol counts, a file for each setting, or one for both where labels do not sway each other.

    Args:
        one: For all labels.
        store: The tokens.
        annotations: The test set.
        protocol: What counts.
        folder: Where the files go.
        progress: Called after every batch.

    Raises:
        InputError: no image of the test set has tokens.
        Interrupted: the user stopped it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files: dict[str, ScoreFile] = {}
    ranked = settings(annotations)
    for setting in ranked if one.model.vocabulary_dependent else ("GZSL",):
        wanted = set(counted_images(annotations, protocol, setting).tolist())
        if setting == "GZSL":
            wanted |= set(counted_images(annotations, protocol, "ZSL").tolist())
        tokens = TokenSet.of(store, annotations, "test")
        tokens = tokens.take(np.flatnonzero([row in wanted for row in tokens.rows.tolist()]))
        if len(tokens) == 0:
            raise InputError(
                "none of the test images has tokens",
                where=str(store.folder),
                hint="run c2srt embed --annotations for these annotations",
            )
        columns = ranked_labels(annotations, setting)
        path = folder / f"{setting.lower()}.safetensors"
        order = store.on_disk(tokens.places)
        rows, done = tokens.rows[order], 0
        with write_scores(
            path, rows, columns, {"method": one.method, "annotations": annotations.fingerprint}
        ) as writer:
            asked = one.of_columns(columns)
            size = images_at_once(one.model, len(one.vocabulary.text)) if one.model.trainable else BATCH
            for numbers, batch, stored in tokens.batches(order, size):
                writer.add(asked(batch, stored).ranking.cpu().numpy())
                done += len(numbers)
                progress.advance(done, len(rows))
                if progress.stopped():
                    raise Interrupted("the scores are not finished; nothing of them is kept")
        if said := one.model.pop_warnings():
            progress.note(f"{setting}: {said}")
        files[setting] = ScoreFile.open(path)
    return files if one.model.vocabulary_dependent else dict.fromkeys(ranked, files["GZSL"])
