"""What was named and is no image of any part, as an index beside the parts."""

from pathlib import Path

from c2srt_cli.parts.index import Row, read_index, rows_of, table_of, write_index

PROBLEMS = "problems.parquet"


def write_problems(out: Path, problems: list[Row]) -> None:
    """Write them; no file where there are none."""
    (out / PROBLEMS).unlink(missing_ok=True)
    if problems:
        write_index(out / PROBLEMS, table_of(problems))


def read_problems(out: Path) -> list[Row]:
    """Read them.

    Raises:
        InputError: the file is damaged.
    """
    return rows_of(read_index(out / PROBLEMS)) if (out / PROBLEMS).exists() else []
