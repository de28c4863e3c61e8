"""XMP sidecars: keywords that photo managers read, merged into what is there (see `keywords.merge`)."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from c2srt_cli.artifacts import Stamp, still_holds
from c2srt_cli.tagging.keywords.contents import Embedded
from c2srt_cli.tagging.keywords.ledger import Claim, sample_of
from c2srt_cli.tagging.keywords.merge import is_settled, merge
from c2srt_cli.tagging.keywords.packet import PacketError
from c2srt_cli.tagging.keywords.state import State, read_state
from c2srt_cli.tagging.record import FailedImage, TaggedImage
from c2srt_cli.tagging.writers.context import WriteContext
from c2srt_cli.tagging.writers.shared_file import read, update
from c2srt_cli.tagging.writers.sidecar import Sidecars
from c2srt_cli.tagging.writers.untagged import Untagged
from c2srt_cli.tagging.writers.vocabulary import check_left

SUFFIX = ".xmp"


def write_xmp(rows: Iterable[TaggedImage], folder: Path, context: WriteContext) -> list[FailedImage]:
    """Write or merge the sidecar of each image.

    An image without labels gets no new sidecar (see `untagged`), and one that c2srt has made goes with its last keyword
    unless somebody has taken keywords out of it. A sidecar that cannot be merged safely is left as it is; one that
    would not change is not touched.

    Returns:
        The images whose sidecar could not be written, with reason ``sidecar``.
    """
    if not context.stamps:
        rows = list(rows)
    sidecars = Sidecars(context.stamps or [row.path for row in rows], SUFFIX, folder, context)
    sample = sample_of(context.labels)
    untagged = Untagged(folder)
    failed = []
    for row in rows:
        if row.path in sidecars.problems:
            failed.append(FailedImage(row.path, "sidecar", sidecars.problems[row.path]))
            continue
        name = sidecars[row.path]
        try:
            _write(row, folder / name, sample, context)
            stamp = None if row.tags else context.stamps.get(row.path)
            untagged.note(context.vocabulary, row.path, context.decision, stamp)
        except PacketError as error:
            failed.append(FailedImage(row.path, "sidecar", f"{name} was left as it is: {error}"))
        except OSError as error:
            failed.append(FailedImage(row.path, "sidecar", f"{name}: {error.strerror or error}"))
    untagged.save(lambda _, name: name in context.stamps or (context.root / name).exists())
    return failed


def _write(row: TaggedImage, path: Path, sample: tuple[str, ...], context: WriteContext) -> None:
    from c2srt_cli.tagging.keywords.embedded import read_embedded  # Pillow is not needed to list the formats

    photograph = context.root / row.path
    claim = Claim(
        labels=tuple(tag.label for tag in row.tags),
        sample=sample,
        decision=context.decision,
        stamp=context.stamps.get(row.path),
        file="" if path.name.startswith(photograph.name) else photograph.name,
        provenance=context.provenance,
    )
    try:
        embedded: Embedded | None = read_embedded(photograph)
    except OSError:
        embedded = None  # tagged from embeddings, and no longer there
    restored = context.labels if context.restore else ()

    def merged(packet: bytes) -> bytes:
        if packet.strip() and claim.file:
            _check_owner(read_state(packet), photograph)
        return merge(packet, context.vocabulary, claim, embedded, restored)

    update(path, merged)


def _check_owner(state: State, photograph: Path) -> None:
    """Refuse the sidecar that another photograph has been given, and still has.

    Raises:
        PacketError: it is.
    """
    for claim in state.ledger.claims.values():
        if claim.file not in ("", photograph.name) and (photograph.parent / claim.file).exists():
            raise PacketError(f"it is that of {claim.file}; --sidecar-name ext gives each photograph its own")


def current_xmp(stamps: Mapping[str, Stamp], folder: Path, context: WriteContext) -> dict[str, Stamp]:
    """The images whose sidecar holds what this run would write, with the stamp that holds.

    Raises:
        UsageError: fewer than half of the labels that the vocabulary had are left in it.
    """
    sidecars = Sidecars(stamps, SUFFIX, folder, context)
    untagged = Untagged(folder)
    earlier: set[str] = set()
    holding = {}
    for name, now in stamps.items():
        if name in sidecars.problems:
            continue
        path = folder / sidecars[name]
        try:
            packet = read(path)
            state = read_state(packet, context.vocabulary) if packet else None
        except (OSError, PacketError):
            continue  # said when it is written
        claim = None if state is None else state.ledger.claims.get(context.vocabulary)
        if state is None or claim is None:
            before = untagged.stamp(context.vocabulary, name, context.decision)
            if before is not None and (holds := still_holds(context.root / name, now, before)):
                holding[name] = holds
            continue
        earlier.update(claim.sample)
        if claim.stamp is None or not context.decision or claim.decision != context.decision:
            continue
        refused = context.restore and bool(state.ledger.refused)
        # a sidecar says nothing of when the system saw the photograph change: it has not since, if before the sidecar
        then = claim.stamp._replace(ctime_ns=now.ctime_ns if now.ctime_ns < path.stat().st_ctime_ns else -1)
        if not refused and is_settled(state) and (holds := still_holds(context.root / name, now, then)):
            holding[name] = holds
    check_left(earlier, context)
    return holding
