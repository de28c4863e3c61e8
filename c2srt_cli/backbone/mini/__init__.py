"""The architecture of the embedded backbone: MobileNetV2 padded as TensorFlow pads, which timm has no name for."""

from typing import Any, cast

from timm.models import register_model
from timm.models.efficientnet import EfficientNet, mobilenetv2_100


@register_model
def mobilenetv2_100_same(pretrained: bool = False, **kwargs: Any) -> EfficientNet:
    """MobileNetV2 1.0 whose strided convolutions pad at the bottom and the right, as its teacher's do."""
    return cast(EfficientNet, mobilenetv2_100(pretrained=pretrained, pad_type="same", **kwargs))
