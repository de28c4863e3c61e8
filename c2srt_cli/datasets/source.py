"""What a reader of a dataset is given: the files that the user names, and a notebook for what it counts in them."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from c2srt_cli.artifacts import file_sha256, fingerprint
from c2srt_cli.errors import InputError
from c2srt_cli.text import read_text


@dataclass
class Source:
    """A dataset on the user's disk.

    Attributes:
        path: Its folder, or its one file.
        images: The folder that the user says the images' paths are relative to; None for the dataset's own.
        prefix: What to strip from the beginning of the images' paths.
        exclude: Patterns in gitignore form of what a search for images leaves out.
        used: The files that were read, by name.
        counts: What was counted, with the figure it should be where that is known.
        remarks: What is worth saying, one line each.
    """

    path: Path
    images: Path | None = None
    prefix: str = ""
    exclude: tuple[str, ...] = ()
    used: dict[str, Path] = field(default_factory=dict)
    counts: list[dict[str, Any]] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    def root(self, default: Path) -> Path:
        """The folder that paths are relative to, absolute."""
        return (self.images or default).absolute()

    def files(self, origins: Mapping[str, str]) -> list[Path]:
        """The files of these names below the folder, or loose in it.

        Args:
            origins: Where each officially comes from, by its name.

        Raises:
            InputError: some are missing: all of them are named, with where they come from.
        """
        found, missing = [], []
        for name, origin in origins.items():
            places = (self.path / name, self.path / Path(name).name)
            path = next((path for path in places if path.is_file()), None)
            if path is None:
                missing.append(f"{name}: from {origin}")
            else:
                found.append(path)
                self.used[name] = path
        if missing:
            raise InputError(
                f"{len(missing)} of {len(origins)} files of the dataset are missing",
                where=str(self.path),
                problems=missing,
                hint="get them from where they are said to come from, and keep their names",
            )
        return found

    def count(self, what: str, found: float, expected: float | None = None) -> None:
        """Note a figure; with ``expected``, for comparison: whole numbers exactly, others to their last digit."""
        decimals = len(str(expected).partition(".")[2]) if isinstance(expected, float) else 0
        agrees = expected is None or round(found, decimals) == expected
        self.counts.append({"what": what, "found": round(found, 3), "expected": expected, "agrees": agrees})

    def remark(self, text: str) -> None:
        """Note one line for people."""
        self.remarks.append(text)

    @property
    def fingerprint(self) -> str:
        """sha256 over the names and bytes of every file that was read."""
        return fingerprint({name: file_sha256(path) for name, path in self.used.items()})


def damaged(path: Path, problems: Sequence[str]) -> InputError:
    """The error for a file that is not what it should be."""
    return InputError(
        "the file is not what it should be", where=str(path), problems=problems, hint="get it again, or mend it"
    )


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn what goes wrong while a file is read and decoded into an error for the user.

    Raises:
        InputError: instead of an OSError or ValueError: it cannot be read, is not UTF-8, not JSON, not Parquet.
    """
    try:
        yield
    except InputError:
        raise
    except (OSError, ValueError, KeyError) as error:  # of Unicode, of JSON, of Arrow
        raise InputError(f"cannot be read ({error})", where=str(path), hint="get it again, or mend it") from None


def read_lines(path: Path) -> list[str]:
    """The lines that hold something, stripped.

    Raises:
        InputError: it cannot be read, or is no text.
    """
    text = read_text(path, "the list", "get it again, or mend it")
    if text.problems:
        raise damaged(path, text.problems)
    return [line.strip() for line in text.lines if line.strip()]
