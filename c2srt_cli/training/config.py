"""Everything that decides a run: method, parts, losses, optimisation; from a method's own choices, a file and flags."""

import difflib
import json
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import Field, asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from c2srt_cli.errors import InputError, UsageError
from c2srt_cli.methods.catalogue import METHODS
from c2srt_cli.methods.options import Losses, Parts, choice


@dataclass(frozen=True)
class Optimisation:
    """How the weights are found."""

    epochs: int = choice(10, "Passes over the training photographs.")
    batch: int = choice(64, "Photographs of a step (MKT).")
    lr: float = choice(3e-4, "Peak learning rate of the tail's norm and projection; earlier stages learn slower.")
    lr_new: float = choice(1e-3, "Peak learning rate of what is not pretrained: IST and tau.")
    layer_decay: float = choice(0.65, "Factor of the learning rate from one stage to the one before it (MKT).")
    weight_decay: float = choice(0.05, "AdamW's, on matrices (MKT).")
    warmup: float = choice(0.1, "Share of the steps in which the learning rate rises; then it falls as a cosine (MKT).")
    clip: float = choice(1.0, "Largest norm of the gradient.")
    ema: float = choice(0.0, "Decay of an average of the weights that is kept instead of the last ones; 0 for none.")
    validation: float = choice(0.1, "Share of the training photographs to watch instead of training on; 0 for none.")
    patience: int = choice(0, "Epochs without a better seen mAP there after which to stop; 0 to go on to the end.")
    trained: int = choice(2, "Last stages of the tower that learn (MKT: two).")
    neighbours: int = choice(10, "Most sources of a label in the graph; how many the paper takes is unknown.")
    seed: int = choice(0, "Of every random number.")


@dataclass(frozen=True)
class Config:
    """A run's options, resolved."""

    method: str
    parts: Parts
    losses: Losses
    optimisation: Optimisation


SECTIONS = {"parts": Parts, "losses": Losses, "optimisation": Optimisation}


def options() -> dict[str, tuple[str, "Field[Any]", Any]]:
    """Every option by name: its section, its field and its type."""
    return {
        field.name: (section, field, get_type_hints(kind)[field.name])
        for section, kind in SECTIONS.items()
        for field in fields(kind)
    }


def read_toml(path: Path) -> dict[str, Any]:
    """Options of a file, by name; ``method`` is one of them.

    Raises:
        InputError: it is missing, no TOML, or holds unknown keys or values of the wrong kind, all of which are named.
    """
    try:
        value = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError("no such file", where=str(path)) from None
    except (OSError, ValueError) as error:
        raise InputError(f"cannot be read as TOML ({error})", where=str(path)) from None
    known, found, problems = options(), dict[str, Any](), list[str]()
    for key, entry in value.items():
        if key == "method":
            found[key] = entry
        elif key in SECTIONS and isinstance(entry, dict):
            for name, own in entry.items():
                if name not in known or known[name][0] != key:
                    there = [n for n, (section, *_) in known.items() if section == key]
                    problems.append(f"[{key}] has no {name!r}{_meant(name, there)}")
                else:
                    found[name] = own
        else:
            problems.append(f"there is no {key!r}{_meant(key, ['method', *SECTIONS])}")
    if problems:
        raise InputError("holds options that do not exist", where=str(path), problems=problems)
    return found


def resolve(method: str, given: Mapping[str, Any]) -> Config:
    """A method's own choices, changed by what is given.

    Args:
        method: Its name.
        given: Values of options, by name.

    Raises:
        UsageError: there is no such method, or values are of the wrong kind, all of which are named.
    """
    if method not in METHODS:
        raise UsageError(
            f"there is no method {method!r} to train{_meant(method, METHODS)}", hint=f"use {', '.join(METHODS)}"
        )
    own, known = METHODS[method], options()
    sections: dict[str, dict[str, Any]] = {section: {} for section in SECTIONS}
    problems = []
    for name, value in given.items():
        section, _, kind = known[name]
        if get_origin(kind) is Literal:
            good = value in get_args(kind)
        else:
            good = type(value) is kind or (kind is float and type(value) is int)
        if not good:
            wanted = " or ".join(map(str, get_args(kind))) if get_origin(kind) is Literal else kind.__name__
            problems.append(f"{name} = {value!r}: must be {wanted}")
        sections[section][name] = float(value) if good and kind is float else value
    if problems:
        raise UsageError("options have values that they cannot have", problems=problems)
    config = Config(
        method,
        replace(own.parts, **sections["parts"]),
        replace(own.losses, **sections["losses"]),
        replace(Optimisation(trained=own.trained), **sections["optimisation"]),
    )
    _check(config)
    return config


def _check(config: Config) -> None:
    o, p = config.optimisation, config.parts
    rules = {
        "alpha must be in (0, 1]": 0 < p.alpha <= 1,
        "cap must be at least 1": p.cap >= 1,
        "layers must be at least 1": p.layers >= 1,
        "heads must be at least 1": p.heads >= 1,
        "dropout must be in [0, 1)": 0 <= p.dropout < 1,
        "epochs must be at least 1": o.epochs >= 1,
        "batch must be at least 1": o.batch >= 1,
        "lr and lr_new must be above 0": o.lr > 0 and o.lr_new > 0,
        "ema must be in [0, 1)": 0 <= o.ema < 1,
        "validation must be in [0, 0.9]": 0 <= o.validation <= 0.9,
        "trained must not be negative": o.trained >= 0,
        "tau must be above 0": config.losses.tau > 0,
        "negatives must not be negative": config.losses.negatives >= 0,
    }
    if problems := [rule for rule, holds in rules.items() if not holds]:
        raise UsageError("options have values that they cannot have", problems=problems)


def as_toml(config: Config) -> str:
    """The whole of it, as `read_toml` reads it."""
    value = asdict(config)
    lines = [f"method = {json.dumps(value.pop('method'))}"]
    for section, entries in value.items():
        lines += ["", f"[{section}]", *(f"{name} = {json.dumps(entry)}" for name, entry in entries.items())]
    return "\n".join(lines) + "\n"


def _meant(word: str, words: Iterable[str]) -> str:
    close = difflib.get_close_matches(word, list(words), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""
