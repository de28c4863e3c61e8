"""Text sidecars: the labels of an image, one a line, and nothing else."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from c2srt_cli.artifacts import Stamp, still_holds
from c2srt_cli.errors import UsageError
from c2srt_cli.tagging.keywords.ledger import sample_of
from c2srt_cli.tagging.keywords.lists import word_key
from c2srt_cli.tagging.record import FailedImage, TaggedImage
from c2srt_cli.tagging.writers.context import WriteContext
from c2srt_cli.tagging.writers.escape import one_line
from c2srt_cli.tagging.writers.shared_file import read, update
from c2srt_cli.tagging.writers.sidecar import Sidecars
from c2srt_cli.tagging.writers.txt_record import Given, TxtRecord, sha256
from c2srt_cli.tagging.writers.vocabulary import check_left

SUFFIX = ".txt"


class _NotOursError(Exception):
    """The file holds what somebody else has written."""


def write_txt(rows: Iterable[TaggedImage], folder: Path, context: WriteContext) -> list[FailedImage]:
    """Write ``a.jpg.txt`` (``ext``) or ``a.txt`` (``stem``) for each image, best label first.

    Several vocabularies share a file, each with its own lines, in the order of their names. A text file that is there
    already is replaced only if c2srt wrote it and nobody has changed it since; notes and captions of the user stay, and
    the image is reported. A file that would not change is not touched.

    Returns:
        The images whose sidecar could not be written, with reason ``sidecar``.
    """
    if not context.stamps:
        rows = list(rows)
    record = TxtRecord(folder)
    sidecars = Sidecars(context.stamps or [row.path for row in rows], SUFFIX, folder, context, record.files)
    failed = []
    for row in rows:
        if row.path in sidecars.problems:
            failed.append(FailedImage(row.path, "sidecar", sidecars.problems[row.path]))
            continue
        name = sidecars[row.path]
        lines = dict.fromkeys(line for tag in row.tags if (line := one_line(tag.label)))
        given = Given(tuple(lines), context.decision, context.stamps.get(row.path, Given.stamp))
        try:
            record.note_sample(context.vocabulary, sample_of(context.labels))
            _write(folder / name, name, given, record, context.vocabulary)
        except _NotOursError:
            problem = f"{name} is there and c2srt did not write it, or somebody has changed it; it was left as it is"
            failed.append(FailedImage(row.path, "sidecar", problem))
        except OSError as error:
            failed.append(FailedImage(row.path, "sidecar", f"{name}: {error.strerror or error}"))
    record.tidy()
    return failed


def _write(path: Path, name: str, given: Given, record: TxtRecord, vocabulary: str) -> None:
    def changed(old: bytes) -> bytes:
        ours = record.knows(name, old, vocabulary)
        everything = {**(record.files[name].given if name in record.files else {}), vocabulary: given}
        lines: dict[str, str] = {}
        for _, one in sorted(everything.items()):
            for line in one.lines:
                lines.setdefault(word_key(line), line)
        new = "".join(line + "\n" for line in lines.values()).encode()
        if old and old != new and not ours:
            raise _NotOursError
        record.note(name, new, everything)
        return new

    update(path, changed, keep_empty=True)


def current_txt(stamps: Mapping[str, Stamp], folder: Path, context: WriteContext) -> dict[str, Stamp]:
    """The images whose sidecar holds what this run would write, with the stamp that holds.

    Raises:
        UsageError: fewer than half of the labels that the vocabulary had are left in it; or keywords that somebody has
            taken out are asked for, which text sidecars do not tell from other changes.
    """
    if context.restore:
        raise UsageError(
            "a text sidecar that somebody has changed is left alone",
            where="--restore",
            hint="delete the text files that are to be written again",
        )
    record = TxtRecord(folder)
    check_left(record.samples.get(context.vocabulary, ()), context)
    sidecars = Sidecars(stamps, SUFFIX, folder, context, record.files)
    holding = {}
    for name, now in stamps.items():
        if name in sidecars.problems or (written := record.files.get(sidecars[name])) is None:
            continue
        path = folder / sidecars[name]
        given = written.given.get(context.vocabulary)
        if given is None or not context.decision or given.decision != context.decision:
            continue
        try:
            data = read(path)
            if data is None or sha256(data) != written.contents[-1]:
                continue
            then = given.stamp._replace(ctime_ns=now.ctime_ns if now.ctime_ns < path.stat().st_ctime_ns else -1)
        except OSError:
            continue  # said when it is written
        if holds := still_holds(context.root / name, now, then):
            holding[name] = holds
    return holding


def take_back(
    record: TxtRecord, within: Iterable[Path], vocabulary: str | None, failures: list[FailedImage]
) -> Iterator[Path]:
    """Take the lines of a vocabulary, or of all where None, out of the sidecars that a record speaks of.

    Args:
        record: Of a folder.
        within: Folders, photographs or sidecars: those below and of them.
        vocabulary: Whose lines.
        failures: Takes the sidecars that were left as they are.

    Yields:
        Each file that is no longer what it was; those without a line are gone.
    """
    for name in sorted(record.files):
        path = record.folder / name
        ours = [one for one in record.files[name].given if vocabulary in (None, one)]
        if not ours or not any(_speaks_of(path, place) for place in within):
            continue
        try:
            if read(path) is not None:
                for one in ours:
                    _write(path, name, Given(()), record, one)
                if not path.stat().st_size:
                    path.unlink()
                yield path
            record.forget(name, ours)
        except _NotOursError:
            failures.append(FailedImage(str(path), "sidecar", "somebody has changed it; it was left as it is"))
        except OSError as error:
            failures.append(FailedImage(str(path), "sidecar", f"it was left as it is: {error.strerror or error}"))
    record.tidy()


def _speaks_of(sidecar: Path, place: Path) -> bool:
    """Whether a text file is a place, lies below it, or is the sidecar of that photograph."""
    named = {place, place.with_name(place.name + SUFFIX), place.with_suffix(SUFFIX)} if place.name else {place}
    return sidecar in named or sidecar.is_relative_to(place)
