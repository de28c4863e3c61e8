"""What can be chosen about a method, each with its reason. No torch here: the command line reads these at start."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal


def choice(default: Any, help: str) -> Any:  # noqa: A002
    """A field with the reason for its default."""
    return field(default=default, metadata={"help": help})


@dataclass(frozen=True)
class Parts:
    """What a recogniser is made of."""

    local: Literal["isr", "kcot", "topk", "max", "mean", "none"] = choice(
        "isr",
        "How patches become a label's local feature: an adaptive number of them (C2SRT, eq. 4-5), the share of each "
        "that optimal transport moves to the label (RAM), a fixed number, one, all, none.",
    )
    alpha: float = choice(0.5, "Mass of a softmax over patches that ISR gathers (C2SRT).")
    cap: int = choice(32, "Most patches of a 14x14 grid, and the number of topk; scaled to other grids (C2SRT).")
    transfer: Literal["ist", "scores", "none"] = choice(
        "ist",
        "What flows over the graph: features between all labels by IST (C2SRT, eq. 7-9), scores from seen labels to "
        "unseen ones (ours), nothing.",
    )
    gain: float = choice(0.4, "Of what score transfer adds to an unseen label; fitted unless it is given.")
    layers: int = choice(2, "GATv2 layers of IST (C2SRT).")
    heads: int = choice(4, "Heads of a GATv2 layer; inferred: the paper says several.")
    hidden: int = choice(0, "Width of IST's FFN; 0 for the joint space's; inferred.")
    dropout: float = choice(0.1, "In IST while training; inferred, from another use of IST.")
    plain_start: bool = choice(
        False,
        "Start the last linears of IST and of adapters as torch does, and text tokens at random (RAM); ours start at "
        "zero, and as words, so that step 0 is zero-shot, or nearly.",
    )
    frozen: float = choice(
        0.0,
        "Share of the frozen backbone's score in an unseen label's own; what was not trained has not forgotten.",
    )
    score: Literal["cosine", "softmax", "mkt"] = choice(
        "cosine",
        "Cosine with the label's text (C2SRT, eq. 10), the mean of a global and a local softmax over labels (RAM), or "
        "MKT's dot products scaled over the labels of an image.",
    )
    dense: Literal["none", "vv", "vv-all"] = choice(
        "none",
        "Blocks of a ViT whose value-value attention gives the patches: none, the last six, all (RAM); a CNN's last "
        "map is local as it is.",
    )
    local_scale: float = choice(
        10.0,
        "Factor of a local mean cosine before its softmax, at the start; it learns. RAM's temperatures times the "
        "number of labels come to 10.4 on COCO and 5.4 on NUS-WIDE.",
    )
    reg: float = choice(0.1, "Weight of the entropy in KCOT (RAM).")
    teacher: float = choice(0.05, "Weight of the frozen backbone's word on where a label is, in KCOT (RAM's TKT).")
    focus: float = choice(
        0.1, "Temperature of a softmax that gives patches their mass in KCOT (RAM's LPD); 0 for equal masses."
    )
    ladder: int = choice(0, "Last stages with a ladder local adapter (RAM: three).")
    rung_norm: Literal["group", "batch"] = choice(
        "group", "Norm in an adapter: batch is RAM's, group does not look at other photographs."
    )
    vision_tokens: int = choice(0, "Tokens that learn beside the patches at each adapted stage of a ViT (RAM: eight).")
    text_tokens: int = choice(0, "Tokens that learn beside the words in the last layers of the text tower (RAM: four).")
    text_layers: int = choice(3, "How many layers of the text tower these are (RAM: 3 on COCO, 6 on NUS-WIDE).")
    prompt: str = choice(
        "",
        "Prompt whose words around {} learn, on the image side of --init (MKT's second stage); none if empty.",
    )

    @property
    def hops(self) -> int:
        """Edges that knowledge crosses."""
        return {"ist": self.layers, "scores": 1, "none": 0}[self.transfer]

    def dense_of(self, tower: Any) -> str | None:
        """The value-value stream that patches come from; None where there is none, as in a CNN."""
        return self.dense if self.dense != "none" and tower.supports_local else None

    @property
    def teaches(self) -> bool:
        """Whether the frozen backbone says in training where labels are."""
        return self.local == "kcot" and self.teacher > 0 and self.score != "mkt" and not self.prompt

    @property
    def by_vocabulary(self) -> bool:
        """Whether a label's score depends on which others are asked for."""
        return self.score != "cosine" or self.local == "kcot" or self.ladder > 0

    @property
    def calibrates(self) -> bool:
        """Whether scores, or what they are made from, say the same with any vocabulary, or nearly so."""
        return self.score != "mkt"


@dataclass(frozen=True)
class Losses:
    """What training minimises."""

    loss: Literal["ranking", "sigmoid", "asymmetric", "mmc"] = choice(
        "ranking",
        "Between present and absent labels: C2SRT's ranking loss, BCE, ASL (arXiv 2009.14119), or RAM's contrastive "
        "loss over all pairs of a photograph and a label.",
    )
    margin: float = choice(1.0, "Of the ranking loss (C2SRT).")
    over: Literal["labels", "images", "both"] = choice(
        "labels",
        "What the ranking loss compares: labels of a photograph (C2SRT), photographs under a label (ours), both.",
    )
    bias: float = choice(
        -6.0, "Added to scores in sigmoid and asymmetric losses, and learns: cosines alone are all above 0 (SigLIP)."
    )
    tau: float = choice(
        10.0,
        "Scores are multiplied by it before the loss, and it learns; 1 is the literal paper, whose margin is inert. "
        "RAM's softmaxes have temperatures of their own.",
    )
    learn_tau: bool = choice(True, "Whether tau learns.")
    distillation: Literal["l1", "l2", "cosine"] = choice(
        "l1", "Distance of the global embedding to the frozen one; the norm is inferred from MKT's code."
    )
    distillation_weight: float = choice(1.0, "Of that distance, 0 to leave it out; inferred from MKT's code.")
    negatives: int = choice(
        64, "Absent labels drawn for a batch beside those present in it, 0 for all: bounds memory with many labels."
    )


@dataclass(frozen=True)
class Method:
    """A published method: its parts, its losses, and how it is trained.

    Attributes:
        parts: What it is made of.
        losses: What it minimises.
        optimisation: Options of the optimisation that differ from their defaults, by name.
    """

    parts: Parts
    losses: Losses
    optimisation: Mapping[str, Any] = field(default_factory=dict)

    @property
    def graph(self) -> bool:
        """Whether it needs a category graph."""
        return self.parts.hops > 0
