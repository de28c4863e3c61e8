"""open_clip behind one small interface: stages, cut, trunk, tail, text."""

import os

# huggingface_hub reads this when it is first imported. Only `fetch` lifts it, for the time of a download.
os.environ["HF_HUB_OFFLINE"] = "1"
