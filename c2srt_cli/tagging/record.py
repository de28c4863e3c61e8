"""One image's result: its tags, why it has none, or the row that an earlier run has written."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Tag:
    """One label on one image.

    Attributes:
        label: As the user wrote it.
        score: Raw method output; for zero-shot a cosine in [-1, 1], with a graph raised.
        probability: Calibrated, in [0, 1]; None where nothing is calibrated.
        share: Share of the image's patches that speak for the label, in (0, 1]; None where the whole image does.
    """

    label: str
    score: float
    probability: float | None
    share: float | None


@dataclass(frozen=True, slots=True)
class TaggedImage:
    """The tags of one image, best first.

    Attributes:
        path: Relative to the root, with ``/`` between its parts.
        tags: What the decision rule kept.
        scores: Every label's score in the order of the label set, where all were asked for.
        explanation: For each tag, what it rests on, as JSON (see `explanation.explain`), where that was asked for.
    """

    path: str
    tags: tuple[Tag, ...]
    scores: tuple[float, ...] | None = None
    explanation: list[dict[str, Any]] | None = None


@dataclass(frozen=True, slots=True)
class FailedImage:
    """An image that could not be tagged: a reason code (see `errors.ImageError`) and one line of detail."""

    path: str
    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class KeptImage:
    """An image whose earlier result stands: its row as the file has it, to the character."""

    path: str
    text: str
