"""How often labels occur, as far as captions of everyday photographs tell.

A table has the words of captions; any other label is as frequent as the words that mean the like.
Nothing of this looks at the user's photographs. A label's score says how well a photograph fits it, and rare labels
have good fits too; how often the label is there at all is the other half of a probability (Saerens et al. 2002).
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import safetensors
from safetensors.numpy import load_file

from c2srt_cli.artifacts import file_sha256
from c2srt_cli.errors import InputError
from c2srt_cli.scoring.calibration import FrequencyOptions

FREQUENCY = "frequency.safetensors"
#: Decimals of a log frequency: products of matrices differ behind them, by how many labels are asked for.
DIGITS = 4


@dataclass(frozen=True, eq=False)
class LabelFrequency:
    """``log f(t) = (sum_j k(t, t_j) log f_j + smoothing floor) / (sum_j k(t, t_j) + smoothing)``.

    ``k(t, t_j)`` is ``exp(sharpness (cos(t, t_j) - 1))`` of text embeddings (Nadaraya 1964, Watson 1964).

    Attributes:
        options: Sharpness, smoothing and floor.
        text: Embeddings of the words, ``(n, D)`` float32.
        log_frequency: Log of the share of photographs whose caption has the word, ``(n,)``.
    """

    options: FrequencyOptions
    text: np.ndarray
    log_frequency: np.ndarray

    @classmethod
    def read(cls, path: Path, options: FrequencyOptions, dim: int) -> "LabelFrequency":
        """Read the file of words beside a calibration: ``text`` ``(n, D)`` float16, ``log_frequency`` ``(n,)`` float32.

        Args:
            path: The file.
            options: What the calibration says of it.
            dim: D.

        Raises:
            InputError: it is missing, another, or no such file.
        """
        hint = "restore the folder of the backbone"
        try:
            if file_sha256(path) != options.sha256:
                raise InputError("is not the one that the calibration was fitted with", where=str(path), hint=hint)
            found = load_file(path)
        except (OSError, safetensors.SafetensorError) as error:
            raise InputError(f"cannot be read ({error})", where=str(path), hint=hint) from None
        text, log_frequency = found.get("text"), found.get("log_frequency")
        if (
            text is None
            or log_frequency is None
            or text.shape != (len(log_frequency), dim)
            or not (np.isfinite(text).all() and np.isfinite(log_frequency).all())
        ):
            raise InputError("holds no frequencies of words in this space", where=str(path), hint=hint)
        return cls(options, _unit(text.astype(np.float32)), log_frequency)

    def __call__(self, text: np.ndarray) -> np.ndarray:
        """Log frequencies of labels with embeddings ``(L, D)``, of any norm: ``(L,)`` float64."""
        own = self.options
        parts = []
        for start in range(0, len(text), 1024):
            near = np.exp(own.sharpness * (_unit(text[start : start + 1024].astype(np.float32)) @ self.text.T - 1))
            total = near.sum(1, dtype=np.float64) + own.smoothing
            parts.append((near.astype(np.float64) @ self.log_frequency + own.smoothing * own.floor) / total)
        return np.concatenate([np.empty(0), *parts]).round(DIGITS)


def _unit(rows: np.ndarray) -> np.ndarray:
    unit: np.ndarray = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    return unit
