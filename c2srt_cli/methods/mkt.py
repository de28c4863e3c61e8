"""MKT (AAAI 2023, arXiv 2207.01887), stage 1: the best patches and the whole image, ranking loss and distillation.

As in its code, each score vector has norm 1 over the labels, so that the ranking loss sees differences of about 0.03
and is linear; all seen labels take part in every batch. Stage 2 is `mkt_prompt`.
"""

from c2srt_cli.methods.options import Losses, Method, Parts

MKT = Method(Parts(local="topk", cap=16, transfer="none", score="mkt"), Losses(tau=1.0, learn_tau=False, negatives=0))
