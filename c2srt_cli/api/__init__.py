"""The Python API: what the commands do, for programs. ``docs/python.md`` shows it at work."""

from c2srt_cli.api.stages import embed, evaluate, learn, read_annotations, train
from c2srt_cli.api.tagger import Tagger
from c2srt_cli.datasets.annotations import Annotations
from c2srt_cli.graph.category_graph import CategoryGraph, read_graph
from c2srt_cli.labels import Label, LabelSet

__all__ = [
    "Annotations",
    "CategoryGraph",
    "Label",
    "LabelSet",
    "Tagger",
    "embed",
    "evaluate",
    "learn",
    "read_annotations",
    "read_graph",
    "train",
]
