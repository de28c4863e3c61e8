"""What a run of `embed` has to do: which images there are, which rows of a part still hold, and what to encode."""

import os
from collections.abc import Sequence

from c2srt_cli.artifacts import in_bucket
from c2srt_cli.artifacts.buckets import versions
from c2srt_cli.datasets.annotations import Annotations
from c2srt_cli.errors import InputError
from c2srt_cli.images import FailedFile, Found, ImageFile, ImageFiles
from c2srt_cli.parts.file_rows import held_row
from c2srt_cli.parts.index import Row


def annotated_images(annotations: Annotations) -> Found:
    """Exactly the images that annotations list, in their order and under their paths.

    Raises:
        InputError: not one of them is there.
    """
    root = annotations.root
    paths = annotations.paths
    if in_bucket(root):
        there = [size >= 0 for size, _, _ in versions(root, paths)]
    else:
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
