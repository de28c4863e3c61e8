"""QuickGELU folded into SiLU.

``x * sigmoid(1.702 x) = SiLU(1.702 x) / 1.702``, so scaling the linear before it by 1.702 and the one after it by its
inverse turns the slow activation (three passes over memory) into one that every processor has a kernel for.
"""

import torch
from open_clip.transformer import QuickGELU
from torch import nn

FACTOR = 1.702


@torch.no_grad()
def fold_quickgelu(model: nn.Module) -> int:
    """Fold the QuickGELU of every open_clip transformer block in ``model``, in place, in the weights' own dtype.

    Returns:
        The number of blocks folded.

    Raises:
        ValueError: a QuickGELU stands where it cannot be folded.
    """
    folded = 0
    for name, module in list(model.named_modules()):
        if not isinstance(getattr(module, "gelu", None), QuickGELU):
            continue
        first, second = getattr(module, "c_fc", None), getattr(module, "c_proj", None)
        between = getattr(module, "ln", None)
        if not (isinstance(first, nn.Linear) and isinstance(second, nn.Linear)):
            raise ValueError(f"QuickGELU without its two linear layers in {name}")
        if between is not None and not isinstance(between, nn.Identity):
            continue  # a norm stands between: the scale cannot pass it
        first.weight.mul_(FACTOR)
        if first.bias is not None:
            first.bias.mul_(FACTOR)
        second.weight.div_(FACTOR)
        module.gelu = nn.SiLU()
        folded += 1
    return folded
