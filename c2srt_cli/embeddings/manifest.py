"""What the manifest of embeddings says of them, and what of it decides their values."""

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, AliasChoices, BeforeValidator, Field, field_serializer, model_validator

from c2srt_cli.artifacts import MANIFEST
from c2srt_cli.artifacts.records import Count, Record, Sha256, Text, all_of, checked
from c2srt_cli.backbone.precision import Runtime
from c2srt_cli.backbone.registry import Backbone, load_backbone
from c2srt_cli.errors import C2srtError, InputError, UsageError
from c2srt_cli.images import PixelSpec
from c2srt_cli.labels import MOST_TEMPLATES, is_template


def _template(text: str) -> str:
    if not is_template(text):
        raise ValueError("has not one place {} for a label, and no other braces")
    return text


Template = Annotated[Text, AfterValidator(_template)]
Templates = Annotated[tuple[Template, ...], Field(max_length=MOST_TEMPLATES)]
Finite3 = tuple[float, float, float]
#: Stages of a tower, sides of a grid, tokens and widths: no tower has more.
Small = Annotated[int, Field(ge=1, le=1 << 16)]
#: Recorded for people; the same values come from another folder, torch, or name of the same weights.
RECORDED = ("root", "torch", "backbone", "config_sha256", "templates")


#: What fields were called before, in artifacts that are still read.
_OLD_NAMES = {"split_stage": "cut", "patch_attention": "dense"}
#: What patch attention was called.
_RENAMED = {"vv": "value", "vv-all": "value-all"}


def renamed_attention(name: Any) -> Any:
    """The name that a patch attention has now."""
    return _RENAMED.get(name, name) if isinstance(name, str) else name


class Origin(Record):
    """What the tokens of a shard are: it says so itself, so that no other manifest can be put before it.

    Attributes:
        weights_sha256: Of the backbone's weights.
        split_stage: Stage before which they were taken, 0 to the tower's depth.
        patch_attention: Which blocks feed the local stream; None without one.
        streams: ``global``, ``local`` or ``both``.
        pixels: How pictures were prepared.
    """

    weights_sha256: Sha256
    split_stage: Annotated[Count, Field(validation_alias=AliasChoices("split_stage", "cut"))]
    patch_attention: Annotated[
        Literal["value", "value-all"] | None,
        BeforeValidator(renamed_attention),
        Field(validation_alias=AliasChoices("patch_attention", "dense")),
    ]
    streams: Literal["global", "local", "both"]
    pixels: Annotated[PixelSpec, all_of(PixelSpec)]

    @field_serializer("pixels")
    def _pixels(self, pixels: PixelSpec) -> dict[str, Any]:
        return pixels.record

    @classmethod
    def of_manifest(cls, folder: Path, manifest: Mapping[str, Any], hint: str | None = None) -> Self:
        """The options in a manifest.

        Args:
            folder: The artifact's.
            manifest: Its content, as JSON.
            hint: What to do if they cannot be used.

        Raises:
            InputError: naming every field that cannot be.
        """
        options, where = manifest["options"], folder / MANIFEST
        # of two names pydantic takes the first and is silent about what the other says
        if isinstance(options, dict) and (
            twice := [
                f"options.{old}: is the old name of {new}, which is there too"
                for new, old in _OLD_NAMES.items()
                if new in options and old in options
            ]
        ):
            raise InputError("cannot be used", where=str(where), problems=twice, hint=hint)
        return checked(cls, options, where, hint, prefix="options")


class TowerOptions(Origin):
    """Which backbone, where it was split, and the sizes of what it gives.

    Attributes:
        backbone: The name it had.
        config_sha256: Of its config; None in artifacts of versions that did not record it.
        depth: Stages of its tower.
        grid: Height and width of the map at the split.
        width: Of a token at the split.
        dim: D, of the joint space.
    """

    backbone: Text
    config_sha256: Sha256 | None = None
    depth: Small
    grid: tuple[Small, Small]
    width: Small
    dim: Small

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        if self.split_stage > self.depth:
            raise ValueError(f"split stage {self.split_stage} lies behind the last of {self.depth} stages")
        if (self.streams == "global") != (self.patch_attention is None):
            raise ValueError(
                f"streams {self.streams!r} and patch attention {self.patch_attention!r} contradict each other"
            )
        if self.streams == "local" and self.split_stage < self.depth:
            raise ValueError(f"a local stream alone cannot go on from split stage {self.split_stage} of {self.depth}")
        return self

    def load_backbone(self, where: Path, asked: str | None = None) -> Backbone:
        """The backbone that an artifact was made with.

        Args:
            where: The artifact's folder.
            asked: The name that it has here; None for the one that it had.

        Raises:
            InputError: it is not here, damaged, or another one.
            UsageError: the one that is asked for is another one, or there is none of that name.
        """
        try:
            backbone = load_backbone(asked or self.backbone)
        except C2srtError as error:
            if asked is not None:
                raise
            hint = f"{error.hint}; or say what it is called here: --backbone" if error.hint else "give --backbone"
            raise InputError(
                f"its backbone {self.backbone} cannot be used: {error.what}", where=error.where or str(where), hint=hint
            ) from None
        differing = self.differences(backbone)
        if differing and asked is not None:
            raise UsageError(
                "is not the backbone that this was made with",
                where=f"--backbone {asked}",
                problems=differing,
                hint=f"leave it out, or name the one whose weights have the sha256 {self.weights_sha256[:12]}…",
            )
        if differing and self.backbone == "mini":  # its weights come with the program, and the earlier ones are gone
            raise InputError(
                "was made with an earlier mini than the one that is part of this version",
                where=str(where),
                problems=differing[:1],
                hint=self._again(where),
            )
        if differing:
            raise InputError(
                f"was made with another backbone than the {self.backbone} that is here",
                where=str(where),
                problems=differing,
                hint="make it again, restore those weights, or say where they are: --backbone",
            )
        return backbone

    def _again(self, where: Path) -> str:
        """How to make this artifact anew."""
        return f"train it again, on embeddings of this mini: c2srt train … --out {shlex.quote(str(where))} --overwrite"

    def differences(self, backbone: Backbone) -> list[str]:
        """What a backbone and these options do not agree on."""
        facts = self._facts(backbone)
        size = self.pixels.size, backbone.image_size
        pairs = {name: (getattr(self, name), value) for name, value in facts.items()} | {"pixels.size": size}
        return [f"{name}: {there} there, {here} here" for name, (there, here) in pairs.items() if there != here]

    def _facts(self, backbone: Backbone) -> dict[str, Any]:
        """What these options must say of a backbone."""
        tower, stage = backbone.tower, min(self.split_stage, backbone.tower.depth)
        recorded = {} if self.config_sha256 is None else {"config_sha256": backbone.config_sha256}
        sizes = {"grid": tuple(tower.grid(stage)), "width": tower.width(stage), "dim": backbone.dim}
        return {"weights_sha256": backbone.weights_sha256, **recorded, "depth": tower.depth, **sizes}


class EmbeddingOptions(TowerOptions):
    """The options of embeddings, as `embed` resolves them.

    Attributes:
        root: The folder that the images' paths are relative to.
        num_prefix: Class and register tokens before the grid.
        mean: Of the pixels, per channel.
        std: Likewise.
        runtime: How the forward passes ran.
        stored_dtype: Of the tokens on the disk.
        torch: Its version.
        templates: Prompts around the labels whose embeddings lie beside, and of those that read these; none in older
            ones.
    """

    root: Text
    num_prefix: Annotated[int, Field(ge=0, le=1 << 16)]
    mean: Finite3
    std: Finite3
    runtime: Annotated[Runtime, all_of(Runtime)]
    stored_dtype: Literal["bfloat16"]
    torch: Text
    templates: Templates = ()

    def _again(self, where: Path) -> str:
        command = shlex.join(["c2srt", "embed", self.root, "--out", str(where), "--overwrite"])
        return f"make it again: {command} (of annotations: --annotations A)"

    def _facts(self, backbone: Backbone) -> dict[str, Any]:
        own = {"num_prefix": backbone.tower.num_prefix, "mean": backbone.mean, "std": backbone.std}
        return super()._facts(backbone) | own

    @property
    def layout(self) -> dict[str, tuple[str, tuple[int, ...]]]:
        """Type and shape of what is stored of one image, by name."""
        tokens = ("BF16", (self.num_prefix + self.grid[0] * self.grid[1], self.width))
        names = {"global": ("tokens",), "local": ("local",), "both": ("tokens", "local")}[self.streams]
        return {"global": ("F32", (self.dim,)), **dict.fromkeys(names, tokens)}

    def deciding(self) -> dict[str, Any]:
        """All that decides values, as JSON: what a run that goes on must have in common with what is there."""
        decides = self.model_dump(mode="json", exclude=set(RECORDED))
        decides["runtime"]["device"] = self.runtime.device.partition(":")[0]
        return decides

    def origin(self) -> dict[str, Any]:
        """What shards say of themselves, as JSON."""
        return self.model_dump(mode="json", include=set(Origin.model_fields))


def strangers(made: Origin, options: Origin, what: str = "shard") -> list[str]:
    """The fields in which the origin of a shard, or a part, differs from the manifest."""
    return [
        f"{name}: {getattr(made, name)!r} in the {what}, {getattr(options, name)!r} in the manifest"
        for name in Origin.model_fields
        if getattr(made, name) != getattr(options, name)
    ]
