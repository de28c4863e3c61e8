"""``corrections.jsonl``, as the page of ``c2srt review`` saves it."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from c2srt_cli.artifacts.records import parse
from c2srt_cli.errors import InputError, counted
from c2srt_cli.labels import LabelSet
from c2srt_cli.predict.profile import Verdict
from c2srt_cli.text import normalise, read_text

_HINT = "name a file that the page of c2srt review saved: {path, sha256, label, verdict} a line"


def read_corrections(paths: Iterable[Path]) -> tuple[Verdict, ...]:
    """The verdicts in files, each of a photograph and label once: what was said last holds.

    Raises:
        InputError: a file is missing or no text, or lines of it are no verdicts: all of them are named.
    """
    found: dict[tuple[str, str], Verdict] = {}
    for path in paths:
        text = read_text(path, "the corrections", _HINT, exact=True)
        problems = list(text.problems)
        for number, line in enumerate(text.lines, 1):
            if not line.strip():
                continue
            try:
                one = parse(Verdict, line, "")
            except InputError as error:
                problems.append(f"line {number}: {'; '.join(error.problems) or error.what}")
                continue
            if not (name := normalise(one.label)):
                problems.append(f"line {number}: the label is empty")
                continue
            key = (one.sha256, name.casefold())
            found.pop(key, None)
            found[key] = one.model_copy(update={"label": name})
        if problems:
            raise InputError("these corrections cannot be used", where=str(path), problems=problems, hint=_HINT)
    return tuple(found.values())


def check_labels(verdicts: Sequence[Verdict], labels: LabelSet, where: str) -> None:
    """Refuse verdicts on labels that are not in the list.

    Args:
        verdicts: What was said.
        labels: The list.
        where: What it is called.

    Raises:
        InputError: naming each such label.
    """
    counts: dict[str, int] = {}
    for one in verdicts:
        counts[one.label] = counts.get(one.label, 0) + 1
    places = labels.match(LabelSet.of(counts))
    problems = [
        f"{name!r}: {counted(count, 'verdict')}"
        for (name, count), place in zip(counts.items(), places, strict=True)
        if place < 0
    ]
    if problems:
        raise InputError(
            "the corrections are of labels that are not in it",
            where=where,
            problems=problems,
            hint="add them, or leave --labels out: the labels are then those of the corrections",
        )
