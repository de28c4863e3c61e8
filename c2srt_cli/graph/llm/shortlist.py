"""Which labels a request offers as sources: all of them where they are few, else the likely ones."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from c2srt_cli.graph.llm.prompt import Block, question, request_key
from c2srt_cli.graph.llm.recorded import Recorded
from c2srt_cli.labels import LabelSet

if TYPE_CHECKING:  # a replay needs no torch
    from torch import Tensor

#: Targets of one request.
BLOCK = 20
#: A target's candidates: its nearest labels by text embedding, and the most frequent labels of all.
NEAREST, FREQUENT = 44, 20
#: Rows of the similarity matrix that are in memory at once.
ROWS = 256


def is_shortlisted(labels: LabelSet) -> bool:
    """Whether a request offers some of the labels only: where the shortlists of a block together are fewer."""
    return len(labels) > BLOCK * (NEAREST + FREQUENT)


def plan_blocks(
    labels: LabelSet,
    targets: Sequence[int],
    *,
    embed: "Callable[[], Tensor] | None",
    counts: Sequence[int] | None = None,
    recorded: Recorded | None = None,
    everything: bool = False,
) -> list[Block]:
    """Cut the targets into blocks, each with its candidates.

    Up to 1,280 labels every label is a candidate. With more, blocks that have been asked before come first, as they
    were: on another machine rounding may choose other neighbours.

    Args:
        labels: The labels.
        targets: Those to find sources for.
        embed: Text embeddings of all labels, ``(L, D)`` with unit rows; None leaves out what is not recorded.
        counts: Images of each label; without them those labels count as frequent that are often a neighbour.
        recorded: Replies there are.
        everything: Every label is a candidate, however many there are.
    """
    if everything or not is_shortlisted(labels):
        return [Block(part, tuple(range(len(labels)))) for part in _parts(targets)]
    blocks = list(_asked_before(labels, targets, recorded)) if recorded is not None else []
    done = {target for block in blocks for target in block.targets}
    rest = [target for target in targets if target not in done]
    if not rest or embed is None:
        return blocks
    text = embed()
    hubs, neighbours = _neighbours(text, rest, counts)
    for part in _parts(rest):
        candidates = {*part, *hubs}.union(*(neighbours[target] for target in part))
        blocks.append(Block(part, tuple(sorted(candidates))))
    return blocks


def _parts(targets: Sequence[int]) -> Iterable[tuple[int, ...]]:
    ordered = sorted(targets)
    return (tuple(ordered[i : i + BLOCK]) for i in range(0, len(ordered), BLOCK))


def _asked_before(labels: LabelSet, targets: Sequence[int], recorded: Recorded) -> Iterable[Block]:
    wanted = set(targets)
    for reply in recorded:
        if reply.block is None:
            continue
        block = Block(tuple(reply.block.get("targets", ())), tuple(reply.block.get("candidates", ())))
        inside = all(isinstance(i, int) and 0 <= i < len(labels) for i in block.candidates)
        if inside and wanted.issuperset(block.targets) and request_key(question(labels, block)) == reply.request:
            wanted.difference_update(block.targets)
            yield block


def _neighbours(
    text: "Tensor", targets: Sequence[int], counts: Sequence[int] | None
) -> tuple[set[int], dict[int, list[int]]]:
    """The frequent labels, and the nearest ones of each target; memory for `ROWS` rows of ``(L, L)``."""
    import torch

    wanted = set(targets)
    nearest: dict[int, list[int]] = {}
    hubs: Counter[int] = Counter()
    for start in range(0, len(text), ROWS):
        similarity = text[start : start + ROWS] @ text.T  # (R, L)
        rows = torch.arange(len(similarity))
        similarity[rows, rows + start] = -torch.inf
        for row, found in enumerate(similarity.topk(NEAREST).indices.tolist(), start):
            hubs.update(found)
            if row in wanted:
                nearest[row] = found
    frequency = counts if counts is not None else [hubs[i] for i in range(len(text))]
    order = sorted(range(len(text)), key=lambda i: (-frequency[i], i))
    return set(order[:FREQUENT]), nearest
