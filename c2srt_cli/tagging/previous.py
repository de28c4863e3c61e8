"""What an earlier run has left in a file: whose it is, and which of its rows stand."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from c2srt_cli.artifacts import Stamp, address, differences, file_stamp, in_bucket, still_holds
from c2srt_cli.errors import InputError
from c2srt_cli.tagging.job import TagJob, what_decides
from c2srt_cli.tagging.sources import Source
from c2srt_cli.tagging.targets import Finished

#: Differences that are shown of many.
SHOWN = 3


@dataclass(frozen=True)
class Previous:
    """Rows of a finished file.

    Attributes:
        there: The file.
        stamps: Versions of the images whose rows stand, as they are to be recorded from now on.
        gone: How many rows leave because their image has vanished, or is left out now.
        changed: Options that decide the tags and are others now; where there are any, no row stands.
    """

    there: Finished
    stamps: dict[str, Stamp]
    gone: int = 0
    changed: tuple[str, ...] = ()


def previous(there: Finished, job: TagJob, options: Mapping[str, Any], *, option: str) -> Previous:
    """Compare a finished file with the run that is to bring it up to date.

    Args:
        there: The file.
        job: The run.
        options: Of the run, as they would be recorded for this file.
        option: That named the file.

    Raises:
        InputError: it holds the tags of other labels or of other photographs.
    """
    then, now = what_decides(there.options), what_decides(options)
    refusal = f"name another {option}, or give --overwrite to start again"
    if then.pop("labels", None) != now.pop("labels"):
        name = there.options.get("vocabulary", "other labels")
        what = "the list has changed" if name == job.vocabulary else f"{name} there, {job.vocabulary} now"
        raise InputError(
            "holds the tags of other labels", where=str(there.path), problems=[f"labels: {what}"], hint=refusal
        )
    root = job.source.root
    items = {item.name: item.stamp for item in job.source.items}
    stamps = {
        name: stamp
        for name, stored in there.images.items()
        if name in items and (stamp := still_holds(root / name, items[name], stored)) is not None
    }
    before = Path(str(there.options.get("root", "")))
    check_root(there.path, before, root, held=len(stamps), total=len(there.images), option=option)
    missing = [name for name in there.images if name not in items]
    check_named(there.path, missing, job.source, option)
    changed = differences(then, now)
    return Previous(there, {} if changed else stamps, len(missing), tuple(changed))


def check_root(path: Path, before: Path, now: Path, *, held: int, total: int, option: str) -> None:
    """Refuse to go on for other photographs; those of a library that has moved are the same ones.

    Args:
        path: What is there.
        before: The root of its photographs.
        now: The root of those that were named.
        held: How many of its results hold for them.
        total: Of how many.
        option: That named the file.

    Raises:
        InputError: they are others.
    """
    if before != now and (before.exists() or 2 * held < max(1, total)):
        raise InputError(
            "holds the tags of other photographs",
            where=str(path),
            problems=[f"root: {address(before)} there, {address(now)} now"],
            hint=f"name another {option}, or give --overwrite to start again",
        )


def check_named(path: Path, missing: Iterable[str], source: Source, option: str) -> None:
    """Refuse to take results away that nobody has asked to take away: of photographs that are there, and not named.

    Args:
        path: Where they are.
        missing: Photographs that are not among those of the source.
        source: Of this run.
        option: That named it.

    Raises:
        InputError: there are such.
    """
    others = [name for name in missing if _is_there(source.root / name) and not source.passes_over(name)]
    if others:
        raise InputError(
            f"holds the tags of {len(others):,} more photographs, which are still there and not among those named now",
            where=str(path),
            problems=[*others[:SHOWN], *(["…"] if others[SHOWN:] else [])],
            hint=f"name them too, or name another {option}, or give --overwrite to start again",
        )


def _is_there(path: Path) -> bool:
    return file_stamp(path).size >= 0 if in_bucket(path) else os.path.lexists(path)
