"""C2SRT (arXiv 2412.06190), our reconstruction: adaptive patches, transfer over the graph, distillation.

docs/method.md sets every choice beside the paper's word.
"""

from c2srt_cli.methods.options import Losses, Method, Parts

C2SRT = Method(Parts(), Losses())
