"""Where an image tower is cut, and what is kept there."""

from dataclasses import dataclass

from c2srt_cli.backbone.registry import Backbone
from c2srt_cli.errors import UsageError


@dataclass(frozen=True, slots=True)
class Cut:
    """Where the tower is cut and what is kept there.

    Attributes:
        stage: The cut lies before this stage, 0 to depth.
        dense: Which blocks feed the local stream (``vv``, ``vv-all``), or None for none.
        streams: ``global``, ``local`` or ``both``.
    """

    stage: int
    dense: str | None
    streams: str


def resolve_cut(
    backbone: Backbone, needed: Cut, *, cut: int | None = None, streams: str | None = None, dense: str | None = None
) -> Cut:
    """The cut and streams that are needed, unless set by hand (DESIGN, section 2).

    Args:
        backbone: Its tower's depth decides where a cut may lie.
        needed: By the method that will read them.
        cut: Stage before which to cut, or None.
        streams: ``global``, ``local``, ``both``, or None.
        dense: ``vv``, ``vv-all``, ``none``, or None.

    Raises:
        UsageError: the tower has no such stage or no local stream, or what is asked for contradicts itself.
    """
    depth, has_local = backbone.tower.depth, backbone.tower.supports_local
    stage = needed.stage if cut is None else cut
    if not 0 <= stage <= depth:
        raise UsageError(f"this tower has {depth} stages; a cut lies from 0 to {depth}", where=f"--cut {cut}")
    chosen = dense or needed.dense
    chosen = None if chosen == "none" else chosen
    if streams is None:  # the local stream alone is enough where nothing is left to run
        streams = "global" if chosen is None else "local" if needed.streams == "local" and stage == depth else "both"
    if streams == "global":
        if dense not in (None, "none"):
            raise UsageError("the global stream alone has no dense mode", where=f"--dense {dense}", hint="leave it out")
        return Cut(stage, None, streams)
    if not has_local:
        raise UsageError(
            f"{backbone.id} has no local stream to store",
            where=f"--dense {dense}" if dense else f"--streams {streams}",
            hint="use --streams global",
        )
    if chosen is None:
        raise UsageError(
            "without a dense mode there is no local stream", where=f"--streams {streams}", hint="give --dense vv"
        )
    if streams == "local" and stage < depth:
        raise UsageError(
            "the local stream alone cannot be continued behind a cut, its later blocks read the global one",
            where="--streams local",
            hint="use --streams both, or no --cut",
        )
    return Cut(stage, chosen, streams)
