"""What a run of `embed` has to do: which rows of an earlier run still hold, and which images to encode."""

import os
from collections.abc import Sequence
from dataclasses import replace

from c2srt_cli.artifacts import Stamp, file_stamp, still_holds
from c2srt_cli.datasets.annotations import Annotations
from c2srt_cli.embeddings.index import Row
from c2srt_cli.errors import InputError
from c2srt_cli.images import FailedFile, Found, ImageFile, ImageFiles, extra_reads


def annotated_images(annotations: Annotations) -> Found:
    """Exactly the images that annotations list, in their order and under their paths.

    Raises:
        InputError: not one of them is there.
    """
    root = annotations.root
    paths = annotations.paths
    there = [os.path.lexists(root / path) for path in paths]
    if not any(there):
        raise InputError(
            f"none of the {len(paths):,} annotated images is there",
            where=str(root),
            hint="say where they are now: --root FOLDER",
        )
    return Found(
        root,
        ImageFiles.of(root, (path for path, is_there in zip(paths, there, strict=True) if is_there)),
        [FailedFile(path, "missing", "no such file") for path, ok in zip(paths, there, strict=True) if not ok],
    )


def plan_work(files: Sequence[ImageFile], known: dict[str, Row]) -> tuple[dict[str, Row], list[ImageFile]]:
    """Split images into rows that still hold, and files to encode: new, changed, or mended.

    Failures hold as well, until the file changes or can be read at last: a resumed run that tried them again would cut
    its shards elsewhere than one that was never stopped.

    Args:
        files: The images.
        known: Rows of earlier runs by path.

    Returns:
        The rows that hold by path, and the files to encode in their order.
    """
    current: dict[str, Row] = {}
    plan: list[ImageFile] = []
    for file in files:
        row = known.get(file.name)
        held = None if row is None else held_row(file, row)
        if held is None:
            plan.append(file)
        else:
            current[file.name] = held
    return current, plan


def held_row(file: ImageFile, row: Row) -> Row | None:
    """The row, with the times to record from now on; None where it no longer speaks of the file."""
    now, then = file_stamp(file.path), Stamp(row.size, row.mtime_ns, row.ctime_ns, row.sha256)
    if row.reason == "unreadable" and file.path.is_file() and os.access(file.path, os.R_OK):
        return None
    if row.reason == "unsupported" and file.path.is_file() and extra_reads(file.path):  # an extra was installed
        return None
    if now.size == then.size == -1:  # missing, as before
        return row
    stamp = still_holds(file.path, now, then)
    return None if stamp is None else replace(row, mtime_ns=stamp.mtime_ns, ctime_ns=stamp.ctime_ns)
