"""RAM (arXiv 2503.15337): adapters recover local semantics in a frozen CLIP, transport matches regions to labels.

Each adapter starts as nothing and text tokens as words, an adapter's norm looks at one photograph alone, and a label's
local score is a mean cosine, not a sum that shrinks with the vocabulary; docs/method.md sets every choice beside the
published code.
"""

from c2srt_cli.methods.options import Losses, Method, Parts

RAM = Method(
    Parts(
        local="kcot",
        transfer="none",
        score="softmax",
        dense="vv-all",
        ladder=3,
        vision_tokens=8,
        text_tokens=4,
    ),
    Losses(loss="mmc", distillation_weight=0.0, negatives=0),
    {"trained": 0, "batch": 32},
)
