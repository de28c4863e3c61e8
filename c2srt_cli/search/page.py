"""What was found, as the page of ``c2srt review``: one label, with the nearest others below the line."""

from c2srt_cli.artifacts import address, in_bucket
from c2srt_cli.errors import UsageError
from c2srt_cli.review.ranking import OTHERS
from c2srt_cli.review.source import Tagged
from c2srt_cli.search.search import SearchResult
from c2srt_cli.tagging.record import Tag, TaggedImage


def page_of(result: SearchResult, count: int, label: str, threshold: float | None) -> Tagged:
    """What stands on the page.

    Args:
        result: Of the search.
        count: How many of its photographs are above the line.
        label: What the page calls them.
        threshold: The probability from which they are, where one was asked for.

    Raises:
        UsageError: the photographs are in a bucket.
    """
    if in_bucket(result.root):
        hint = "leave --out away: their names are printed"
        raise UsageError("the page shows photographs that are in folders", where=address(result.root), hint=hint)
    hits = result.hits[: count + OTHERS]
    images = [
        TaggedImage(
            hit.path, (Tag(label, hit.score, hit.probability, None),) if place < count else (), scores=(hit.score,)
        )
        for place, hit in enumerate(hits)
    ]
    return Tagged(
        title=label,
        root=result.root.absolute(),
        labels=(label,),
        scored=(label,),
        total=len(images),
        images=images,
        sha256=result.sha256,
        rule={"threshold": threshold},
        fit=None,
        grid=None,
        problems=[],
    )
