"""A method's options out of its defaults, a file and what is set by name; all faults are told at once."""

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

import tomli_w
from pydantic import BaseModel, ValidationError

from c2srt_cli.errors import UsageError, meant
from c2srt_cli.methods.options import Choice, Options
from c2srt_cli.methods.registry import METHODS


def parse_set(assignments: list[str]) -> dict[str, Any]:
    """Values of ``--set name=value``; what is no TOML value is text.

    Raises:
        UsageError: there is no equals sign.
    """
    found = {}
    for assignment in assignments:
        name, sign, value = assignment.partition("=")
        if not sign:
            raise UsageError("must be NAME=VALUE, as in ist.heads=8", where=f"--set {assignment}")
        try:
            found[name.strip()] = tomllib.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError:
            found[name.strip()] = value
    return found


def resolve(
    method: str, given: Mapping[str, Any], where: str | None = None, *, over: Mapping[str, Any] | None = None
) -> Any:
    """A method's options: its defaults, changed by what is given.

    An option is named by its group and name, ``ist.heads``; or by its name alone where only one has it. A group of a
    choice takes its name in place of its options: ``loss = "siglip"``.

    Args:
        method: Its name.
        given: Values by name, or groups of them.
        where: Where they stand, for errors.
        over: What goes before that.

    Raises:
        UsageError: there is no such method, or options are unknown to it, of the wrong kind or out of range:
            all of them are named.
    """
    kind = METHODS.find(method)
    default = kind.defaults()
    own = dict(given)
    if own.pop("method", method) != method:
        raise UsageError(
            f"the options are of {given['method']}, not of {method}", where=where, hint="name a file without a method"
        )
    values, problems = default.model_dump(), list[str]()
    # choices first: they say which options there are
    layers = [
        sorted(_flat(layer, values), key=lambda pair: not _is_choice(pair, default)) for layer in (own, over or {})
    ]
    for name, value in chain(*layers):
        places = _places(name, values, default)
        if len(places) == 1:
            _put(values, places[0], value, default)
        elif places:
            problems.append(f"{name} may be {' or '.join('.'.join(place) for place in places)}")
        else:
            problems.append(f"{method} has no option {name!r}{meant(name, _names(values))}")
    try:
        options = kind.Options.model_validate(values)
    except ValidationError as error:
        problems += [_told(line, _names(default.model_dump())) for line in error.errors()]
    else:
        problems += list(options.problems())
    if problems:
        raise UsageError("these options cannot be used", where=where, problems=problems)
    return options


def as_toml(options: Options) -> str:
    """The whole of it, as `read_toml` and `resolve` read it."""
    own = options.model_dump(exclude_none=True)
    return tomli_w.dumps({"method": own.pop("method"), **own})


def describe(options: Options) -> Iterator[tuple[str, Any, str]]:
    """Every option by name, with its value and what it is for."""

    def walk(group: BaseModel, prefix: str) -> Iterator[tuple[str, Any, str]]:
        for name, field in type(group).model_fields.items():
            value = getattr(group, name)
            if isinstance(value, Choice):
                yield f"{prefix}{name}", value.kind, (type(value).__doc__ or "").splitlines()[0]
            if isinstance(value, BaseModel):
                yield from walk(value, f"{prefix}{name}.")
            elif name not in {"method", "kind"}:
                yield f"{prefix}{name}", value, field.description or ""

    return walk(options, "")


def _flat(given: Mapping[str, Any], values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in given.items():
        if isinstance(value, Mapping):
            yield from _flat(value, values, f"{prefix}{name}.")
            if not value:
                yield f"{prefix}{name}", {}
        else:
            yield f"{prefix}{name}", value


def _is_choice(pair: tuple[str, Any], default: Options) -> bool:
    name, value = pair
    return isinstance(value, str) and isinstance(getattr(default, name.removesuffix(".kind"), None), Choice)


def _names(values: Mapping[str, Any], prefix: str = "") -> list[str]:
    found = []
    for name, value in values.items():
        if isinstance(value, Mapping):
            found += _names(value, f"{prefix}{name}.")
        else:
            found += [f"{prefix}{name}", name]
    return found


def _places(name: str, values: Mapping[str, Any], default: Options) -> list[tuple[str, ...]]:
    """Where an option stands: as it is named, or in the groups that have it."""
    path = tuple(name.split("."))
    if path[0] in values and path[0] != "method":
        own = getattr(default, path[0])
        known = len(path) == 1 or (len(path) == 2 and (own is None or path[1] in values[path[0]]))
        return [path] if known or isinstance(own, BaseModel) else []
    if len(path) > 1:
        return []
    return [(group, name) for group, own in values.items() if isinstance(own, Mapping) and name in own]


def _put(values: dict[str, Any], place: tuple[str, ...], value: Any, default: Options) -> None:
    group = place[0]
    choice = getattr(default, group)
    if isinstance(choice, Choice) and (place[1:] in ((), ("kind",))) and isinstance(value, str):
        if values[group]["kind"] != value:
            values[group] = {"kind": value}
    elif len(place) == 1:
        values[group] = value
    else:
        values[group] = {**(values[group] or {}), place[1]: value}


def _told(line: Any, names: Sequence[str]) -> str:
    """An error of pydantic in a line."""
    place = ".".join(str(part) for part in line["loc"] if not (isinstance(part, str) and "[" in part))
    if line["type"] == "extra_forbidden":
        guess = "" if place in names else meant(place, names)  # else it is one of another choice
        return f"there is no option {place!r}{guess}"
    said = str(line["msg"]).removeprefix("Value error, ")
    return f"{place} = {line['input']!r}: {said[:1].lower()}{said[1:]}"
