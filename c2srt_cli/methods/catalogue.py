"""Methods that can be trained, by name."""

from c2srt_cli.methods.c2srt import C2SRT
from c2srt_cli.methods.clip_ft import CLIP_FT
from c2srt_cli.methods.mkt import MKT
from c2srt_cli.methods.mkt_prompt import MKT_PROMPT
from c2srt_cli.methods.ram import RAM

METHODS = {"c2srt": C2SRT, "clip-ft": CLIP_FT, "mkt": MKT, "mkt-prompt": MKT_PROMPT, "ram": RAM}
