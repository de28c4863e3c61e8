"""Where an image tower is split, and what is kept there."""

from dataclasses import dataclass

from c2srt_cli.backbone.registry import Backbone
from c2srt_cli.errors import UsageError


@dataclass(frozen=True, slots=True)
class Split:
    """Where the tower is split and what is kept there.

    Attributes:
        stage: The split lies before this stage, 0 to depth.
        patch_attention: Which blocks feed the local stream (``value``, ``value-all``), or None for none.
        streams: ``global``, ``local`` or ``both``.
    """

    stage: int
    patch_attention: str | None
    streams: str


def resolve_split(
    backbone: Backbone,
    needed: Split,
    *,
    split_stage: int | None = None,
    streams: str | None = None,
    patch_attention: str | None = None,
) -> Split:
    """The split and streams that are needed, unless set by hand (DESIGN, section 2).

    Args:
        backbone: Its tower's depth decides where a split may lie.
        needed: By the method that will read them.
        split_stage: Stage before which to split, or None.
        streams: ``global``, ``local``, ``both``, or None.
        patch_attention: ``value``, ``value-all``, ``none``, or None.

    Raises:
        UsageError: the tower has no such stage or no local stream, or what is asked for contradicts itself.
    """
    depth, has_local = backbone.tower.depth, backbone.tower.supports_local
    stage = needed.stage if split_stage is None else split_stage
    if not 0 <= stage <= depth:
        raise UsageError(
            f"this tower has {depth} stages; a split lies from 0 to {depth}", where=f"--split-stage {split_stage}"
        )
    chosen = patch_attention or needed.patch_attention
    chosen = None if chosen == "none" else chosen
    if streams is None:  # the local stream alone is enough where nothing is left to run
        streams = "global" if chosen is None else "local" if needed.streams == "local" and stage == depth else "both"
    if streams == "global":
        if patch_attention not in (None, "none"):
            raise UsageError(
                "the global stream alone has no patch attention",
                where=f"--patch-attention {patch_attention}",
                hint="leave it out",
            )
        return Split(stage, None, streams)
    if not has_local:
        raise UsageError(
            f"{backbone.id} has no local stream to store",
            where=f"--patch-attention {patch_attention}" if patch_attention else f"--streams {streams}",
            hint="use --streams global",
        )
    if chosen is None:
        raise UsageError(
            "without patch attention there is no local stream",
            where=f"--streams {streams}",
            hint="give --patch-attention value",
        )
    if streams == "local" and stage < depth:
        raise UsageError(
            "the local stream alone cannot be continued behind a split, its later blocks read the global one",
            where="--streams local",
            hint="use --streams both, or no --split-stage",
        )
    return Split(stage, chosen, streams)
