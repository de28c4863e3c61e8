"""Everything that decides a run: method, parts, losses, optimisation; from a method's own choices, a file and flags."""

import difflib
import json
import math
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

    epochs: int = choice(4, "Passes over the training photographs; a few thousand are learnt by heart after more.")
    batch: int = choice(64, "Photographs of a step (MKT).")
    lr: float = choice(3e-4, "Peak learning rate of the tail's norm and projection; earlier stages learn slower.")
    lr_new: float = choice(1e-3, "Peak learning rate of all that is new: IST, adapters, prompts and tokens, tau.")
    layer_decay: float = choice(0.65, "Factor of the learning rate from one stage to the one before it (MKT).")
    weight_decay: float = choice(0.05, "AdamW's, on matrices (MKT).")
    warmup: float = choice(0.1, "Share of the steps in which the learning rate rises; then it falls as a cosine (MKT).")
    clip: float = choice(1.0, "Largest norm of the gradient.")
    ema: float = choice(0.0, "Decay of an average of the weights that is kept instead of the last ones; 0 for none.")
    validation: float = choice(
        0.1, "Share of the training photographs to watch instead of training on, 20,000 at most; 0 for none."
    )
    patience: int = choice(0, "Epochs without a better seen mAP there after which to stop; 0 to go on to the end.")
    trained: int = choice(2, "Last stages of the tower that learn (MKT: two).")
    neighbours: int = choice(10, "Most sources of a label in the graph; how many the paper takes is unknown.")
    calibrate: bool = choice(
        True,
        "Train a second time without 15 % of the seen labels, to learn how far scores of unseen ones can be trusted.",
    )
    fit_gain: bool = choice(
        True,
        "Fit the gain of score transfer, unless it is given, on the watched photographs, on seen labels as the frozen "
        "backbone scores them: the smallest one within a standard error of the best.",
    )
    augment: bool = choice(
        True, "Flip and crop photographs of --images at random while training; the teacher sees them as they are."
    )
    seed: int = choice(0, "Of every random number.")


@dataclass(frozen=True)
class Config:
    """A run's options, resolved."""

    method: str
    parts: Parts
    losses: Losses
    optimisation: Optimisation

    @property
    def touched(self) -> int:
        """Last stages of the tower that do not work as the frozen ones do: tokens must enter before them."""
        return max(self.optimisation.trained, self.parts.ladder)


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
        InputError: it is missing, no TOML, or holds unknown keys, all of which are named.
    """
    try:
        value = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError("no such file", where=str(path)) from None
    except (OSError, ValueError) as error:
        raise InputError(f"cannot be read as TOML ({error})", where=str(path)) from None
    known, found, problems = options(), dict[str, Any](), list[str]()
    for key, entry in value.items():
        if key == "method" and isinstance(entry, str):
            found[key] = entry
        elif key == "method":
            problems.append(f"method = {entry!r}: must be one of {', '.join(METHODS)}")
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
        raise InputError("these options cannot be used", where=str(path), problems=problems)
    return found


def resolve(method: str, given: Mapping[str, Any]) -> Config:
    """A method's own choices, changed by what is given.

    Args:
        method: Its name.
        given: Values of options, by name.

    Raises:
        UsageError: there is no such method, or values are of the wrong kind or out of range, all of which are named.
    """
    if method not in METHODS:
        raise UsageError(
            f"there is no method {method!r} to train{_meant(method, METHODS)}", hint=f"use {', '.join(METHODS)}"
        )
    own, known = METHODS[method], options()
    if "gain" in given:
        given = {"fit_gain": False, **given}
    sections: dict[str, dict[str, Any]] = {section: {} for section in SECTIONS}
    problems = []
    for name, value in given.items():
        section, _, kind = known[name]
        try:
            sections[section][name] = _value(value, kind)
        except ValueError as error:
            problems.append(f"{name} = {value!r}: must be {error}")
    config = Config(
        method,
        replace(own.parts, **sections["parts"]),
        replace(own.losses, **sections["losses"]),
        Optimisation(**{**own.optimisation, **sections["optimisation"]}),
    )
    problems += _out_of_range(config)
    if problems:
        raise UsageError("options have values that they cannot have", problems=problems)
    return config


def _value(value: Any, kind: Any) -> Any:
    """The value as that kind; a ValueError says what it must be."""
    if get_origin(kind) is Literal:
        if value not in get_args(kind):
            raise ValueError(" or ".join(map(str, get_args(kind))))
        return value
    if type(value) is not kind and not (kind is float and type(value) is int):
        raise ValueError(kind.__name__)
    if kind is str:
        return value
    try:
        if not math.isfinite(value):
            raise ValueError("finite")
    except OverflowError:  # an int that no float holds
        raise ValueError("smaller") from None
    return kind(value)


def _out_of_range(config: Config) -> list[str]:
    o, p, losses = config.optimisation, config.parts, config.losses
    rules = {
        "alpha must be in (0, 1]": 0 < p.alpha <= 1,
        "cap must be at least 1": p.cap >= 1,
        "gain must not be negative": p.gain >= 0,
        "layers must be at least 1": p.layers >= 1,
        "heads must be at least 1": p.heads >= 1,
        "hidden must not be negative": p.hidden >= 0,
        "hidden must be a multiple of heads": p.transfer != "ist" or p.heads < 1 or p.hidden % p.heads == 0,
        "dropout must be in [0, 1)": 0 <= p.dropout < 1,
        "score = 'mkt' must have transfer = 'none'": p.score != "mkt" or p.transfer == "none",
        "prompt must be printable and hold {} once, and words, but no other braces": _is_prompt(p.prompt),
        "prompt must have transfer = 'none' and frozen = 0": not p.prompt or (p.transfer, p.frozen) == ("none", 0),
        "score = 'softmax' must not have transfer = 'ist'": p.score != "softmax" or p.transfer != "ist",
        "reg and local_scale must be above 0": p.reg > 0 and p.local_scale > 0,
        "teacher and focus must not be negative": p.teacher >= 0 and p.focus >= 0,
        "ladder must not be negative": p.ladder >= 0,
        "vision_tokens must not be negative": p.vision_tokens >= 0,
        "text_tokens must not be negative, and 0 with a prompt": p.text_tokens >= 0
        and not (p.text_tokens and p.prompt),
        "text_tokens must be 0 where frozen is not: a run keeps no labels without them": not (
            p.text_tokens and p.frozen
        ),
        "text_layers must be at least 1": p.text_layers >= 1,
        "prompt must have ladder = 0": not (p.prompt and p.ladder),
        "margin must not be negative": losses.margin >= 0,
        "tau must be above 0": losses.tau > 0,
        "distillation_weight must not be negative": losses.distillation_weight >= 0,
        "negatives must not be negative": losses.negatives >= 0,
        "epochs must be at least 1": o.epochs >= 1,
        "batch must be at least 1": o.batch >= 1,
        "lr and lr_new must be above 0": o.lr > 0 and o.lr_new > 0,
        "layer_decay must be in (0, 1]": 0 < o.layer_decay <= 1,
        "weight_decay must not be negative": o.weight_decay >= 0,
        "warmup must be in [0, 1]": 0 <= o.warmup <= 1,
        "clip must be above 0": o.clip > 0,
        "ema must be in [0, 1)": 0 <= o.ema < 1,
        "validation must be in [0, 0.9]": 0 <= o.validation <= 0.9,
        "patience must not be negative": o.patience >= 0,
        "patience must be 0 where validation is 0": o.patience <= 0 or o.validation > 0,
        "trained must not be negative": o.trained >= 0,
        "neighbours must be at least 1": o.neighbours >= 1,
        "seed must be in [0, 2^63)": 0 <= o.seed < 2**63,
    }
    return [rule for rule, holds in rules.items() if not holds]


def _is_prompt(text: str) -> bool:
    rest = text.replace("{}", "", 1)
    return not text or ("{}" in text and bool(rest.strip()) and not set(rest) & set("{}") and text.isprintable())


def as_toml(config: Config) -> str:
    """The whole of it, as `read_toml` reads it."""
    value = asdict(config)
    lines = [f"method = {json.dumps(value.pop('method'))}"]
    for section, entries in value.items():
        lines += [
            "",
            f"[{section}]",
            *(f"{name} = {json.dumps(entry, ensure_ascii=False)}" for name, entry in entries.items()),
        ]
    return "\n".join(lines) + "\n"


def _meant(word: str, words: Iterable[str]) -> str:
    close = difflib.get_close_matches(word, list(words), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""
