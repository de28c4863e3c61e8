"""What every writer is given, what it is, and the names of the columns that tables share."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from c2srt_cli.artifacts import Stamp
from c2srt_cli.tagging.record import FailedImage, KeptImage, TaggedImage

#: Columns of tables, one row an image. The last four run in parallel: entry i speaks of label i.
COLUMNS = ("path", "labels", "scores", "probabilities", "shares")

#: What no column of scores may be called, in any case: `prepare table` reads these.
_TAKEN = frozenset((*COLUMNS, "split"))


@dataclass(frozen=True)
class Captions:
    """What is asked of captions.

    Attributes:
        replace: Take out what somebody else has written into them.
        undesired: Labels that are never written.
    """

    replace: bool = False
    undesired: tuple[str, ...] = ()


NO_WISHES = Captions()


@dataclass(frozen=True)
class WriteContext:
    """What a writer needs beside the rows.

    Attributes:
        root: The folder that the rows' paths are relative to.
        labels: The label set, in the order of `TaggedImage.scores`.
        all_scores: Write every label's score; every row then carries `TaggedImage.scores`.
        sidecar_name: ``ext`` names the sidecar of ``a.jpg`` ``a.jpg.xmp``, ``stem`` names it ``a.xmp``; None takes
            whichever is there, and names new ones as their folder's are named.
        provenance: What made the tags (method, backbone, …), recorded in XMP. No dates: a rerun writes the same bytes.
        vocabulary: Name of the label set, which owns the keywords that are written under it.
        restore: Write keywords again that somebody has taken out.
        replace: Take a vocabulary's earlier keywords out even where few of its labels are left.
        decision: Fingerprint of everything but the photograph that decides the tags; empty where nothing is to be kept.
        stamps: Version of every image of the run.
        captions: What is asked of captions.
        note: Takes the few words that a writer has for people.
    """

    root: Path
    labels: tuple[str, ...]
    all_scores: bool = False
    sidecar_name: Literal["ext", "stem"] | None = None
    provenance: Mapping[str, str] = field(default_factory=dict)
    vocabulary: str = ""
    restore: bool = False
    replace: bool = False
    decision: str = ""
    stamps: Mapping[str, Stamp] = field(default_factory=dict)
    captions: Captions = NO_WISHES
    note: Callable[[str], None] = lambda _: None


#: Gives the row of an image that an earlier run has written.
KeptRows = Callable[[str], KeptImage | TaggedImage]


@dataclass(frozen=True)
class Writer:
    """One output format.

    Attributes:
        name: What the user types.
        kind: Second argument of `write`: ``stream`` an open text file (``newline=""``), ``file`` a path to write to,
            ``sidecar`` the folder that mirrors the photographs' tree, ``parts`` a path as of ``file``, of one of the
            files of a folder of parts. Only sidecars are put in place by the writer itself, each atomically; for the
            others that is up to the caller.
        suffix: Of the files it makes, with its dot; empty where there is none.
        all_scores: Whether it can hold every label's score.
        summary: One line for the help.
        write: ``write(rows, target, context)``; returns the images whose result could not be stored.
        current: For sidecars, ``current(stamps, folder, context)``: given the images as they are now, those whose
            sidecar holds what this run would write, with the stamp that was found to hold (`artifacts.still_holds`);
            they are not tagged again, and not among the rows. Also asked where its answer will not be used.
        rows: For files, ``rows(path, names, context)``: a context manager that gives each image's row of a finished
            file, to be written again. None where a format has no rows to keep.
    """

    name: str
    kind: Literal["stream", "file", "sidecar", "parts"]
    suffix: str
    all_scores: bool
    summary: str
    write: Callable[..., list[FailedImage]]
    current: Callable[[Mapping[str, Stamp], Path, WriteContext], dict[str, Stamp]] | None = None
    rows: Callable[[Path, Sequence[str], WriteContext], AbstractContextManager[KeptRows]] | None = None


def score_columns(labels: Sequence[str]) -> list[str]:
    """Name of each label's score column: the label, with ``label:`` before it where a fixed column has that name."""
    taken = {*_TAKEN, *labels}
    names = []
    for label in labels:
        name = label
        if label.lower() in _TAKEN:
            while name in taken:
                name = f"label:{name}"
        names.append(name)
    return names


def score_label(column: str) -> str:
    """The label of a column that `score_columns` named."""
    name = column
    while name.startswith("label:"):
        name = name.removeprefix("label:")
    return name if name.lower() in _TAKEN else column
