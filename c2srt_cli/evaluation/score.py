"""Tokens of a test set → scores, by a trained run or without training."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from c2srt_cli.artifacts import artifact_kind
from c2srt_cli.backbone.registry import load_backbone
from c2srt_cli.backbone.tower import Tokens
from c2srt_cli.datasets.annotations import Annotations
from c2srt_cli.embeddings.store import TEXT, Store
from c2srt_cli.embeddings.text import embed_labels, read_text
from c2srt_cli.errors import InputError, Interrupted, UsageError
from c2srt_cli.evaluation.protocol import Protocol, counted_images, ranked_labels, settings
from c2srt_cli.evaluation.scores import ScoreFile, write_scores
from c2srt_cli.evaluation.selection import check_images
from c2srt_cli.labels import read_templates
from c2srt_cli.methods.catalogue import METHODS
from c2srt_cli.methods.zero_shot import Pooling, score
from c2srt_cli.progress import Progress
from c2srt_cli.training.learner import BATCH
from c2srt_cli.training.run import KIND, Run, check_backbone
from c2srt_cli.training.tokens import TokenSet

ZERO_SHOT = "zero-shot"

#: Tokens of B photographs and ids of T labels to scores ``(B, T)``.
Scores = Callable[[Tokens, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Scorer:
    """A method ready to score.

    Attributes:
        name: For tables.
        scores: Tokens and label ids to scores.
        by_vocabulary: A label's score depends on which others are ranked.
        batch: Photographs at a time.
        doubt: What is to be said of the scores that were made; empty where all is well.
    """

    name: str
    scores: Scores
    by_vocabulary: bool
    batch: int = BATCH
    doubt: Callable[[], str] = str


def scorer(method: str, store: Store, annotations: Annotations, templates: str, progress: Progress) -> Scorer:
    """The method ``zero-shot``, or the run in the folder of that name, for the tokens in ``store``.

    Raises:
        InputError: the run is of other labels or another backbone, or begins before the tokens' cut.
        UsageError: there is neither such a method nor such a run.
    """
    if method == ZERO_SHOT:
        return _zero_shot(store, annotations, templates, progress)
    folder = Path(method)
    if not folder.is_dir():
        hint = "train it first: c2srt train" if method in METHODS else f"name {ZERO_SHOT} or the folder of a run"
        raise UsageError(f"there is no method or run {method!r}", hint=hint)
    if artifact_kind(folder) != KIND:
        raise InputError("is not a run", where=method, hint="make one: c2srt train")
    run = Run.open(folder)
    if [label.key for label in run.labels] != [label.key for label in annotations.labels]:
        raise InputError("the run has other labels than the annotations", where=method)
    if not np.array_equal(run.seen, annotations.seen):
        raise InputError("the run was trained with other labels seen than these annotations say", where=method)
    made, own = run.manifest["options"], store.manifest["options"]
    if (made["weights_sha256"], made["pixels"]) != (own["weights_sha256"], own["pixels"]) or own["streams"] == "local":
        raise InputError("the run was trained on other embeddings than these", where=str(store.folder))
    learner, vocabulary = run.learner(), run.vocabulary()
    if own["cut"] > own["depth"] - run.config.touched:
        raise InputError(
            "the tokens enter the tower behind the first stage that the run trained", where=str(store.folder)
        )
    if learner.dense is not None and own["dense"] != learner.dense:
        raise InputError(
            f"the run reads the local stream {learner.dense}, which was not stored",
            where=str(store.folder),
            hint="embed with --for ram",
        )
    learner.cut = int(own["cut"])

    def scores(tokens: Tokens, columns: np.ndarray) -> np.ndarray:
        labels = vocabulary.of(columns)
        found: np.ndarray = learner(*learner.embed(tokens, labels), labels).float().numpy()
        return found

    return Scorer(
        run.config.method, scores, run.config.parts.by_vocabulary, vocabulary.at_once, learner.recogniser.doubt
    )


def _zero_shot(store: Store, annotations: Annotations, templates: str, progress: Progress) -> Scorer:
    options = store.manifest["options"]
    backbone = load_backbone(options["backbone"])
    check_backbone(backbone, options, store.folder)
    prompts = read_templates(templates)
    text = read_text(store.folder / TEXT, annotations.labels, prompts, backbone.dim)
    if text is None:
        text = embed_labels(backbone, annotations.labels, prompts, progress)
    cut, dense = int(options["cut"]), options["dense"]

    def scores(tokens: Tokens, columns: np.ndarray) -> np.ndarray:
        moved = Tokens(*(None if part is None else part.float() for part in (tokens.x, tokens.local)))
        whole, patches = backbone.tail(moved, cut, dense=dense)
        if whole is None:
            raise InputError(
                "the tokens are of the local stream alone", where=str(store.folder), hint="embed both streams"
            )
        found, _ = score(whole, patches, text[columns], logit_scale=backbone.logit_scale, pooling=Pooling())
        return found.numpy()

    return Scorer(ZERO_SHOT, scores, by_vocabulary=False)


def check_tokens(store: Store, annotations: Annotations, protocol: Protocol, *, allow_missing: bool = False) -> None:
    """Refuse tokens that lack what a protocol counts, before anything is scored.

    Raises:
        InputError: images of the protocol are missing, all of them or (unless that is allowed) some.
    """
    there = TokenSet.of(store, annotations, "test").rows
    for setting in settings(annotations):
        check_images(annotations, protocol, setting, there, where=str(store.folder), allow_missing=allow_missing)


@torch.inference_mode()
def score_split(
    one: Scorer, store: Store, annotations: Annotations, protocol: Protocol, *, folder: Path, progress: Progress
) -> dict[str, ScoreFile]:
    """Score what a protocol counts, a file for each setting, or one for both where labels do not sway each other.

    Args:
        one: The method.
        store: The tokens.
        annotations: The test set.
        protocol: What counts.
        folder: Where the files go.
        progress: Called after every batch.

    Raises:
        InputError: no photograph of the test set has tokens.
        Interrupted: the user stopped it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files: dict[str, ScoreFile] = {}
    ranked = settings(annotations)
    for setting in ranked if one.by_vocabulary else ("GZSL",):
        wanted = set(counted_images(annotations, protocol, setting).tolist())
        if setting == "GZSL":
            wanted |= set(counted_images(annotations, protocol, "ZSL").tolist())
        tokens = TokenSet.of(store, annotations, "test")
        tokens = tokens.take(np.flatnonzero([row in wanted for row in tokens.rows.tolist()]))
        if len(tokens) == 0:
            raise InputError(
                "none of the test photographs has tokens",
                where=str(store.folder),
                hint="run c2srt embed --annotations for these annotations",
            )
        columns = ranked_labels(annotations, setting)
        path = folder / f"{setting.lower()}.safetensors"
        order = np.array(sorted(range(len(tokens)), key=lambda i: (tokens.entries[i].shard, tokens.entries[i].row)))
        rows, done = tokens.rows[order], 0
        with write_scores(path, rows, columns, {"method": one.name, "annotations": annotations.fingerprint}) as writer:
            for numbers, batch, _ in tokens.batches(order, one.batch):
                writer.add(one.scores(batch, columns))
                done += len(numbers)
                progress.advance(done, len(rows))
                if progress.stopped():
                    raise Interrupted("the scores are not finished; nothing of them is kept")
        if said := one.doubt():
            progress.note(f"{setting}: {said}")
        files[setting] = ScoreFile.open(path)
    return files if one.by_vocabulary else dict.fromkeys(ranked, files["GZSL"])
