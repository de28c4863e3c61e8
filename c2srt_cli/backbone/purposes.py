"""Which backbone to fetch for what, and on which terms its weights come. Imports nothing heavy.

The choice rests on figures that others have published, on naming pictures and finding them by a text; how well these
backbones tag has not been measured here.
"""

import fnmatch
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Purpose:
    """A backbone for a purpose.

    Attributes:
        spec: ``ARCH/TAG`` as open_clip lists it.
        why: One sentence for people, with the published figures.
    """

    spec: str
    why: str


PURPOSES = {
    "fast": Purpose(
        "ViT-B-32-SigLIP2-256/webli",
        "two to three times as fast as the default: ImageNet zero-shot 74.0 %, COCO text to image R@1 47.2 %",
    ),
    "default": Purpose(
        "ViT-B-16-SigLIP2/webli",
        "good on a processor, and in many languages: ImageNet zero-shot 78.2 %, COCO text to image R@1 52.1 %",
    ),
    "best": Purpose(
        "ViT-SO400M-16-SigLIP2-384/webli",
        "for a GPU, a sixteenth of the default's speed: ImageNet zero-shot 84.1 %, COCO text to image R@1 56.0 %",
    ),
    "multilingual": Purpose(
        "ViT-B-16-SigLIP2/webli",
        "the default: on Crossmodal-3600 it finds 86 % by German texts, 75 % by English ones (ViT-B-16/openai: 21, 58)",
    ),
}


@dataclass(frozen=True, slots=True)
class Licence:
    """The terms of weights.

    Attributes:
        name: As their publishers write it; None where it has not been verified.
        kind: ``open``; ``own terms``; or what it forbids to use them for.
    """

    name: str | None
    kind: Literal["open", "own terms", "research only", "non-commercial", "unknown"]

    @property
    def restricts(self) -> bool:
        """Whether it must not be passed over in silence."""
        return self.kind in ("research only", "non-commercial", "own terms")


#: By pattern of ``ARCH/TAG``, the first that fits: licences that stand in the publishers' own cards and repositories.
LICENCES = {
    "*SigLIP2*/webli": Licence("Apache-2.0", "open"),
    "PE-Core-*/meta": Licence("Apache-2.0", "open"),
    "*/dfn*": Licence("apple-amlr", "research only"),
    "MobileCLIP2-*/*": Licence("apple-amlr", "research only"),
    "MobileCLIP-*/*": Licence("apple-ascl", "own terms"),
    "*/metaclip_*": Licence("cc-by-nc-4.0", "non-commercial"),
}
UNKNOWN = Licence(None, "unknown")


def licence(spec: str) -> Licence:
    """On which terms the weights of a backbone come, as far as that has been verified."""
    return next((terms for pattern, terms in LICENCES.items() if fnmatch.fnmatchcase(spec, pattern)), UNKNOWN)
