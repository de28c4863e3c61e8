"""Text sidecars: the labels of an image, one a line, and nothing else."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

from c2srt_cli.artifacts import atomic_write
from c2srt_cli.tagging.record import FailedImage, TaggedImage
from c2srt_cli.tagging.writers.context import WriteContext
from c2srt_cli.tagging.writers.escape import one_line
from c2srt_cli.tagging.writers.sidecar import checked, sidecar_path

#: Holds the fingerprints of the text sidecars that c2srt wrote in a folder: programs that read those want labels and
#: nothing else, so a mark of origin has no place inside.
RECORD = ".c2srt-txt"


def write_txt(rows: Iterable[TaggedImage], folder: Path, context: WriteContext) -> list[FailedImage]:
    """Write ``a.jpg.txt`` (``ext``) or ``a.txt`` (``stem``) for each image, best label first.

    A text file that is there already is replaced only if c2srt wrote it and nobody has changed it since; notes and
    captions of the user stay, and the image is reported. A file that would not change is not touched.

    Returns:
        The images whose sidecar could not be written, with reason ``sidecar``.

    Raises:
        InputError: two images would share a sidecar; nothing has been written.
    """
    record = folder / RECORD
    written = set(record.read_text(encoding="ascii").split()) if record.exists() else set()
    failed = []
    for row in checked(rows, ".txt", context):
        name = sidecar_path(row.path, ".txt", context)
        data = "".join(one_line(tag.label) + "\n" for tag in row.tags).encode()
        try:
            target = folder / name
            old = target.read_bytes() if target.exists() else None
            if old and old != data and _fingerprint(name, old) not in written:
                failed.append(
                    FailedImage(
                        row.path, "sidecar", f"{name} is there and c2srt did not write it; it was left as it is"
                    )
                )
                continue
            mark = _fingerprint(name, data)
            if mark not in written:
                # before the file: a run killed in between must know its own file again
                written.add(mark)
                folder.mkdir(parents=True, exist_ok=True)
                with record.open("a", encoding="ascii") as file:
                    file.write(mark + "\n")
            if old != data:
                with atomic_write(target) as temporary:
                    temporary.write_bytes(data)
        except OSError as error:
            failed.append(FailedImage(row.path, "sidecar", f"{name}: {error.strerror or error}"))
    return failed


def _fingerprint(name: str, data: bytes) -> str:
    return hashlib.sha256(name.encode() + b"\0" + data).hexdigest()
