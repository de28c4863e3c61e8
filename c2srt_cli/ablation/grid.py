"""Grid files: the rows of an ablation, and what is different in each.

    seeds = [0, 1, 2]            # these unless given
    [base]                       # options of `c2srt train` by name, `method` and `graph`; the row to compare with
    graph = "corel5k-374"
    [rows."without ISR"]         # what is different in this row
    patches = "none"
    [grid]                       # the product of these lists gives rows too
    "patches.alpha" = [0.25, 0.5, 0.75]

Options are named as by `config.resolve`. The base bears the name of its method. A row with another method starts from
that method's own choices, and takes over nothing of the base but its graph and how it is trained; one that needs no
training (`zero-shot`) is scored once. A product that equals the base is the base, and no further row.
"""

import itertools
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from c2srt_cli.artifacts import fingerprint
from c2srt_cli.errors import C2srtError, InputError, UsageError, meant
from c2srt_cli.graph.category_graph import read_graph
from c2srt_cli.methods.options import Options, Training
from c2srt_cli.methods.registry import DEFAULT, METHODS
from c2srt_cli.text import read_toml
from c2srt_cli.training.config import as_toml, resolve

ZERO_SHOT = "zero-shot"
SEEDS = (0, 1, 2)
#: Letters of a row's name that its folder takes over.
SLUG = 80


@dataclass(frozen=True)
class GridRow:
    """A trained row.

    Attributes:
        name: For people.
        changes: What is different from the base, as the file says it; of the base, everything that it says.
        options: Of its runs, but for their seed.
        graph: File or name of its category graph; None where nothing moves over one.
    """

    name: str
    changes: str
    options: Options
    graph: str | None

    @property
    def trainable(self) -> bool:
        """Whether there is anything to train; else one seed says all."""
        return METHODS[self.options.method].trainable

    def with_seed(self, seed: int) -> Options:
        """The options of one run."""
        own: Any = self.options
        if not self.trainable:
            return own  # type: ignore[no-any-return]
        return own.model_copy(update={"training": own.training.model_copy(update={"seed": seed})})  # type: ignore[no-any-return]


@dataclass(frozen=True)
class Grid:
    """What an ablation trains.

    Attributes:
        seeds: Of the runs of every row.
        rows: The base first.
    """

    seeds: tuple[int, ...]
    rows: tuple[GridRow, ...]

    @property
    def base(self) -> GridRow:
        """What the others are compared with."""
        return self.rows[0]


def read_grid(path: Path) -> Grid:
    """Read a grid file, resolve the options of every row and read every graph.

    Args:
        path: A TOML file; paths of graphs in it are relative to its folder.

    Raises:
        InputError: it is missing, no TOML, or has faults, all of which are named.
    """
    value = read_toml(path)
    problems: list[str] = []
    tables: dict[str, dict[str, Any]] = {"base": {}, "rows": {}, "grid": {}}
    for key, entry in value.items():
        if key in tables and isinstance(entry, dict):
            tables[key] = entry
        elif key in tables:
            problems.append(f"{key} must be a table: [{key}]")
        elif key != "seeds":
            guess = meant(key, ["seeds", *tables])
            problems.append(f"there is no {key!r}{guess or '; options stand in [base] or in a row'}")
    seeds = value.get("seeds", list(SEEDS))
    if not isinstance(seeds, list) or not seeds or any(type(s) is not int or s < 0 for s in seeds):
        problems.append("seeds must be a list of whole numbers of at least 0")
    elif len(set(seeds)) < len(seeds):
        problems.append(f"seeds has some twice: {seeds}")
    rows = _rows(tables, path.parent, problems)
    if problems:
        raise InputError("this grid cannot be run", where=str(path), problems=problems)
    return Grid(tuple(seeds), tuple(rows))


def slug(name: str) -> str:
    """A row's name as that of a folder: letters and digits in lower case, with hyphens between."""
    plain = "-".join(re.findall(r"[^\W_]+", name.lower()))
    return plain if len(plain) <= SLUG else f"{plain[:SLUG]}-{fingerprint(name)[:8]}"


def _rows(tables: Mapping[str, Mapping[str, Any]], folder: Path, problems: list[str]) -> list[GridRow]:
    """All rows without a fault; the faults of the others go to ``problems``."""
    base = _known("[base]", tables["base"], problems)
    name_of_base = _base_name(base)
    said = set[str]()  # what is wrong with the base is wrong with every row, and said once
    found: list[GridRow] = []
    slugs, same = {slug(ZERO_SHOT): ZERO_SHOT}, dict[tuple[str, str | None], str]()
    for where, name, changes in itertools.chain([("[base]", name_of_base, base)], _changes(tables, problems)):
        own = slug(name)
        if not own:
            problems.append(f"{where}: the name needs a letter or a digit")
        elif own in slugs:
            problems.append(
                f"{where}: there is a row {slugs[own]!r} already, and names must differ in letters or digits"
            )
        slugs.setdefault(own, name)
        try:
            row = _row(name, base, changes, folder)
        except C2srtError as error:
            faults = error.problems or (" ".join(filter(None, (error.where, error.what))),)
            problems += [f"{where}: {fault}" for fault in faults if fault not in said]
            said |= set(faults) if where == "[base]" else set()
            continue
        twin = same.setdefault((as_toml(row.options), row.graph), name)
        if twin == name_of_base and where == "[grid]":
            continue
        if twin != name:
            problems.append(f"{where}: {name!r} has the same options as {twin!r}")
        found.append(row)
    return found


def _base_name(base: Mapping[str, Any]) -> str:
    """That of its method; of zero-shot's, which has a row anyway, another."""
    method = str(base.get("method", DEFAULT))
    return f"{method}, base" if slug(method) in ("", slug(ZERO_SHOT)) else method


def _changes(
    tables: Mapping[str, Mapping[str, Any]], problems: list[str]
) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Where a row stands in the file, its name, and its options that exist."""
    for name, entry in tables["rows"].items():
        where = f"[rows.{json.dumps(name, ensure_ascii=False)}]"
        if isinstance(entry, dict):
            yield where, name, _known(where, entry, problems)
        else:
            problems.append(f"{where} must be a table")
    lists = dict(_known("[grid]", tables["grid"], problems))
    for group in [key for key, entry in lists.items() if isinstance(entry, dict)]:
        lists |= {f"{group}.{key}": entry for key, entry in lists.pop(group).items()}
    for key, entry in lists.items():
        if not isinstance(entry, list) or not entry:
            problems.append(f"[grid]: {key} must be a list of values")
    lists = {key: entry for key, entry in lists.items() if isinstance(entry, list)}
    for values in itertools.product(*lists.values()) if lists else ():
        changes = dict(zip(lists, values, strict=True))
        yield "[grid]", _text(changes), changes


def _known(where: str, entry: Mapping[str, Any], problems: list[str]) -> dict[str, Any]:
    """The options but for the seed."""
    seeds = [key for key in entry if key in ("seed", "training.seed")]
    problems += [f"{where}: seed goes into the list seeds, for all rows" for _ in seeds]
    return {key: value for key, value in entry.items() if key not in seeds}


def _row(name: str, base: Mapping[str, Any], changes: Mapping[str, Any], folder: Path) -> GridRow:
    """One row, resolved, its graph read.

    Raises:
        C2srtError: it has faults.
    """
    own = base.get("method", DEFAULT)
    method, graph = changes.get("method", own), changes.get("graph", base.get("graph"))
    for key, value in (("method", method), ("graph", graph)):
        if not isinstance(value, str | None):
            raise UsageError(f"{key} = {value!r}: must be the name of one")
    inherited = dict(base)
    if method != own:  # nothing but how it is trained
        inherited = {k: v for k, v in base.items() if k.removeprefix("training.") in Training.model_fields}
    inherited, own_changes = (
        {k: v for k, v in some.items() if k not in ("method", "graph")} for some in (inherited, changes)
    )
    # nothing here reads a calibration
    if method in METHODS and not METHODS[method].trainable:
        inherited = {}
    else:
        inherited = {"training.calibrate": False, **inherited}
    options = resolve(method, inherited, over=own_changes)
    if not METHODS[method].hops(options):
        return GridRow(name, _text(changes), options, None)
    if graph is None:
        raise UsageError('needs a category graph: graph = "FILE or NAME"')
    if (folder / graph).is_file():
        graph = str(folder / graph)
    try:
        read_graph(graph)
    except InputError as error:
        raise UsageError(f"graph = {graph!r} {error.what}" + (f": {error.hint}" if error.hint else "")) from None
    return GridRow(name, _text(changes), options, graph)


def _text(changes: Mapping[str, Any]) -> str:
    """Options as people read them: ``patches.alpha = 0.25, patches = isr``."""
    return ", ".join(f"{k} = {v if isinstance(v, str) else json.dumps(v, default=str)}" for k, v in changes.items())
