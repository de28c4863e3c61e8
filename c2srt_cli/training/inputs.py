"""What a training reads: images or their tokens, and the backbone that they belong to."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from c2srt_cli.artifacts import file_stamp, fingerprint
from c2srt_cli.backbone.precision import Runtime, find_device, recorded_runtime
from c2srt_cli.backbone.registry import Backbone, load_backbone, resolve
from c2srt_cli.datasets.annotations import Annotations
from c2srt_cli.embeddings import store as stores
from c2srt_cli.embeddings.encoder import Encoder, Machine, make_encoder, pixel_spec
from c2srt_cli.embeddings.job import EmbedJob, resolved_options
from c2srt_cli.embeddings.plan import annotated_images
from c2srt_cli.embeddings.split import Split
from c2srt_cli.embeddings.store import Store
from c2srt_cli.errors import InputError
from c2srt_cli.methods.options import Options
from c2srt_cli.methods.registry import METHODS
from c2srt_cli.methods.tokens import check_tokens
from c2srt_cli.progress import Progress
from c2srt_cli.training.images import ImageSet
from c2srt_cli.training.processes import objects_of_all, own_device, rank, world
from c2srt_cli.training.tokens import TokenSet


@dataclass(frozen=True, eq=False)
class Inputs:
    """The images of a dataset as a training takes them.

    Attributes:
        train: Those of its training split.
        val: Those of its own validation split; none of them where it has none.
        backbone: That they are for.
        made: How tokens are made, as a manifest of embeddings says it.
        fingerprints: By what they are of.
    """

    train: TokenSet | ImageSet
    val: TokenSet | ImageSet
    backbone: Backbone
    made: Mapping[str, Any]
    fingerprints: dict[str, str]


def from_tokens(
    folder: Path, options: Options, annotations: Annotations, where: Path, called: str | None = None
) -> Inputs:
    """Tokens that `embed` has stored.

    Args:
        folder: With the embeddings.
        options: The method's.
        annotations: What is known of the images.
        where: Folder of the annotations.
        called: The name that their backbone has here, where it is not the one that it had.

    Raises:
        InputError: they are damaged, of other weights, or of none of the images.
        UsageError: the method cannot learn from them.
    """
    store = Store.open(folder)
    backbone = store.options.load_backbone(folder, called)
    kind = METHODS[options.method]
    check_tokens(kind.needs(options, backbone.tower), store, kind, backbone.tower)
    train, val = (TokenSet.of(store, annotations, split) for split in ("train", "val"))
    if len(train) == 0:
        raise InputError(
            "none of the training images has tokens",
            where=str(folder),
            hint=f"run c2srt embed --annotations {where}",
        )
    both = store.take(np.concatenate([train.places, val.places]))
    rows = list(map(list, zip(both.paths.to_pylist(), both.columns("sha256")["sha256"].to_pylist(), strict=True)))
    fingerprints = {"images": fingerprint(rows), "embeddings": stores.store_fingerprint(store)}
    return Inputs(train, val, backbone, store.options.model_dump(mode="json"), fingerprints)


def from_images(  # noqa: PLR0917
    spec: str,
    options: Options,
    annotations: Annotations,
    out: Path,
    begun: Mapping[str, Any],
    device: str | None,
    progress: Progress,
) -> Inputs:
    """The images themselves, whose tokens are made anew in every epoch.

    Args:
        spec: Which backbone.
        options: The method's.
        annotations: What is known of the images.
        out: The run.
        begun: Options of the run that this one goes on with.
        device: Where to encode; None for the fastest there is.
        progress: Told which backbone it is.

    Raises:
        InputError: none of the images is there.
    """
    spec, note = resolve(spec)
    progress.note(note)
    backbone = load_backbone(spec)
    need = METHODS[options.method].needs(options, backbone.tower)
    machine = Machine(device=device)
    encoder = _encoder(backbone, Split(*need), machine, recorded_runtime(begun.get("runtime")))
    if encoder.probed:
        progress.note(encoder.describe())
    job = EmbedJob(
        found=annotated_images(annotations),
        root=annotations.root,
        out=out,
        encoder=encoder,
        pixels=pixel_spec(backbone, fit=None, draft=True),
        labels=None,
        templates=(),
        workers=max(1, machine.decode_threads // world()),
    )
    train, val = (ImageSet.of(job, annotations, split) for split in ("train", "val"))
    if len(train) == 0:
        raise InputError(
            "none of the training images is there",
            where=str(annotations.root),
            hint="say where they are now: --root FOLDER",
        )
    stamps = fingerprint([[file.name, *file_stamp(file.path)[:2]] for file in (*train.files, *val.files)])
    # the encoder keeps its backbone in its own precision
    return Inputs(train, val, load_backbone(spec), resolved_options(job), {"images": stamps})


def _encoder(backbone: Backbone, split: Split, machine: Machine, stored: Runtime | None) -> Encoder:
    """On this process's own device, and otherwise as in the first process: a machine is measured by the clock."""
    if world() > 1:
        machine = replace(machine, device=own_device(find_device(machine.device or "auto")))
    own = make_encoder(backbone, split, machine, stored) if rank() == 0 else None
    first: Runtime = objects_of_all(None if own is None else own.runtime)[0]
    return own or make_encoder(backbone, split, replace(machine, precision=first.dtype, batch=first.batch))
