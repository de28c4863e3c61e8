"""The 400 everyday labels that come with c2srt."""

from importlib.resources import files
from pathlib import Path


def everyday_labels() -> Path:
    """Their file."""
    return Path(str(files("c2srt_cli.labels") / "everyday.txt"))
