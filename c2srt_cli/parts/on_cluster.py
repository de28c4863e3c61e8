"""Parts that the workers of a cluster do."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from c2srt_cli.artifacts import in_bucket
from c2srt_cli.cluster import Cluster
from c2srt_cli.errors import InputError, Interrupted
from c2srt_cli.parts.folder import part_path
from c2srt_cli.parts.index import INDEX
from c2srt_cli.progress import Progress

R = TypeVar("R")

#: Seconds for which a worker waits for one before it, which was lost, to let go of a part.
PATIENCE = 60


def results(  # noqa: PLR0917
    cluster: Cluster,
    make: Callable[[], Callable[[int], R]],
    out: Path,
    numbers: Sequence[int],
    progress: Progress,
    seen: Callable[[R], None],
) -> list[R]:
    """Have parts done by workers; what comes of each, in their order.

    Args:
        cluster: Whose workers.
        make: Makes in each worker what does a part by its number, see `Cluster.each`.
        out: The folder of the parts.
        numbers: Of the parts.
        progress: Says when the user wants to stop.
        seen: Called with each result as soon as it is there.

    Raises:
        C2srtError: a worker failed; the parts that were done by then are.
        Interrupted: the user stopped it; a rerun goes on from there.
    """
    found: dict[int, R] = {}
    for number, result in cluster.each(make, numbers, stopped=progress.stopped):
        found[number] = result
        seen(result)
    if len(found) < len(numbers):
        what = f"{len(found):,} of {len(numbers):,} parts are done, what was saved of the others stays"
        raise Interrupted(what, where=str(out))
    return [found[number] for number in numbers]


def check_there(root: Path, out: Path, number: int) -> None:
    """Find out whether this machine sees the images and a part: without them all would be failures.

    Raises:
        InputError: it does not.
    """
    for path in (root, part_path(out, number) / INDEX):
        if not in_bucket(path) and not path.exists():
            raise InputError(
                "is not on this machine",
                where=str(path),
                hint="all machines of the cluster must see photographs and --out under the same path",
            )
