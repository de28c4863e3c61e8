"""What an image's scores are measured against: a fixed list, so that no verdict rests on the user's other labels."""

from dataclasses import dataclass

from torch import Tensor

from c2srt_cli.artifacts import fingerprint
from c2srt_cli.backbone.registry import Backbone
from c2srt_cli.embeddings.text import embed_labels
from c2srt_cli.labels import DEFAULT_TEMPLATE, read_labels
from c2srt_cli.labels.everyday import everyday_labels
from c2srt_cli.progress import Progress


@dataclass(frozen=True, eq=False)
class Background:
    """The 400 everyday labels in the default prompt.

    Attributes:
        text: Their embeddings, ``(M, D)``, of norm 1.
        fingerprint: Of labels and prompt.
    """

    text: Tensor
    fingerprint: str

    @classmethod
    def of(cls, backbone: Backbone, progress: Progress) -> "Background":
        """Embedded by a backbone, on the CPU."""
        labels = read_labels(everyday_labels())
        templates = (DEFAULT_TEMPLATE,)
        text = embed_labels(backbone, labels, templates, progress)
        return cls(text, fingerprint([labels.fingerprint, templates]))
