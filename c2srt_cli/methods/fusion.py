"""A label's feature of an image: the global embedding and the pooled patches (C2SRT, eq. 6)."""

from collections.abc import Callable

from torch import Tensor
from torch.nn.functional import normalize

from c2srt_cli.backbone.embedding import ImageEmbedding
from c2srt_cli.methods.pooling import Global, Mean, Pooling, share


def fused_features(
    image: ImageEmbedding,
    text: Tensor,
    pooling: Pooling,
    weigh: Callable[[Tensor, Tensor, Tensor | None], Tensor],
    teacher: Tensor | None = None,
) -> tuple[Tensor, Tensor | None]:
    """Each label's feature of each image, ``(f_L + f_G) / 2`` of unit vectors.

    Args:
        image: Of B images.
        text: Label embeddings ``(C, D)`` of norm 1.
        pooling: How patches are weighed.
        weigh: Weighs unit patches; see `Method.weigh`.
        teacher: As for `Pooling.weights`.

    Returns:
        ``(B, C, D)``, and the share of patches behind each, ``(B, C)``; None where the global embedding alone counts.
    """
    whole = normalize(image.global_.float(), dim=-1)[:, None]  # (B, 1, D)
    if isinstance(pooling, Global):
        return whole.expand(-1, len(text), -1), None
    patches = normalize(image.patches.float(), dim=-1)
    if isinstance(pooling, Mean):
        return ((normalize(patches.mean(1, keepdim=True), dim=-1) + whole) / 2).expand(-1, len(text), -1), None
    weights = weigh(patches, text, teacher)
    return (normalize(weights @ patches, dim=-1) + whole) / 2, share(weights)
