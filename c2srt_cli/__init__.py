"""c2srt: open-vocabulary multi-label image recognition from the command line."""

__version__ = "0.1.0"
