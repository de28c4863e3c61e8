"""What was found, as a keyword in the sidecars."""

from collections.abc import Callable, Sequence
from pathlib import Path

from c2srt_cli.search.search import Hit
from c2srt_cli.tagging.record import FailedImage, Tag, TaggedImage
from c2srt_cli.tagging.writers import WRITERS, WriteContext


def write_keyword(root: Path, hits: Sequence[Hit], keyword: str, note: Callable[[str], None]) -> list[FailedImage]:
    """Write a keyword into the sidecars of photographs, beside whatever is there.

    The keyword is a vocabulary of its own, named after the search: no run of ``tag`` takes it out again, and other
    photographs that it was given by an earlier search keep it.

    Returns:
        The photographs whose sidecar could not be written.
    """
    vocabulary = f"search {keyword}"
    context = WriteContext(root, (keyword,), provenance={"method": "search"}, vocabulary=vocabulary, note=note)
    rows = [TaggedImage(hit.path, (Tag(keyword, hit.score, hit.probability, None),)) for hit in hits]
    return WRITERS["xmp"].write(rows, root, context)
