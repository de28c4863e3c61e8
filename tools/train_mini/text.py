"""A narrow CLIP text transformer: set so that it adds up the vectors of a text's tokens."""

import torch
from open_clip.model import CLIP
from torch import Tensor

TEXT_CONFIG = {"context_length": 32, "vocab_size": 49408, "width": 224, "heads": 7, "layers": 2}


@torch.no_grad()
def compose(model: CLIP, table: Tensor) -> None:
    """Set the text tower so that it computes exactly what `bag.fit` fitted: the sum of the tokens' vectors.

    The first layer attends to all tokens alike and adds up their vectors; what follows adds nothing. LayerNorm must not
    change how much a token counts, so that all tokens have the same mean, zero, and the same norm: what a vector lacks
    lies on an axis of its own that the values drop. Weights that have no effect are random, to leave room for training.

    Args:
        model: Its text tower is set.
        table: The tokens' vectors, ``(49408, d)``, ``d`` at least three below the tower's width.
    """
    width, kept = model.token_embedding.weight.shape[1], table.shape[1]
    axes, _ = torch.linalg.qr(torch.cat([torch.ones(width, 1), torch.randn(width, width - 1)], 1))
    content, spare = axes[:, 1 : kept + 1], axes[:, -1]  # (W, d), (W,): orthogonal to ones, so that means are zero
    norms = table.norm(dim=1)
    rest = ((1.05 * norms.max()) ** 2 - norms**2).sqrt()
    for name, parameter in model.transformer.named_parameters():
        if name.endswith(("in_proj_weight", "c_fc.weight")):
            parameter.normal_(std=width**-0.5)
        elif "ln_" not in name:
            parameter.zero_()
    model.token_embedding.weight.copy_(table @ content.T + rest[:, None] * spare)
    model.positional_embedding.zero_()
    attention = model.transformer.resblocks[0].attn
    attention.in_proj_weight[width : 2 * width] = 0  # keys alone, so that queries and keys can still learn
    attention.in_proj_weight[2 * width :] = content @ content.T * 1000  # so that the sum drowns the end token itself
    attention.out_proj.weight.copy_(torch.eye(width))
    model.text_projection.zero_()
    model.text_projection[:, :kept] = content
