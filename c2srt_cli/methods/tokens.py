"""Whether stored tokens serve a method: the one check behind train, evaluate and tag."""

from typing import TYPE_CHECKING

from c2srt_cli.backbone.tower import ImageTower
from c2srt_cli.embeddings.store import Store
from c2srt_cli.errors import InputError
from c2srt_cli.methods.scores import TokenNeed

if TYPE_CHECKING:
    from c2srt_cli.methods.method import Method


def check_tokens(
    need: TokenNeed,
    store: Store,
    kind: "type[Method]",
    tower: ImageTower,
    *,
    pixels: object = None,
    weights: str | None = None,
) -> None:
    """Refuse tokens that a method cannot go on from.

    Args:
        need: What it reads.
        store: The tokens.
        kind: The method.
        tower: Of its backbone.
        pixels: How a run's images were prepared; None where that is left to the tokens.
        weights: sha256 of a run's backbone, likewise.

    Raises:
        InputError: naming everything that is wrong with them, and the command that makes others.
    """
    made, method = store.options, kind.name
    problems = []
    if weights is not None and made.weights_sha256 != weights:
        problems.append(f"backbone: {made.backbone} ({made.weights_sha256[:12]}) there, {weights[:12]} in the run")
    if pixels is not None and made.pixels != pixels:
        problems.append(f"pixels: {made.pixels} there, {pixels} in the run")
    if need.streams != "local" and made.streams == "local":
        problems.append(f"streams: the local one alone, {method} goes on from the global one")
    if made.split_stage > need.split_stage:
        problems.append(
            f"split: {made.split_stage} of {made.depth} stages, {method} has its own from {need.split_stage} on"
        )
    if need.streams == "both" and made.patch_attention != need.patch_attention:
        problems.append(
            f"patch attention: {made.patch_attention or 'none'} there, {method} reads {need.patch_attention}"
        )
    if problems:
        attention = f"both --patch-attention {need.patch_attention}" if need.streams == "both" else "global"
        usual = need == kind.needs(kind.defaults(), tower)
        chosen = f"--for {method}" if usual else f"--split-stage {need.split_stage} --streams {attention}"
        raise InputError(
            f"{method} cannot go on from these embeddings",
            where=str(store.folder),
            problems=problems,
            hint=f"run c2srt embed --backbone {made.backbone} {chosen} --fit {made.pixels.fit}",
        )
