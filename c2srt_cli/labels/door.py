"""From what the user names, a file or the words themselves, to labels that can be used."""

import difflib
import re
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from c2srt_cli.errors import InputError, UsageError
from c2srt_cli.labels.entries import Entries, list_entries, shown, table_entries, table_of
from c2srt_cli.labels.json_list import is_json, json_entries
from c2srt_cli.labels.keywords import is_tree, tree_entries
from c2srt_cli.labels.label import Label, LabelSet
from c2srt_cli.labels.templates import DEFAULT_TEMPLATE
from c2srt_cli.text import Text, fault, normalise, read_text

#: What the user may name labels by: a file, words with commas between them, or labels that are there already.
LabelSpec = Path | str | LabelSet

#: Counts the tokens of texts, start and end tokens included; returns the counts and the model's limit.
TokenCounter = Callable[[Sequence[str]], tuple[Sequence[int], int]]

_WHAT = "the labels"
_HINT = "write one label a line into a text file, or give the words: 'cat, dog'"

#: What a name of a file looks like, and no word.
_PATH_LIKE = re.compile(r"[/\\]|\.\w{1,5}$|^[~.]")

#: Of files that hold labels.
_SUFFIXES = frozenset({".txt", ".csv", ".tsv", ".json", ".jsonl"})


@dataclass(frozen=True)
class LabelSource:
    """What the user named labels by, read once.

    Attributes:
        path: The file; None where the words themselves were given.
        name: What errors call it.
        entries: What stands in it.
        problems: What is wrong with it, its lengths apart.
        hint: What to do about that.
    """

    path: Path | None
    name: str
    entries: Entries
    problems: tuple[str, ...]
    hint: str

    def labels(self, templates: Sequence[str] = (), count_tokens: TokenCounter | None = None) -> LabelSet:
        """The labels, checked.

        Args:
            templates: Prompts around them, for the check of their length.
            count_tokens: The text encoder's counter; without it lengths are not checked.

        Raises:
            InputError: there are faults: all of them are listed with their line numbers.
        """
        problems = list(self.problems)
        if count_tokens is not None:
            problems += _too_long(self.entries, templates or (DEFAULT_TEMPLATE,), count_tokens)
        if problems:
            raise InputError("these labels cannot be used", where=self.name, problems=problems, hint=self.hint)
        return LabelSet(tuple(label for _, label in self.entries.labels))


def open_labels(spec: LabelSpec) -> LabelSource:
    """Read a list, a table, Lightroom's keywords, JSON, or words with commas between them.

    What a file is its content says: a table has a header with the column ``label``, keywords are indented, JSON begins
    with a bracket. Everything else is one label a line, ``#`` before comments.

    Raises:
        InputError: there is no such file, or it cannot be text.
        UsageError: it is a slip, such as the name of a file without its suffix.
    """
    path = _file_meant(spec)
    text = Text((), ()) if path is None else read_text(path, _WHAT, _HINT)
    if isinstance(spec, LabelSet):
        entries, name = _given(spec), "labels"
    elif path is None:
        entries, name = _words(str(spec)), shown(str(spec))
    else:
        entries, name = _entries(text, path.suffix.lower()), str(path)
    hint = text.hint or "mend what is named above"
    if not entries.labels and not entries.problems and not text.problems:
        entries.problems.append(f"there is no label in the {'file' if path else 'words'}")
        hint = f"{_HINT}; # begins a comment"
    problems = (*text.problems, *entries.problems, *_names(entries), *_duplicates(entries))
    return LabelSource(path, name, entries, problems, hint)


def read_labels(
    spec: LabelSpec, *, templates: Sequence[str] = (), count_tokens: TokenCounter | None = None
) -> LabelSet:
    """The labels of a file, of words, or those that are there already: `open_labels`, then `LabelSource.labels`."""
    return open_labels(spec).labels(templates, count_tokens)


def _file_meant(spec: LabelSpec) -> Path | None:
    """The file of labels that is meant, None where the words themselves are; refuses what is neither.

    A word is what is no file and does not look like the name of one.
    """
    if isinstance(spec, LabelSet):
        return None
    path = Path(spec)
    if isinstance(spec, str) and not _PATH_LIKE.search(spec.strip()) and not _mode(path):
        if spec.strip() == "-":
            raise UsageError("labels are not read from standard input", where=spec, hint=_HINT)
        if not re.search("[,;\n]", spec) and (meant := _file_of(path)):
            raise UsageError(
                f"is {meant} meant?",
                where=spec,
                hint=f"name the file in full, or write a comma behind the word: '{spec},'",
            )
        return None
    return path


def _mode(path: Path) -> int:
    """What kind of file there is; 0 where there is none."""
    try:
        return path.stat().st_mode
    except (OSError, ValueError):  # words may be too long for a name, too
        return 0


def _file_of(word: Path) -> str | None:
    """The file of labels in the current folder that a word is nearly the name of."""
    stems = {path.stem.casefold(): path.name for path in sorted(Path().glob("*")) if path.suffix.lower() in _SUFFIXES}
    close = difflib.get_close_matches(word.name.casefold(), stems, 1, 0.8)
    return stems[close[0]] if close else None


def vocabulary_name(spec: LabelSpec) -> str:
    """What a vocabulary is called unless the user names it: the stem of its file, ``labels`` for words."""
    if isinstance(spec, LabelSet):
        return "labels"
    path = Path(spec)
    return path.stem if stat.S_ISREG(_mode(path)) else "labels"


def _entries(text: Text, suffix: str) -> Entries:
    """The labels of a file, in whatever form it has them."""
    if is_json(str(text), suffix):
        return json_entries(str(text), text.lines)
    if table := table_of(text.lines, suffix):
        return table_entries(table)
    return tree_entries(text.lines) if is_tree(text.lines) else list_entries(text.lines)


def _given(labels: LabelSet) -> Entries:
    """Labels that a program has made."""
    entries = Entries(unit="label")
    for number, label in enumerate(labels, 1):
        if wrong := fault(label.name) or (None if label.name else "it is empty"):
            entries.problems.append(f"label {number}: {wrong}")
        else:
            entries.labels.append((number, label))
    return entries


def _words(text: str) -> Entries:
    """``cat, dog``: commas, semicolons or line breaks between the words."""
    entries = Entries(unit="word")
    for number, word in enumerate(re.split("[,;\n]", text), 1):
        if wrong := fault(word):
            entries.problems.append(f"word {number}: {wrong}")
        elif name := normalise(word):
            entries.labels.append((number, Label(name)))
    return entries


def _names(entries: Entries) -> list[str]:
    """What is wrong with names: ``parent|child`` with a part that is empty, and the beginning of a comment."""
    problems = []
    for number, label in entries.labels:
        if label.name == "#" or label.name.startswith("# "):
            problems.append(f"{entries.unit} {number}: {shown(label.name)} begins as a comment does")
        parts = [part.strip() for part in label.name.split("|")]
        if not parts[-1]:
            problems.append(f"{entries.unit} {number}: nothing behind the last |")
        elif not all(parts):
            problems.append(f"{entries.unit} {number}: nothing before a | in {shown(label.name)}")
    return problems


def _duplicates(entries: Entries) -> list[str]:
    first: dict[str, int] = {}
    problems = []
    units = {"entry": "entries"}.get(entries.unit, f"{entries.unit}s")
    for number, label in entries.labels:
        if label.key in first:
            problems.append(f"{units} {first[label.key]} and {number}: {label.id or label.name!r} stands twice")
        else:
            first[label.key] = number
    return problems


def _too_long(entries: Entries, templates: Sequence[str], count_tokens: TokenCounter) -> list[str]:
    counts, _ = count_tokens([template.format("") for template in templates])
    longest = templates[max(range(len(templates)), key=counts.__getitem__)]
    wordings = [(number, text) for number, label in entries.labels for text in label.wordings]
    if not wordings:
        return []
    counts, limit = count_tokens([longest.format(text) for _, text in wordings])
    return [
        f"{entries.unit} {number}: {shown(text)} takes {count} tokens, the text encoder reads {limit}"
        for (number, text), count in zip(wordings, counts, strict=True)
        if count > limit
    ]
