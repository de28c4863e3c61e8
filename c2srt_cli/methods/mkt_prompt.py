"""MKT (AAAI 2023, arXiv 2207.01887), stage 2: the context of the prompt learns, on the image side of stage 1.

As in its code: 4 epochs of the ranking loss alone; AdamW's learning rate is 1e-3 and its weight decay 0.05, the
defaults of all methods.
"""

from dataclasses import replace

from c2srt_cli.methods.mkt import MKT
from c2srt_cli.methods.options import Method

MKT_PROMPT = Method(
    replace(MKT.parts, prompt="There is a {} in the scene"),
    replace(MKT.losses, distillation_weight=0.0),
    {"epochs": 4},
)
