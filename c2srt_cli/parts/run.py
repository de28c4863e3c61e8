"""One run over a dataset of parts, by one process or by several at once."""

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TypeVar

from c2srt_cli.artifacts import LOCK, MANIFEST, disk_errors, lock
from c2srt_cli.errors import UsageError
from c2srt_cli.parts.bucket import bucket_of
from c2srt_cli.parts.folder import PATIENCE, open_parts, own_parts

S = TypeVar("S")


def check_share(out: Path, share: tuple[int, int] | None, *, overwrite: bool, cluster: bool) -> None:
    """Refuse to do a share of the parts in a way that the other processes would not know of.

    Raises:
        UsageError: one of several processes is to start again, or a cluster to do a share.
    """
    if share is not None and overwrite:
        raise UsageError("one of several processes cannot start again", hint=f"delete {out}, then start them")
    if share is not None and cluster:
        raise UsageError("a cluster shares the parts out by itself", where="--shard", hint="leave out one of the two")


def run_parts(
    out: Path,
    share: tuple[int, int] | None,
    begin: Callable[[], S],
    work: Callable[[S, list[int]], None],
    finish: Callable[[S], None],
) -> tuple[S, int]:
    """Assign images to parts, do those that are left to this process, and write the manifest where all are done.

    The only process holds the folder for as long as it works. One of several holds it while it assigns the images,
    unless that is done, and while it writes what is common to all, and a part while it works on that.

    Args:
        out: The folder.
        share: Which of how many processes this is, ``(i, n)``: it does the parts ``i``, ``i + n``, …; all where None.
        begin: Assigns; what it returns is given to the other two.
        work: Does the parts of these numbers.
        finish: Writes what is common to all parts, the manifest last.

    Returns:
        What ``begin`` has returned, and how many parts are left to other processes.

    Raises:
        InputError: the folder cannot be written to.
        UsageError: another process is writing there.
    """
    wait = 0 if share is None else PATIENCE
    with disk_errors(out), ExitStack() as held:
        held.enter_context(lock(out / LOCK, wait=wait))
        begun, bucket = begin(), bucket_of(out)
        if bucket is not None:
            bucket.push()
        numbers = own_parts(out, share)
        if wait:
            held.close()
        if bucket is None:
            work(begun, numbers)
        else:
            for number in numbers:
                work(begun, [number])
                bucket.push_part(number)
        if wait:
            held.enter_context(lock(out / LOCK, wait=wait))
        if wait and bucket is not None:  # for what others have done
            bucket.pull()
        left = len(open_parts(out))
        if not left and not (out / MANIFEST).exists():
            finish(begun)
            if bucket is not None:
                bucket.push()
    return begun, left
