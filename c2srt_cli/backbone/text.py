"""Texts → embeddings: short texts do not pay for the whole context."""

from collections import deque
from collections.abc import Iterator, Sequence
from copy import copy
from typing import Any, Self

import torch
from open_clip.model import CLIP
from open_clip.transformer import ResidualAttentionBlock, TextTransformer, text_global_pool
from torch import Tensor, nn

from c2srt_cli.backbone.blocks import is_plain, norm, residual_block
from c2srt_cli.backbone.linear import linear
from c2srt_cli.errors import UsageError

#: Texts in a forward, the last one padded: one shape for each length, so that a text's values depend on it alone.
ROWS = 32
#: Lengths are rounded up to a multiple of this.
STEP = 8
#: Texts tokenised at once.
CHUNK = 4096


class TextTower:
    """open_clip's text transformer, with the context cut off behind the longest text where that changes nothing.

    Under a causal mask no token sees a later one, so what follows the pooled token (EOT) cannot matter. Towers without
    one (SigLIP) see their padding and always run in full.

    Raises:
        UsageError: the text tower is not open_clip's own transformer.
    """

    def __init__(self, model: Any) -> None:
        text = model if isinstance(model, CLIP) else model.text
        if not isinstance(text, (CLIP, TextTransformer)):
            raise UsageError(
                f"text towers of the kind {type(text).__name__} are not supported", hint="use one of open_clip's own"
            )
        self.text = text
        pool_type = text.text_pool_type if isinstance(text, CLIP) else text.pool_type
        self.pool_type: str = pool_type
        self.eos_id: int = text.text_eos_id if isinstance(text, CLIP) else text.eos_id
        self.context = int(text.context_length)
        plain = all(is_plain(block) for block in text.transformer.resblocks)
        extra = getattr(text, "cls_emb", None) is not None or getattr(text, "use_pad_mask", False)
        self.is_own = plain and not extra and pool_type != "none"
        causal = getattr(text, "attn_mask", None) is not None
        self.can_truncate = self.is_own and causal and pool_type in ("argmax", "eos", "first")
        #: Whether prompts can learn: words stand behind a start token, and the end token attends to all of them.
        self.can_learn = self.can_truncate and pool_type != "first"
        self.prompt: nn.Module | None = None
        self.tokens: Any = None

    def reading(self, prompt: nn.Module | None, tokens: Any) -> Self:
        """The same tower through what learns.

        Args:
            prompt: Stands between the table of token embeddings and the transformer (`methods.prompt.PromptLearner`).
            tokens: Beside the words (`methods.prompt.TextTokens`).
        """
        other = copy(self)
        other.prompt, other.tokens = prompt, tokens
        return other

    @property
    def layers(self) -> int:
        """How many there are."""
        return len(self.text.transformer.resblocks)

    def __call__(self, tokens: Tensor) -> Tensor:
        """Token ids ``(B, n)``, n up to the context (all of it unless ``can_truncate``), to ``(B, D)``."""
        text = self.text
        if not self.is_own:
            full: Tensor = text.encode_text(tokens) if isinstance(text, CLIP) else text(tokens)
            return full
        x = deque(self.states(tokens), maxlen=1).pop()  # the others are let go, one by one
        pooled = norm(text.ln_final, text_global_pool(x, tokens, self.pool_type, eos_token_id=self.eos_id))  # (B, W)
        projection = text.text_projection
        if isinstance(projection, nn.Linear):
            return linear(pooled, projection.weight, projection.bias)
        return pooled if projection is None else linear(pooled, projection, None, transposed=True)

    def states(self, tokens: Tensor) -> Iterator[Tensor]:
        """What enters each layer, then what leaves the last, ``(B, n, W)`` each, for a tower that ``is_own``."""
        text, n = self.text, tokens.shape[1]
        x = text.token_embedding(tokens)
        if self.prompt is not None:
            x = self.prompt(x, tokens, self.lengths(tokens))
        x = x + text.positional_embedding[:n]
        mask = getattr(text, "attn_mask", None)
        mask = None if mask is None else mask[:n, :n].to(x.dtype)
        yield x
        for layer, block in enumerate(text.transformer.resblocks):
            added = None if self.tokens is None else self.tokens.at(layer)
            x = residual_block(block, x, mask=mask)[0] if added is None else _beside(block, x, added, mask)
            yield x

    def lengths(self, tokens: Tensor) -> Tensor:
        """Tokens of each row that can matter, ``(N,)``, for token ids ``(N, context)``."""
        if not self.can_truncate:
            return torch.full((len(tokens),), tokens.shape[1])
        if self.pool_type == "first":
            return torch.ones(len(tokens), dtype=torch.long)
        hit = tokens if self.pool_type == "argmax" else (tokens == self.eos_id).int()
        return hit.argmax(-1) + 1

    @torch.no_grad()  # not inference_mode: its tensors could not enter a loss
    def embed(self, texts: Sequence[str], tokenizer: Any) -> Tensor:
        """Embed texts, un-normalised.

        Args:
            texts: N of them.
            tokenizer: open_clip's, from texts to ids ``(N, context)``.

        Returns:
            ``(N, D)`` float32 on the CPU.
        """
        if not texts:
            return torch.empty(0, self._dim())
        tokens = torch.cat([tokenizer(list(texts[i : i + CHUNK])) for i in range(0, len(texts), CHUNK)])
        rounded = ((self.lengths(tokens) + STEP - 1) // STEP * STEP).clamp(max=tokens.shape[1])
        device = self.text.token_embedding.weight.device
        result: Tensor | None = None
        for n in sorted(set(rounded.tolist())):
            for rows in (rounded == n).nonzero()[:, 0].split(ROWS):
                batch = tokens[rows, :n]
                batch = torch.cat([batch, batch[-1:].expand(ROWS - len(rows), -1)])  # (ROWS, n)
                embedded = self(batch.to(device)).float().cpu()[: len(rows)]
                if result is None:
                    result = embedded.new_empty(len(texts), embedded.shape[1])
                result[rows] = embedded
        assert result is not None
        return result

    def _dim(self) -> int:
        projection = self.text.text_projection
        if projection is None:
            return int(self.text.ln_final.normalized_shape[0])
        return int(projection.out_features if isinstance(projection, nn.Linear) else projection.shape[1])


def _beside(block: ResidualAttentionBlock, x: Tensor, added: Tensor, mask: Tensor | None) -> Tensor:
    """A block on ``x`` ``(B, n, W)`` with tokens ``(k, W)`` behind the first one, which are taken out again."""
    k, n = len(added), x.shape[1]
    longer = torch.cat([x[:, :1], added.to(x).expand(len(x), -1, -1), x[:, 1:]], 1)  # (B, k + n, W)
    if mask is not None:  # causal
        mask = torch.full((k + n, k + n), -torch.inf, dtype=x.dtype, device=x.device).triu_(1)
    longer, _ = residual_block(block, longer, mask=mask)
    return torch.cat([longer[:, :1], longer[:, 1 + k :]], 1)
