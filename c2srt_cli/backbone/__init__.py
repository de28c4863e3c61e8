"""open_clip behind one small interface: early and late stages, patch attention, text."""

import os

# huggingface_hub reads this when it is first imported. Only `fetch` lifts it, for the time of a download.
os.environ["HF_HUB_OFFLINE"] = "1"
