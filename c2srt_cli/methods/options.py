"""The options of methods: groups that a method composes, checked by pydantic, each with the reason for its default."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SerializeAsAny

from c2srt_cli.errors import meant

PatchAttention = Literal["none", "value", "value-all"]


class Group(BaseModel):
    """Options that belong together: unknown ones are refused, values are of the right kind."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False, validate_default=True)


class Choice(Group):
    """One of several ways to do something, with the options of that way alone.

    An entry is a subclass whose ``kind`` names it, put into the registry of its family.
    """

    kind: str


def one_of(registry: Mapping[str, type[Choice]]) -> Any:
    """What a field of a family of choices takes: an entry's name, or its options as a mapping with ``kind``."""

    def entry(value: Any) -> Any:
        given = {"kind": value} if isinstance(value, str) else value
        if not isinstance(given, Mapping):
            return given
        kind = str(given.get("kind"))
        if kind not in registry:
            raise ValueError(f"must be one of {', '.join(registry)}{meant(kind, registry)}")
        return registry[kind].model_validate(dict(given))

    return BeforeValidator(entry)


class Training(Group):
    """How the weights are found."""

    epochs: int = Field(4, ge=1, description="Passes over the training images; a few thousand are overfitted by more.")
    batch_size: int = Field(64, ge=1, description="Images of a step (MKT).")
    lr: float = Field(
        3e-4, gt=0, description="Peak learning rate of the tower's norm and projection; earlier stages learn slower."
    )
    lr_new: float = Field(
        1e-3, gt=0, description="Peak learning rate of all that is new: IST, adapters, prompts and tokens, scales."
    )
    layer_decay: float = Field(
        0.65, gt=0, le=1, description="Factor of the learning rate from one stage to the one before it (MKT)."
    )
    weight_decay: float = Field(0.05, ge=0, description="Weight decay of AdamW, on matrices alone (MKT).")
    warmup: float = Field(
        0.1, ge=0, le=1, description="Share of the steps in which the learning rate rises; a cosine follows (MKT)."
    )
    clip: float = Field(1.0, gt=0, description="Largest norm of the gradient.")
    ema: float = Field(
        0.0, ge=0, lt=1, description="Decay of an average of the weights that is kept instead of the last ones."
    )
    validation: float = Field(
        0.1,
        ge=0,
        le=0.9,
        description="Share of the training images that make the validation set, where the dataset has none of its own "
        "(at most 20,000 images; 0 for none).",
    )
    patience: int = Field(
        0, ge=0, description="Epochs without a better seen mAP on the validation set after which to stop; 0 to go on."
    )
    sampled_negatives: int = Field(
        64, ge=0, description="Absent labels drawn for a batch beside those present in it; 0 takes all labels."
    )
    calibrate: bool = Field(
        True, description="Train a second time without 15 % of the seen labels, to calibrate scores of unseen ones."
    )
    augment: bool = Field(True, description="Flip and crop images at random while training from --images.")
    seed: int = Field(0, ge=0, lt=2**63, description="Seed of every random number.")


class Distillation(Group):
    """The distance to the frozen backbone that training keeps small."""

    norm: Literal["l1", "l2", "cosine"] = Field(
        "l1", description="Distance of the global embedding to the frozen one; inferred from MKT's code."
    )
    weight: float = Field(1.0, ge=0, description="Weight of the distance, 0 for none; inferred from MKT's code.")


class Adapters(Group):
    """Ladder local adapters (LLA, RAM)."""

    stages: int = Field(0, ge=0, description="Last stages of the tower that have an adapter (RAM: 3).")
    norm: Literal["group", "batch"] = Field(
        "group", description="Norm in an adapter: batch is RAM's, group does not look at other images."
    )
    vision_tokens: int = Field(0, ge=0, description="Tokens that learn beside the patches at these stages (RAM: 8).")
    random_init: bool = Field(
        False, description="Start the last convolution at random, as published, instead of at zero."
    )


class TextTokens(Group):
    """Tokens that learn beside the words in the text tower (RAM)."""

    count: int = Field(4, ge=0, description="How many (RAM: 4).")
    layers: int = Field(3, ge=1, description="Last layers of the text tower that have them (RAM: 3 or 6).")
    random_init: bool = Field(False, description="Start them at random, as published, instead of as words.")


#: Of what unseen labels take over.
Gain = Literal["fit"] | Annotated[float, Field(ge=0)]
FIT = (
    "fit takes, on the validation set, the smallest one within a standard error of the best, each seen label standing "
    "in as the frozen backbone scores it."
)


class IST(Choice):
    """Inter-category semantic transfer (C2SRT, eq. 7-9): what flows along the graph."""

    layers: int = Field(1, ge=1, description="Hops along the graph.")

    def problems(self) -> Iterator[str]:
        """What is wrong with options that are each in their range."""
        yield from ()


class EvidenceIST(IST):
    """Evidence flows: GATv2 says whose and how much, and no matrix learns what."""

    kind: Literal["evidence"] = "evidence"
    message: Literal["scores", "features"] = Field(
        "scores", description="Evidence of a source: its score, or its feature as the target's text reads it."
    )
    attention: bool = Field(True, description="GATv2 over features; without it all sources are heard alike.")
    heads: int = Field(4, ge=1, description="Heads of the attention; inferred, the paper says several.")
    width: int = Field(16, ge=1, description="Width of a head.")
    hidden: int = Field(32, ge=0, description="Width of the FFN in the nodes that attention looks at; 0 for none.")
    gain: Gain = Field("fit", description=f"Factor of what an unseen label hears. {FIT}")
    seen_gain: float = Field(0.2, ge=0, description="Factor of what a seen label hears; 0 for nothing.")
    gate: bool = Field(True, description="A further factor learns for each relation, from 1.")
    lr_ist: float = Field(1e-2, gt=0, description="Peak learning rate of the attention, its nodes and these factors.")
    edge_dropout: float = Field(0.3, ge=0, lt=1, description="Edges that drop out in a step.")


class ValueIST(IST):
    """Features flow through value matrices, as the paper words it."""

    kind: Literal["values"] = "values"
    layers: int = Field(2, ge=1, description="GATv2 layers (C2SRT).")
    heads: int = Field(4, ge=1, description="Heads of a layer; inferred, the paper says several.")
    hidden: int = Field(0, ge=0, description="Width of the FFN; 0 for that of the joint space; inferred.")
    dropout: float = Field(0.1, ge=0, lt=1, description="Dropout; inferred from another use of IST.")
    random_init: bool = Field(
        False, description="Start the last linear maps at random instead of at zero, where step 0 is zero-shot."
    )

    def problems(self) -> Iterator[str]:
        """Heads share the width."""
        if self.hidden % self.heads:
            yield f"ist.hidden = {self.hidden}: must be a multiple of ist.heads"


ISTS: dict[str, type[IST]] = {"evidence": EvidenceIST, "values": ValueIST}

#: A field of a method's options.
ISTOption = Annotated[SerializeAsAny[IST], one_of(ISTS)]


class Episodes(Group):
    """In each step some seen labels play unseen, as APNet, GPN and E-PGN have it.

    IST is for them alone there: all seen labels, they too, are taught by what they say themselves.
    """

    share: float = Field(
        0.0, ge=0, lt=1, description="Seen labels that play unseen: frozen features, sources for nobody; 0 for none."
    )
    weight: float = Field(0.5, ge=0, description="Weight of the loss after IST, which looks at these alone.")
    held_out: float = Field(
        0.0, ge=0, lt=1, description="Seen labels that never play; stopping early looks at them, playing unseen."
    )


class Propagation(Group):
    """Label propagation: scores of seen labels flow to unseen ones over the category graph."""

    gain: Gain = Field("fit", description=f"Factor of what is added to an unseen label. {FIT}")


class TrainedPropagation(Propagation):
    """The same after a training, where seen labels may listen too."""

    seen_gain: float = Field(
        0.0, ge=0, description="Factor of what is added to a seen label, once training is over; 0 for nothing."
    )


class Options(Group):
    """What all methods have: the base of a method's own ``Options``."""

    method: str

    def problems(self) -> Iterator[str]:
        """What is wrong with options that are each in their range."""
        yield from ()


class TrainedOptions(Options):
    """What all methods have that learn."""

    training: Training = Training()

    def problems(self) -> Iterator[str]:
        """Stopping early needs images to look at."""
        if self.training.patience and not self.training.validation:
            yield "training.patience must be 0 where training.validation is 0"


class GraphOptions(Group):
    """What methods with a category graph have."""

    neighbours: int = Field(
        10, ge=1, description="Most sources of a label in the graph; the paper's number is unknown."
    )


class ScaledOptions(Group):
    """What methods have that score by cosines, or the like."""

    logit_scale: float = Field(
        10.0, gt=0, description="Factor of the scores before the loss; at 1, the literal paper, the margin is inert."
    )
    learn_logit_scale: bool = Field(True, description="Whether that factor learns.")


class TailOptions(TrainedOptions):
    """What methods have that train the last stages of the image tower."""

    trained_stages: int = Field(2, ge=0, description="Last stages of the tower that learn (MKT: 2).")
    patch_attention: PatchAttention = Field(
        "none",
        description="Blocks of a ViT whose value-value attention gives the patches: none, value (the last six), "
        "value-all (RAM). The last map of a CNN is local as it is.",
    )
