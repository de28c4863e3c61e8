"""What an earlier run of `embed` left in a folder: whether a later one may go on with it, and of which images."""

from pathlib import Path

from c2srt_cli.artifacts import check_same, previous_manifest
from c2srt_cli.embeddings.manifest import EmbeddingOptions
from c2srt_cli.embeddings.store import KIND, READABLE, SCHEMA, payload
from c2srt_cli.errors import InputError
from c2srt_cli.parts.comparison import Comparison
from c2srt_cli.parts.folder import delete_parts
from c2srt_cli.progress import Progress


def previous_options(out: Path, *, overwrite: bool) -> EmbeddingOptions | None:
    """The options of the embeddings that a run goes on with; None where it begins.

    Raises:
        InputError: there is something else, or what says what is there is damaged.
    """
    found = previous_manifest(out, KIND, overwrite=overwrite)
    if found is not None and found.get("schema") not in READABLE:
        raise InputError(
            f"holds {KIND} of layout {found.get('schema')}; this version writes layout {SCHEMA}",
            where=str(out),
            hint="name another --out",
        )
    if found is None or overwrite:
        return None
    return EmbeddingOptions.of_manifest(out, found, "give --overwrite to start again")


def check_options(out: Path, there: EmbeddingOptions, now: EmbeddingOptions) -> None:
    """Refuse to go on with what was made otherwise: from other weights, pixels, at another split, in other numbers.

    Raises:
        InputError: naming every option that differs.
    """
    configs = {} if there.config_sha256 is None else {"config_sha256": now.config_sha256}
    check_same(out, there.deciding() | dict.fromkeys(configs, there.config_sha256), now.deciding() | configs)


def check_moved(out: Path, before: str, root: str, found: Comparison, progress: Progress) -> None:
    """Images may move and keep their embeddings; other images may not take their place unasked.

    Raises:
        InputError: none of the images is known.
    """
    if found.known and not found.held:
        raise InputError(
            f"these are embeddings of the images in {before}, none of which is in {root}",
            where=str(out),
            hint="name the folder that has taken its place with --root, or another --out, or give --overwrite",
        )
    progress.note(f"the images have moved from {before} to {root}")


def discard(out: Path) -> None:
    """Delete the payload; whatever a kill leaves of it still says what it was made with."""
    delete_parts(out)
    for path in payload(out):
        path.unlink()
