"""The only door for labels: reading, normalising and checking the user's words, and the prompts around them."""

import csv
import difflib
import io
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from c2srt_cli.artifacts import fingerprint
from c2srt_cli.errors import InputError, UsageError

DEFAULT_TEMPLATE = "a photo of a {}."
COLUMNS = ("label", "synonyms", "threshold", "id")

#: Counts the tokens of texts, start and end tokens included; returns the counts and the model's limit.
TokenCounter = Callable[[Sequence[str]], tuple[Sequence[int], int]]


@dataclass(frozen=True, slots=True)
class Label:
    """A category as the user writes it.

    Attributes:
        name: The label, normalised to NFC with single spaces; ``parent|child`` names a hierarchy.
        synonyms: Other wordings; their embeddings are averaged with the label's own.
        threshold: Probability from which this label is given, where the user states one.
        id: The key where names repeat (as Open Images' MIDs); the empty string where the name is the key.
    """

    name: str
    synonyms: tuple[str, ...] = ()
    threshold: float | None = None
    id: str = ""

    @property
    def key(self) -> str:
        """What makes a label this label: its id, else its name without regard to case."""
        return self.id or self.name.casefold()

    @property
    def wordings(self) -> tuple[str, ...]:
        """What the text encoder reads: the last part of a ``parent|child`` name, and the synonyms."""
        return (self.name.rsplit("|", 1)[-1].strip(), *self.synonyms)


@dataclass(frozen=True)
class LabelSet:
    """Ordered, unique labels."""

    labels: tuple[Label, ...]

    def __len__(self) -> int:
        return len(self.labels)

    def __iter__(self) -> Iterator[Label]:
        return iter(self.labels)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The labels as written, in order; names that repeat carry their ids: ``crane (/m/0dl9q)``."""
        counts = Counter(label.name for label in self.labels)
        return tuple(label.name if counts[label.name] == 1 else f"{label.name} ({label.id})" for label in self.labels)

    @cached_property
    def fingerprint(self) -> str:
        """sha256 over everything that decides the labels' embeddings and decisions."""
        return fingerprint([[label.name, label.synonyms, label.threshold, label.id] for label in self.labels])


def normalise(text: str) -> str:
    """NFC, with runs of white space as single spaces and none at the ends."""
    return " ".join(unicodedata.normalize("NFC", text).split())


def read_labels(path: Path, *, templates: Sequence[str] = (), count_tokens: TokenCounter | None = None) -> LabelSet:
    """Read ``labels.txt`` (one label a line, ``#`` comments) or a CSV/TSV with the header ``label``.

    Args:
        path: The file; ``.csv`` and ``.tsv`` are tables, everything else is lines.
        templates: Prompts around the labels, for the check of their length.
        count_tokens: The text encoder's counter; without it lengths are not checked.

    Raises:
        InputError: the file is missing, or has faults: all of them are listed with their line numbers.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(
            f"the labels cannot be read ({error.strerror})",
            where=str(path),
            hint="write one label a line into this file",
        ) from None
    lines, problems = _decode(data)
    table = path.suffix.lower() in {".csv", ".tsv"}
    rows = list(_table_rows(lines, path.suffix.lower(), problems) if table else _line_rows(lines))
    if not rows and not problems:
        problems.append("there is no label in the file")
    problems += [f"line {number}: nothing behind the last |" for number, label in rows if not label.wordings[0]]
    problems += _duplicates(rows)
    if count_tokens is not None:
        problems += _too_long(rows, templates or (DEFAULT_TEMPLATE,), count_tokens)
    if problems:
        raise InputError(
            "these labels cannot be used", where=str(path), problems=problems, hint="mend the lines named above"
        )
    return LabelSet(tuple(label for _, label in rows))


def _decode(data: bytes) -> tuple[list[str], list[str]]:
    """Split into lines; a line that is not UTF-8 becomes empty and a problem."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):  # spreadsheets on Windows save UTF-16
        try:
            return data.decode("utf-16").splitlines(), []
        except UnicodeDecodeError:
            return [], ["the file starts as UTF-16 but cannot be decoded as such"]
    lines, problems = [], []
    for number, raw in enumerate(data.removeprefix(b"\xef\xbb\xbf").splitlines(), 1):
        try:
            lines.append(raw.decode("utf-8"))
        except UnicodeDecodeError as error:
            problems.append(f"line {number}: byte 0x{raw[error.start]:02x} at column {error.start + 1} is not UTF-8")
            lines.append("")
    return lines, problems


def _line_rows(lines: Sequence[str]) -> Iterator[tuple[int, Label]]:
    for number, line in enumerate(lines, 1):
        name = normalise(line)
        if name and not name.startswith("#"):
            yield number, Label(name)


def _table_rows(lines: Sequence[str], suffix: str, problems: list[str]) -> Iterator[tuple[int, Label]]:
    reader = csv.DictReader(io.StringIO("\n".join(lines)), delimiter="\t" if suffix == ".tsv" else ",")
    header = [normalise(name or "").lower() for name in reader.fieldnames or ()]
    reader.fieldnames = header
    for name in header:
        if name not in (*COLUMNS, "seen"):  # prepare says there which labels are seen
            close = difflib.get_close_matches(name, COLUMNS, 1)
            problems.append(f"line 1: unknown column {name!r}" + (f", did you mean {close[0]!r}?" if close else ""))
    if "label" not in header:
        problems.append(f"line 1: no column 'label' (columns are {', '.join(COLUMNS)})")
        return
    for row in _records(reader, problems):
        number = reader.line_num
        if row.get(None):  # type: ignore[call-overload] # where csv puts what is left over
            problems.append(f"line {number}: more cells than columns; put quotes around a cell with commas")
        name = normalise(row.get("label") or "")
        if not name:
            if any(value for key, value in row.items() if key):
                problems.append(f"line {number}: the label is empty")
            continue
        threshold = None
        if text := (row.get("threshold") or "").strip():
            try:
                threshold = float(text)
            except ValueError:
                threshold = -1.0
            if not 0.0 <= threshold <= 1.0:
                problems.append(f"line {number}: threshold {text!r} is not a probability from 0 to 1")
                threshold = None
        synonyms = tuple(s for s in map(normalise, (row.get("synonyms") or "").split(";")) if s)
        yield number, Label(name, synonyms, threshold, normalise(row.get("id") or ""))


def _records(reader: "csv.DictReader[str]", problems: list[str]) -> Iterator[dict[str, str]]:
    """The rows of a table, as far as it can be read."""
    try:
        yield from reader
    except csv.Error as error:
        problems.append(f"line {reader.line_num}: {error}")


def _duplicates(rows: Sequence[tuple[int, Label]]) -> list[str]:
    first: dict[str, int] = {}
    problems = []
    for number, label in rows:
        if label.key in first:
            problems.append(f"lines {first[label.key]} and {number}: {label.id or label.name!r} stands twice")
        else:
            first[label.key] = number
    return problems


def _too_long(rows: Sequence[tuple[int, Label]], templates: Sequence[str], count_tokens: TokenCounter) -> list[str]:
    counts, _ = count_tokens([template.format("") for template in templates])
    longest = templates[max(range(len(templates)), key=counts.__getitem__)]
    wordings = [(number, text) for number, label in rows for text in label.wordings]
    if not wordings:
        return []
    counts, limit = count_tokens([longest.format(text) for _, text in wordings])
    return [
        f"line {number}: {_short(text)!r} takes {count} tokens, the text encoder reads {limit}"
        for (number, text), count in zip(wordings, counts, strict=True)
        if count > limit
    ]


def _short(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:40]}…"


def read_templates(spec: str) -> tuple[str, ...]:
    """Prompt templates: ``default``, ``clip`` (the 80 that CLIP was published with), or a file with one a line.

    Raises:
        InputError: the file is missing or a template has not exactly one ``{}``.
        UsageError: it is neither a name nor a file.
    """
    if spec == "default":
        return (DEFAULT_TEMPLATE,)
    if spec == "clip":
        from open_clip import OPENAI_IMAGENET_TEMPLATES

        return tuple(template("{}") for template in OPENAI_IMAGENET_TEMPLATES)
    path = Path(spec)
    try:
        data = path.read_bytes()
    except IsADirectoryError:
        raise InputError("is a folder, not a file of templates", where=spec) from None
    except PermissionError:
        raise InputError("the templates cannot be read", where=spec, hint="check its permissions") from None
    except OSError:
        raise UsageError(
            f"{spec!r} is neither 'default' nor 'clip' nor a file",
            where="--templates",
            hint="write one template a line: a photo of a {}.",
        ) from None
    lines, problems = _decode(data)
    numbered = [(number, normalise(line)) for number, line in enumerate(lines, 1)]
    kept = [(number, line) for number, line in numbered if line and not line.startswith("#")]
    for number, line in kept:
        if line.replace("{}", "", 1).count("{") or line.count("{}") != 1 or line.replace("{}", "").count("}"):
            problems.append(f"line {number}: a template holds {{}} once, for the label: {line!r}")
    if not kept:
        problems.append("there is no template in the file")
    if problems:
        raise InputError("these templates cannot be used", where=str(path), problems=problems)
    return tuple(line for _, line in kept)
