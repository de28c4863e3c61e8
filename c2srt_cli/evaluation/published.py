"""Published figures of the same protocols, each with where it can be read.

Only figures that were read in source code, in an author's log, or on a public page; figures known from memory alone
are not here. Papers mix test sets: `Published.positives_per_image` shows from a row's own figures which one it used.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Published:
    """One row of the literature.

    Attributes:
        dataset: As in `Annotations`.
        protocol: Name of the `Protocol` whose test images it used; ``other`` or ``unknown`` where it is none of them.
        method: Its name, with what tells it from others of that name.
        grade: ``code``: in source code or an author's log. ``page``: on a public page.
        source: Where.
        figures: Percent as printed, by setting and measure: ``ZSL mAP``, ``GZSL F1@3``. Mean AP counts classes without
            positives as 0.
    """

    dataset: str
    protocol: str
    method: str
    grade: Literal["code", "page"]
    source: str
    figures: Mapping[str, float]

    def positives_per_image(self, setting: str, k: int) -> tuple[float, float] | None:
        """Between which two numbers the positives per test image lie: ``P@K * K / R@K``, given the rounding.

        None where precision or recall is not stated.
        """
        precision, recall = (self.figures.get(f"{setting} {name}@{k}") for name in "PR")
        if precision is None or recall is None:
            return None
        half = 0.05  # figures have one decimal
        return (precision - half) * k / (recall + half), (precision + half) * k / (recall - half)


def _row(setting: str, mean_ap: float | None = None, **at: tuple[float, float, float]) -> dict[str, float]:
    """Figures of a setting; ``k3=(P, R, F1)``."""
    figures = {} if mean_ap is None else {f"{setting} mAP": mean_ap}
    for k, values in at.items():
        figures |= {f"{setting} {name}@{k[1:]}": value for name, value in zip(("P", "R", "F1"), values, strict=True)}
    return figures


PUBLISHED: tuple[Published, ...] = (
    Published(
        "nus-wide",
        "F",
        "BiAM",
        "code",
        "github.com/akshitac8/BiAM, paper_logs/nus_wide.log: epoch 4 for ZSL, epoch 3 for GZSL",
        _row("ZSL", 26.4, k3=(27.0, 43.2, 33.2), k5=(20.7, 55.1, 30.1))
        | _row("GZSL", 9.6, k3=(26.4, 11.6, 16.1), k5=(22.4, 16.5, 19.0)),
    ),
    Published(
        "nus-wide",
        "F",
        "MKT",
        "page",
        "wizwand.com; github.com/sunanhe/MKT issue 16: 42.2 from the provided checkpoint, about 36 retrained",
        {"ZSL mAP": 37.6},
    ),
    Published(
        "nus-wide",
        "unknown",
        "ML-Decoder",
        "page",
        "its README on GitHub",
        {"ZSL mAP": 31.1},
    ),
    Published(
        "nus-wide",
        "unknown",
        "SDL, M=7",
        "page",
        "public pages",
        {"ZSL mAP": 25.9, "GZSL F1@3": 18.5},
    ),
    Published("nus-wide", "L", "DualCoOp, RN50", "page", "public pages", {"ZSL mAP": 43.6}),
    Published("nus-wide", "L", "RAM", "page", "wizwand.com", {"ZSL mAP": 53.2, "GZSL F1@3": 23.5}),
    Published("nus-wide", "unknown", "SPARC, training-free", "page", "wizwand.com", {"ZSL mAP": 47.5}),
    Published(
        "nus-wide",
        "other",
        "CLIP ViT-B/16, zero-shot",
        "page",
        "CLIP_Surgery, issue 20 on GitHub: softmax at logit scale 100; 35 without normalising features",
        {"ZSL mAP": 42.85},
    ),
    *(
        Published(
            "nus-wide",
            "other",
            f"PIAA with {name}, training-free",
            "page",
            "its README on GitHub: a public subset of 60,000 images",
            {"ZSL mAP": figure},
        )
        for name, figure in (("SCLIP", 49.2), ("ITACLIP", 49.1), ("SC-CLIP", 50.6))
    ),
    Published(
        "open-images",
        "verified",
        "BiAM, checkpoint 7900_1",
        "code",
        "github.com/akshitac8/BiAM, paper_logs/openimages.log",
        _row("ZSL", 64.2, k10=(3.6, 27.9, 6.3), k20=(2.6, 40.7, 4.9))
        | _row("GZSL", 80.7, k10=(17.0, 19.5, 18.2), k20=(10.9, 25.1, 15.2)),
    ),
    Published(
        "open-images",
        "verified",
        "BiAM, checkpoint 7500_5",
        "code",
        "github.com/akshitac8/BiAM, paper_logs/openimages.log, which ends before GZSL",
        _row("ZSL", 65.3, k10=(3.4, 26.4, 6.0), k20=(2.4, 38.0, 4.6)),
    ),
    Published("open-images", "unknown", "SDL", "page", "public pages", {"ZSL mAP": 62.9, "GZSL P@10": 35.3}),
    Published("coco", "unknown", "SDL, M=2", "page", "public pages", {"ZSL P@3": 26.3, "GZSL P@3": 59.0}),
    Published("coco", "labelled", "DualCoOp", "page", "public pages", {"GZSL P@3": 58.4}),
    Published(
        "coco",
        "labelled",
        "DualCoOp, run by a user",
        "page",
        "its issue 7 on GitHub",
        _row("ZSL", 64.03, k3=(32.50, 80.76, 46.35)),
    ),
    Published("coco", "labelled", "RAM", "page", "wizwand.com", {"ZSL P@3": 38.2, "GZSL P@3": 62.5}),
)


#: How many labels are seen and unseen in the splits that the figures hold for.
SPLITS = {"nus-wide": (925, 81), "open-images": (7186, 400), "coco": (48, 17)}


def published(dataset: str, seen: int, unseen: int) -> tuple[Published, ...]:
    """The rows of a dataset; none where another number of its labels is seen or unseen than in the published split."""
    return tuple(row for row in PUBLISHED if row.dataset == dataset and SPLITS[dataset] == (seen, unseen))
