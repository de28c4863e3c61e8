"""C2SRT (arXiv 2412.06190), our reconstruction: adaptive patches, transfer over the graph, distillation.

Where the paper has features flow along the graph and compares the labels of a photograph, the default has scores flow
and compares photographs too: measured, both are better for unseen labels. ``transfer = "ist"`` with ``over = "labels"``
is the paper's wording. docs/method.md sets every choice beside it.
"""

from c2srt_cli.methods.options import Losses, Method, Parts

C2SRT = Method(Parts(transfer="scores"), Losses(over="both"))
