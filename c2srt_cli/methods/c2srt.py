"""C2SRT (arXiv 2412.06190), our reconstruction: adaptive patches, transfer over the graph, distillation.

Where the paper has features flow along the graph and compares the labels of a photograph, the default has scores flow
from seen labels to unseen ones, compares photographs too, and lets the frozen backbone have its say on unseen
labels: measured, each is better for them.
``transfer = "ist"``, ``over = "labels"`` and ``frozen = 0`` is the paper's wording. docs/method.md sets every choice
beside it.
"""

from c2srt_cli.methods.options import Losses, Method, Parts

C2SRT = Method(Parts(transfer="scores", frozen=0.75), Losses(over="both"))
