"""c2srt: open-vocabulary multi-label image recognition from the command line."""

from importlib.metadata import version

__version__ = version("c2srt")
