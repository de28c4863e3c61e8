"""Everything a user can meet: what happened, where, what to do next, and the exit code."""

import difflib
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

#: Faults of one input that are shown; the rest is counted.
SHOWN = 20


class C2srtError(Exception):
    """An error that the command line shows as one block, without a traceback.

    Args:
        what: One sentence that says what happened.
        where: The path, field or option it happened at.
        hint: What to do next, where possible a command to run.
        problems: When one input has several faults, all of them, one line each; those beyond `SHOWN` are counted.
    """

    exit_code = 1

    def __init__(
        self,
        what: str,
        *,
        where: str | None = None,
        hint: str | None = None,
        problems: Sequence[str] = (),
    ) -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.hint = hint
        rest = len(problems) - SHOWN
        self.problems = (*problems[:SHOWN], f"… and {rest:,} more") if rest > 1 else tuple(problems)

    def __str__(self) -> str:
        lines = [self.what if self.where is None else f"{self.where}: {self.what}"]
        lines += [f"  {problem}" for problem in self.problems]
        if self.hint:
            lines.append(f"Next: {self.hint}")
        return "\n".join(lines)


class UsageError(C2srtError):
    """The command line or an options file asks for something that cannot be."""

    exit_code = 2


class InputError(C2srtError):
    """An input or artifact is missing, stale or corrupt."""

    exit_code = 3


class ServiceError(C2srtError):
    """A model hub, an LLM service or the network failed."""

    exit_code = 4


class Interrupted(C2srtError):  # noqa: N818 - no error, a wish
    """The user pressed Ctrl-C; everything finished so far has been saved."""

    exit_code = 130


class ImageError(Exception):
    """One image cannot be used. The run goes on; the image becomes a failure row.

    Args:
        reason: A stable code: ``missing``, ``unreadable``, ``empty``, ``unsupported``, ``corrupt``, ``too-large``,
            ``bad-name``, or ``folder`` in a list; ``sidecar`` where the image is tagged but its sidecar cannot be
            written.
        detail: One line for people.

    Attributes:
        sha256: Of the file's bytes, hex; empty where they could not be read.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail
        self.sha256 = ""


#: Exit code of a run that finished although some of its items failed.
SOME_ITEMS_FAILED = 5


def counted(number: int, noun: str) -> str:
    """``1 image``, ``2,000 images``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def percent(share: float, digits: int = 0) -> str:
    """A share in [0, 1] for people: ``37 %``."""
    return f"{share:.{digits}%}".replace("%", " %")


def meant(word: str, words: Iterable[str]) -> str:
    """A guess at what was meant, to end a message with; empty where nothing is near."""
    close = difflib.get_close_matches(word, list(words), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def nearby(path: Path) -> str | None:
    """The file or folder in the same folder that is most probably meant by a name that is none."""
    try:
        names = sorted(os.listdir(path.parent))  # noqa: PTH208 - names are all that is wanted
    except OSError:
        return None
    stems = [name for name in names if Path(name).stem.casefold() == path.stem.casefold()]
    close = stems or difflib.get_close_matches(path.name, names, 1, 0.8)
    return str(path.with_name(close[0])) if close else None
