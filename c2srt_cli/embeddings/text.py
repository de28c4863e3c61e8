"""Labels → text embeddings."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor
from torch.nn.functional import normalize

from c2srt_cli.artifacts.records import Sha256, Text
from c2srt_cli.backbone.registry import Backbone
from c2srt_cli.embeddings.tensors import TensorRecord, read_header, read_tensors, write_tensors
from c2srt_cli.errors import InputError, Interrupted
from c2srt_cli.labels import LabelSet, TokenCounter
from c2srt_cli.progress import Progress

#: Prompts encoded at once: bounds the memory of 20,000 labels times 80 templates.
PROMPTS = 2048


class TextEncoder(Protocol):
    """What embeds texts: a backbone, or a method whose prompt has learned."""

    def embed_texts(self, texts: Sequence[str]) -> Tensor:
        """``(N, D)`` float32 on the CPU, not normalised."""
        ...


def embed_labels(encoder: TextEncoder, labels: LabelSet, templates: Sequence[str], progress: Progress) -> Tensor:
    """Embed each label as the mean of its prompts' unit embeddings, normalised again (CLIP, section 3.1.4).

    Every wording of a label (itself and its synonyms) is put into every template.

    Returns:
        ``(L, D)`` float32 on the CPU, rows of norm 1.

    Raises:
        Interrupted: the user stopped it.
    """
    rows: list[Tensor] = []
    pending: list[int] = []  # prompts per label
    prompts: list[str] = []

    def flush() -> None:
        if prompts:
            embedded = normalize(encoder.embed_texts(prompts), dim=-1)  # (N, D)
            rows.extend(part.mean(0) for part in torch.split(embedded, pending))
            prompts.clear()
            pending.clear()

    for label in labels:
        mine = [template.format(wording) for wording in label.wordings for template in templates]
        prompts.extend(mine)
        pending.append(len(mine))
        if len(prompts) >= PROMPTS:
            flush()
            if progress.stopped():
                raise Interrupted(f"{len(rows):,} of {len(labels):,} labels are embedded, none of them is kept")
    flush()
    return normalize(torch.stack(rows), dim=-1)


def token_counter(backbone: Backbone) -> TokenCounter:
    """What `labels.read_labels` counts a label's tokens with."""
    return lambda texts: (backbone.token_counts(texts), backbone.text_context)


def save_text(path: Path, text: Tensor, labels: LabelSet, templates: Sequence[str]) -> None:
    """Write ``text.safetensors``: the embeddings ``(L, D)``, with labels and templates in its header."""
    names = [[label.name, label.synonyms, label.threshold, label.id] for label in labels]
    header = {"labels": names, "labels_fingerprint": labels.fingerprint, "templates": list(templates)}
    write_tensors(path, {"text": text.contiguous()}, header)


class _Record(TensorRecord):
    labels_fingerprint: Sha256
    templates: tuple[Text, ...]


def text_labels(path: Path) -> str | None:
    """Fingerprint of the labels in ``text.safetensors``; None where there is none that can be read."""
    try:
        return read_header(path, _Record).record.labels_fingerprint
    except InputError:
        return None


def read_text(path: Path, labels: LabelSet, templates: Sequence[str], dim: int) -> Tensor | None:
    """The embeddings ``(L, D)`` in ``text.safetensors``, rows of norm 1.

    None where they are not of these labels and templates, not of D numbers, or cannot be read.
    """
    try:
        header = read_header(path, _Record)
        record = header.record
        if (record.labels_fingerprint, record.templates) != (labels.fingerprint, tuple(templates)):
            return None
        if header.layout != {"text": ("F32", (len(labels), dim))}:
            return None
        text = read_tensors(path, record.sha256)["text"]
    except InputError:
        return None
    return text if bool(((text.norm(dim=-1) - 1).abs() < 1e-3).all()) else None
