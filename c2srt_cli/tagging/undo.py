"""Keywords taken back: every sidecar as it would be had c2srt given its photograph nothing."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from c2srt_cli.errors import InputError, nearby
from c2srt_cli.images.exclusion import Exclusion
from c2srt_cli.images.formats import RAW_SUFFIXES, SUFFIXES
from c2srt_cli.tagging.keywords.ledger import OWN, Claim
from c2srt_cli.tagging.keywords.merge import merge
from c2srt_cli.tagging.keywords.packet import PacketError
from c2srt_cli.tagging.keywords.state import read_state
from c2srt_cli.tagging.record import FailedImage
from c2srt_cli.tagging.writers import TEXT_FORMS, text_files, untagged, xmp
from c2srt_cli.tagging.writers.shared_file import update


@dataclass
class UndoResult:
    """What was taken back.

    Attributes:
        changed: Sidecars that have lost keywords of c2srt's.
        removed: Those of them that are gone, since c2srt had made them.
        failures: Sidecars that were left as they are, and why.
    """

    changed: int = 0
    removed: int = 0
    failures: tuple[FailedImage, ...] = ()


def undo(inputs: Sequence[str], vocabulary: str | None = None) -> UndoResult:
    """Take keywords back that c2srt has written into sidecars.

    What somebody has refused stays remembered in the sidecar; everything else is as it was before, to the byte.

    Args:
        inputs: Folders, which are searched to any depth; photographs; or sidecars.
        vocabulary: Whose keywords; everybody's where None.

    Raises:
        InputError: an input is not there, or is a file that no sidecar can be of.
    """
    if missing := [text for text in inputs if not Path(text).exists()]:
        guess = nearby(Path(missing[0]))
        raise InputError("no such file or folder", problems=missing, hint=f"did you mean {guess}?" if guess else None)
    if strange := [text for text in inputs if not _may_have_sidecars(Path(text))]:
        raise InputError(
            "neither a photograph nor a sidecar of c2srt's", problems=strange, hint="name photographs or their folder"
        )
    result = UndoResult()
    failures: list[FailedImage] = []
    for path in dict.fromkeys(file for text in inputs for file in _sidecars(Path(text))):
        try:
            changed = _undo_xmp(path, vocabulary)
        except (PacketError, OSError) as error:
            failures.append(FailedImage(str(path), "sidecar", f"it was left as it is: {error}"))
            continue
        result.changed += changed
        result.removed += changed and not path.exists()
    for folder, within in _folders_of(untagged.RECORD, inputs):
        untagged.Untagged(folder).save(partial(_stays, folder, within, vocabulary))
    for form in TEXT_FORMS:
        for folder, within in _folders_of(form.record, inputs):
            for path in form.take_back(folder, within, vocabulary, failures):
                result.changed += 1
                result.removed += not path.exists()
    result.failures = tuple(failures)
    return result


def _undo_xmp(path: Path, vocabulary: str | None) -> bool:
    """Whether keywords were taken out of a sidecar."""
    given = False

    def without(packet: bytes) -> bytes:
        nonlocal given
        given = False
        if OWN.encode() not in packet:
            return packet
        claims = read_state(packet, vocabulary or "").ledger.claims
        for name in [name for name in claims if vocabulary in (None, name)]:
            given = given or bool(claims[name].labels)
            packet = merge(packet, name, Claim(()), None) if packet else packet
        return packet

    return update(path, without) and given


def _may_have_sidecars(path: Path) -> bool:
    """Whether a path is a folder, a photograph, a sidecar, or has one."""
    if path.is_dir() or path.suffix.lower() in {xmp.SUFFIX, *SUFFIXES, *RAW_SUFFIXES} or any(_sidecars(path)):
        return True
    records = (folder for form in TEXT_FORMS for folder in _folders_of(form.record, [str(path)]))
    return path.suffix.lower() == text_files.SUFFIX and any(True for _ in records)


def _sidecars(path: Path) -> Iterator[Path]:
    """XMP sidecars that a path means: itself, that of a photograph, or all below a folder."""
    if path.is_file():
        named = {path.name + xmp.SUFFIX, path.stem + xmp.SUFFIX} if path.suffix.lower() != xmp.SUFFIX else {path.name}
        yield from (path.with_name(name) for name in sorted(named) if path.with_name(name).is_file())
        return
    exclusion = Exclusion(())
    for parent, folders, files in os.walk(path):
        folders[:] = sorted(name for name in folders if not exclusion.by_default(parent, name))
        yield from (Path(parent, name) for name in sorted(files) if name.lower().endswith(xmp.SUFFIX))


def _folders_of(record: str, inputs: Sequence[str]) -> Iterator[tuple[Path, list[Path]]]:
    """The folders with records that speak of the inputs, and which of the inputs they are."""
    spoken_of: dict[Path, list[Path]] = {}
    for text in inputs:
        path = Path(text).absolute()
        for folder in (path, *path.parents):
            if (folder / record).is_file():
                spoken_of.setdefault(folder, []).append(path)
        if path.is_dir():
            for parent, _, files in os.walk(path):
                if record in files and Path(parent) != path:
                    spoken_of.setdefault(Path(parent), []).append(path)
    yield from spoken_of.items()


def _stays(folder: Path, within: Sequence[Path], vocabulary: str | None, name: str, photograph: str) -> bool:
    """Whether a line of a record is of another vocabulary than the one that goes, or of other photographs."""
    path = folder / photograph
    return vocabulary not in (None, name) or not any(path.is_relative_to(place) for place in within)
