"""What one training is, resolved."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from c2srt_cli.backbone.registry import Backbone
from c2srt_cli.graph.category_graph import CategoryGraph
from c2srt_cli.training.data import TrainingData


@dataclass(frozen=True, eq=False)
class TrainJob:
    """Everything `train` needs, resolved.

    Attributes:
        out: The run to write.
        options: The method's.
        backbone: In float32, where it will run.
        graph: As it is kept in the run.
        data: What to learn from.
        facts: What the manifest says.
        inputs: Fingerprints.
        overwrite: Start again instead of resuming.
    """

    out: Path
    options: Any
    backbone: Backbone
    graph: CategoryGraph | None
    data: TrainingData
    facts: dict[str, Any]
    inputs: dict[str, str]
    overwrite: bool
