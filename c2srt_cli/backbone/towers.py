"""Which tower class runs which of open_clip's image towers."""

from open_clip.timm_model import TimmModel
from open_clip.transformer import VisionTransformer
from timm.models.eva import Eva
from timm.models.vision_transformer import VisionTransformer as TimmVisionTransformer
from torch import nn

from c2srt_cli.backbone.cnn import CnnTower
from c2srt_cli.backbone.timm_vit import TimmVitTower
from c2srt_cli.backbone.tower import SUPPORTED, ImageTower
from c2srt_cli.backbone.vit import VitTower
from c2srt_cli.errors import UsageError


def tower_of(visual: nn.Module) -> ImageTower:
    """The tower over ``visual``, open_clip's own module, whose parameters it shares.

    Raises:
        UsageError: the architecture is not supported.
    """
    if isinstance(visual, VisionTransformer):
        return VitTower(visual)
    if isinstance(visual, TimmModel):
        if isinstance(visual.trunk, (TimmVisionTransformer, Eva)):
            return TimmVitTower(visual)
        return CnnTower(visual)
    raise UsageError(f"towers of the kind {type(visual).__name__} are not supported", hint=f"supported: {SUPPORTED}")
