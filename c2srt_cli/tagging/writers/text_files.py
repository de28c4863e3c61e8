"""Text files beside photographs, in whatever form: whose they are, and what a rerun leaves of them."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from c2srt_cli.artifacts import Stamp, still_holds
from c2srt_cli.tagging.keywords.ledger import sample_of
from c2srt_cli.tagging.record import FailedImage, TaggedImage
from c2srt_cli.tagging.writers.context import WriteContext
from c2srt_cli.tagging.writers.shared_file import read, update
from c2srt_cli.tagging.writers.sidecar import Sidecars
from c2srt_cli.tagging.writers.text_record import Given, TextRecord, Written
from c2srt_cli.tagging.writers.vocabulary import check_left

SUFFIX = ".txt"


class LeftAsItIsError(Exception):
    """A file cannot be written without losing what somebody else wrote; says why."""


@dataclass(frozen=True)
class Change:
    """What becomes of a text file.

    Attributes:
        data: What it is to hold.
        written: What of that is c2srt's.
        before: What of the present content is, with the words that somebody has taken out of it.
    """

    data: bytes
    written: Written
    before: Written


@dataclass(frozen=True)
class TextForm:
    """One form of text files.

    Attributes:
        record: Name of the file that remembers what was written in a folder; another form does not know its files.
        naming: How the files are named; None leaves it to the user and to what is there.
        words: ``words(row, context)``: what stands in the file of an image, best first.
        decision: Fingerprint of everything but the photograph that decides the words.
        change: ``change(old, known, last, given, context)``: the bytes of the file or None; what of them is c2srt's,
            None where others have written them; what was written last; what the vocabulary of the context gives.
            Raises `LeftAsItIsError`.
        settled: ``settled(data, written, context)``: whether a run that would give the same words would leave the file.
        check: Raises UsageError for options that do not go with the form.
    """

    record: str
    naming: Literal["stem"] | None
    words: Callable[[TaggedImage, WriteContext], Iterable[str]]
    decision: Callable[[WriteContext], str]
    change: Callable[[bytes | None, Written | None, Written, Given, WriteContext], Change]
    settled: Callable[[bytes, Written, WriteContext], bool]
    check: Callable[[WriteContext], None]

    def write(self, rows: Iterable[TaggedImage], folder: Path, context: WriteContext) -> list[FailedImage]:
        """Write ``a.jpg.txt`` (``ext``) or ``a.txt`` (``stem``) for each image.

        Several vocabularies share a file. A file that would not change is not touched.

        Returns:
            The images whose file could not be written, with reason ``sidecar``.
        """
        if not context.stamps:
            rows = list(rows)
        record = TextRecord(folder, self.record)
        files = self._files(context.stamps or [row.path for row in rows], folder, context, record)
        decision = self.decision(context)
        failed = []
        for row in rows:
            if row.path in files.problems:
                failed.append(FailedImage(row.path, "sidecar", files.problems[row.path]))
                continue
            name = files[row.path]
            given = Given(tuple(self.words(row, context)), decision, context.stamps.get(row.path, Given.stamp))
            try:
                record.note_sample(context.vocabulary, sample_of(context.labels))
                self._write(folder / name, name, given, record, context)
            except LeftAsItIsError as error:
                failed.append(FailedImage(row.path, "sidecar", f"{name} {error}"))
            except OSError as error:
                failed.append(FailedImage(row.path, "sidecar", f"{name}: {error.strerror or error}"))
        record.tidy()
        return failed

    def current(self, stamps: Mapping[str, Stamp], folder: Path, context: WriteContext) -> dict[str, Stamp]:
        """The images whose file holds what this run would write, with the stamp that holds.

        Raises:
            UsageError: fewer than half of the labels that the vocabulary had are left in it, or an option does not go
                with the form.
        """
        self.check(context)
        record = TextRecord(folder, self.record)
        check_left(record.samples.get(context.vocabulary, ()), context)
        files = self._files(stamps, folder, context, record)
        decision = self.decision(context)
        holding = {}
        for name, now in stamps.items():
            if name in files.problems or files[name] not in record.files:
                continue
            path, written = folder / files[name], record.last(files[name])
            given = written.given.get(context.vocabulary)
            if given is None or not decision or given.decision != decision:
                continue
            try:
                data = read(path)
                if data is None or not record.holds(files[name], data) or not self.settled(data, written, context):
                    continue
                then = given.stamp._replace(ctime_ns=now.ctime_ns if now.ctime_ns < path.stat().st_ctime_ns else -1)
            except OSError:
                continue  # said when it is written
            if holds := still_holds(context.root / name, now, then):
                holding[name] = holds
        return holding

    def take_back(
        self, folder: Path, within: Iterable[Path], vocabulary: str | None, failures: list[FailedImage]
    ) -> Iterator[Path]:
        """Take the words of a vocabulary, or of all where None, out of the files that a record speaks of.

        Args:
            folder: Of the record.
            within: Folders, photographs or text files: those below and of them.
            vocabulary: Whose words.
            failures: Takes the files that were left as they are.

        Yields:
            Each file that is no longer what it was; those without a word are gone.
        """
        record = TextRecord(folder, self.record)
        for name in sorted(record.files):
            path = folder / name
            ours = [one for one in record.last(name).given if vocabulary in (None, one)]
            if not ours or not any(_speaks_of(path, place) for place in within):
                continue
            try:
                if read(path) is not None:
                    for one in ours:
                        self._write(path, name, Given(()), record, WriteContext(folder, (), vocabulary=one))
                    if not path.stat().st_size:
                        path.unlink()
                    yield path
                record.forget(name, ours)
            except LeftAsItIsError:
                failures.append(FailedImage(str(path), "sidecar", "somebody has changed it; it was left as it is"))
            except OSError as error:
                failures.append(FailedImage(str(path), "sidecar", f"it was left as it is: {error.strerror or error}"))
        record.tidy()

    def _files(self, names: Iterable[str], folder: Path, context: WriteContext, record: TextRecord) -> Sidecars:
        return Sidecars(names, SUFFIX, folder, context, record.files, naming=self.naming)

    def _write(self, path: Path, name: str, given: Given, record: TextRecord, context: WriteContext) -> None:
        def changed(data: bytes) -> bytes:
            old = data if data or path.exists() else None
            known = record.knows(name, data, context.vocabulary)
            change = self.change(old, known, record.last(name), given, context)
            if data and known is None:
                record.note(name, data, change.before)
            record.note(name, change.data, change.written)
            return change.data

        update(path, changed, keep_empty=True)


def _speaks_of(text: Path, place: Path) -> bool:
    """Whether a text file is a place, lies below it, or is that of a photograph there."""
    named = {place, place.with_name(place.name + SUFFIX), place.with_suffix(SUFFIX)} if place.name else {place}
    return text in named or text.is_relative_to(place)
