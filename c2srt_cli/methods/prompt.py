"""Prompts whose context words learn, as MKT's do, through the frozen text tower."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize
from torch.utils.checkpoint import checkpoint

from c2srt_cli.backbone.registry import Backbone
from c2srt_cli.backbone.text import TextTower
from c2srt_cli.errors import UsageError
from c2srt_cli.labels import LabelSet

#: Texts embedded at once; with more of them, what the backward pass needs is computed again, chunk by chunk.
CHUNK = 512
#: Where text tokens set out from: as many words as RAM has tokens, like its template, none twice.
WORDS = "a photo of the"


class PromptLearner(nn.Module):
    """Token embeddings of a prompt's context words, shared by all labels; a label's own tokens are the frozen ones.

    MKT's second stage (arXiv 2207.01887) trains the whole table of token embeddings in its code, but puts stored copies
    in the places of the label, so that of 49,408 rows only those of the context words have an effect. Here they alone
    are there to learn, a vector for each place of the context.

    It stands between a text tower's table and its transformer (`TextTower.prompt`), so that whatever embeds texts with
    that tower embeds them under what was learned.

    Args:
        before: Token ids of the words before the label, ``(p,)``.
        after: Of those behind it, ``(s,)``.
        context: Their embeddings to set out from, ``(p + s, W)``.
    """

    before: Tensor
    after: Tensor

    def __init__(self, before: Tensor, after: Tensor, context: Tensor) -> None:
        super().__init__()
        self.register_buffer("before", before, persistent=False)
        self.register_buffer("after", after, persistent=False)
        self.context = nn.Parameter(context.detach().float().clone())

    @classmethod
    def of(cls, backbone: Backbone, template: str) -> "PromptLearner":
        """The context words of a template, embedded as the backbone does.

        Raises:
            UsageError: the text tower is none that this works for, or there are no words beside the label.
        """
        tower = backbone.text
        if not tower.can_learn:
            raise UsageError(
                f"the text tower of {backbone.id} cannot learn a prompt",
                hint="use a backbone whose text tower reads from left to right and pools the end token",
            )
        tokens = backbone.tokenizer(list(template.split("{}")))  # (2, context)
        before, after = (row[1 : end - 1] for row, end in zip(tokens, tower.lengths(tokens).tolist(), strict=True))
        table = tower.text.token_embedding.weight
        context = table[torch.cat([before, after]).to(table.device)]
        if not len(context):
            raise UsageError("has no words beside the label", where=template)
        return cls(before, after, context)

    def forward(self, embedded: Tensor, tokens: Tensor, lengths: Tensor) -> Tensor:
        """Put the learned embeddings where the context stands.

        Args:
            embedded: Frozen token embeddings ``(B, n, W)``.
            tokens: Their ids, ``(B, n)``, the start token first.
            lengths: Up to the end token, ``(B,)``.
        """
        slots = self.slots(tokens, lengths)
        return torch.where((slots >= 0)[..., None], self.context.to(embedded)[slots], embedded)

    def slots(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        """Which vector of the context stands where, ``(B, n)``; -1 for the label, the ends, and what follows.

        A word that has melted with the label into other tokens, as a full stop does behind ``St.``, is the label's.
        """
        before, after = (ids.to(tokens.device) for ids in (self.before, self.after))
        slots = torch.full_like(tokens, -1)
        at = torch.arange(1, len(before) + 1, device=tokens.device).expand(len(tokens), -1)  # (B, p)
        _fill(slots, tokens, at, before, torch.arange(len(before), device=tokens.device))
        steps = torch.arange(len(after), device=tokens.device)  # from the last token backwards
        at = lengths.to(tokens.device)[:, None] - 2 - steps  # (B, s)
        _fill(slots, tokens, at, after.flip(0), len(before) + len(after) - 1 - steps)
        return slots


def _fill(slots: Tensor, tokens: Tensor, at: Tensor, ids: Tensor, names: Tensor) -> None:
    """Write ``names`` to the places ``at`` of each row, as far as the tokens there are ``ids``."""
    inside = at.clamp(1, tokens.shape[1] - 1)  # any text can be shorter than the context
    same = ((tokens.gather(1, inside) == ids) & (inside == at)).cumprod(1).bool()  # (B, k)
    slots.scatter_reduce_(1, inside, torch.where(same, names, -1), "amax")


class TextTokens(nn.Module):
    """Tokens that learn beside the words in the last layers of the text tower (RAM, arXiv 2503.15337).

    They enter each of these layers behind the start token and are taken out behind it (`TextTower.tokens`).

    Args:
        first: The first of the layers that have them.
        vectors: What they set out from, ``(k, W)`` for each layer.
    """

    def __init__(self, first: int, vectors: Sequence[Tensor]) -> None:
        super().__init__()
        self.layers = range(first, first + len(vectors))
        self.vectors = nn.ParameterList(nn.Parameter(vector.detach().float().clone()) for vector in vectors)

    @classmethod
    def of(cls, backbone: Backbone, layers: int, count: int, *, random_init: bool = False) -> "TextTokens":
        """In the last layers of a backbone's text tower.

        They set out from the states of `WORDS` there, so that a prompt says at first nearly what it said without them.
        The published ones are random (``random_init``): a layer's norm makes them as long as words, and where prompts
        are short and layers few, all labels become one. A little of that is left, as equal ones would stay equal.

        Raises:
            UsageError: it has not so many layers, or none in which a start token stands before the words.
        """
        tower = backbone.text
        if not tower.can_learn:
            raise UsageError(f"the text tower of {backbone.id} has no place for tokens", hint="use 0 of them")
        if layers > tower.layers:
            raise UsageError(f"the text tower of {backbone.id} has {tower.layers} layers, not {layers}")
        table, first = tower.text.token_embedding.weight, tower.layers - layers
        vectors = [0.02 * torch.randn(count, table.shape[1]) for _ in range(layers)]
        if random_init:
            return cls(first, vectors)
        with torch.no_grad():
            states = list(tower.states(backbone.tokenizer([WORDS]).to(table.device)))[first:-1]  # (1, context, W)
        places = 1 + torch.arange(count) % len(WORDS.split())  # behind the start token
        return cls(first, [state[0, places].cpu() + vector for state, vector in zip(states, vectors, strict=True)])

    def at(self, layer: int) -> Tensor | None:
        """The tokens of a layer ``(k, W)``; None where it has none."""
        return self.vectors[layer - self.layers.start] if layer in self.layers else None


@dataclass(frozen=True, eq=False)
class Prompts:
    """Labels in a prompt as token ids, to be embedded anew in each step.

    Attributes:
        tokens: Of N wordings, ``(N, n)``.
        lengths: Up to the end token, ``(N,)``.
        owner: The label of each, ``(N,)``.
    """

    tokens: Tensor
    lengths: Tensor
    owner: Tensor

    @classmethod
    def of(cls, backbone: Backbone, labels: LabelSet, templates: Sequence[str]) -> "Prompts":
        """Every wording of every label in every template."""
        texts = [
            (place, template.format(wording))
            for place, label in enumerate(labels)
            for wording in label.wordings
            for template in templates
        ]
        tokens = backbone.tokenizer([text for _, text in texts])
        lengths = backbone.text.lengths(tokens)
        longest = int(lengths.max())
        return cls(tokens[:, :longest], lengths, torch.tensor([place for place, _ in texts]))

    def to(self, device: torch.device | str) -> "Prompts":
        """The same on another device."""
        return Prompts(self.tokens.to(device), self.lengths.to(device), self.owner.to(device))

    def embed(self, tower: TextTower, labels: Tensor) -> Tensor:
        """Embeddings of some labels, with gradient: the mean of their wordings' unit embeddings, normalised again.

        Equal to `embeddings.text.embed_labels`, but without its fixed shapes.

        Args:
            tower: On the device of the tokens.
            labels: Ids ``(T,)``, each once.

        Returns:
            ``(T, D)`` float32, of norm 1.
        """
        place = torch.full((int(self.owner.max()) + 1,), -1, device=labels.device)
        place[labels] = torch.arange(len(labels), device=labels.device)
        owner = place[self.owner]  # (N,)
        rows = (owner >= 0).nonzero()[:, 0]
        rows = rows[self.lengths[rows].argsort(stable=True)]  # short texts do not pay for long ones
        parts = torch.split(rows, CHUNK)

        def unit(tokens: Tensor) -> Tensor:
            return normalize(tower(tokens).float(), dim=-1)

        found = []
        for part in parts:
            tokens = self.tokens[part, : int(self.lengths[part].max())]
            found.append(unit(tokens) if len(parts) == 1 else checkpoint(unit, tokens, use_reentrant=False))
        embedded = torch.cat(found)  # (n, D)
        return normalize(embedded.new_zeros(len(labels), embedded.shape[1]).index_add(0, owner[rows], embedded), dim=-1)
