"""CLIP-FT, the baseline of MKT (arXiv 2207.01887): the tail under the ranking loss on the global score alone."""

from c2srt_cli.methods.options import Losses, Method, Parts

CLIP_FT = Method(Parts(local="none", transfer="none"), Losses(distillation_weight=0.0))
