"""Parts on disk: chunks of a dataset with an index and a manifest of their own, each written whole by any process.

A part whose manifest is there is done. Before that its index is the assignment: which images it is to hold.
"""

import re
from pathlib import Path

from c2srt_cli.artifacts import LOCK, MANIFEST, UNFINISHED, lock, peek_manifest, write_json

#: Images of one part.
PART = 10_000
#: Seconds for which a process waits that shares the work with others while one of them writes what is common to all.
PATIENCE = 3600


def part_path(folder: Path, number: int) -> Path:
    """Where part ``number`` lies."""
    return folder / f"part-{number:05d}"


def part_numbers(folder: Path) -> list[int]:
    """Numbers of the parts in ``folder``, ascending."""
    names = (re.fullmatch(r"part-([0-9]{5,9})", path.name) for path in folder.glob("part-*"))
    return sorted(int(name[1]) for name in names if name and name[0] == part_path(folder, int(name[1])).name)


def open_parts(folder: Path) -> list[int]:
    """Numbers of those that are not done."""
    return [number for number in part_numbers(folder) if not (part_path(folder, number) / MANIFEST).exists()]


def own_parts(folder: Path, share: tuple[int, int] | None) -> list[int]:
    """Numbers of the open parts that are left to one of several processes, or to the only one."""
    mine, of = share or (0, 1)
    return [number for number in open_parts(folder) if number % of == mine]


def delete_part(folder: Path) -> None:
    """Delete all of a part, its manifest first.

    Raises:
        UsageError: another process is writing it.
    """
    with lock(folder / LOCK):
        (folder / MANIFEST).unlink(missing_ok=True)
        for path in folder.iterdir():
            if not path.name.startswith(LOCK):
                path.unlink()
    folder.rmdir()


def delete_parts(out: Path) -> None:
    """Delete all parts; whatever a kill leaves of them still says what it was made with.

    Raises:
        UsageError: another process is writing one of them.
    """
    if (previous := peek_manifest(out)) is not None:
        write_json(out / UNFINISHED, previous)
    (out / MANIFEST).unlink(missing_ok=True)
    for number in part_numbers(out):
        delete_part(part_path(out, number))
