"""Training in float64, where what rounding does to float32 is nine orders smaller."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor

from c2srt_cli.backbone.registry import Backbone
from c2srt_cli.backbone.tower import Tokens
from c2srt_cli.training import run as runs


@contextmanager
def float64() -> Iterator[None]:
    """Inside of it, whatever a training asks for in float32 is in float64; a run's files stay in float32."""

    def widened(to: Any) -> Any:
        return lambda self, device, dtype: to(self, device, torch.float64 if dtype == torch.float32 else dtype)

    vocabulary_of = runs.vocabulary_of
    torch.set_default_dtype(torch.float64)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Tensor, "float", Tensor.double)
            for kind in (Backbone, Tokens):
                patch.setattr(kind, "to", widened(kind.to))
            patch.setattr(
                runs, "vocabulary_of", lambda options, text, *rest: vocabulary_of(options, text.double(), *rest)
            )
            yield
    finally:
        torch.set_default_dtype(torch.float32)
