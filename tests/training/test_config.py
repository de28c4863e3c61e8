import tomllib
from pathlib import Path
from typing import Any

import pytest

from c2srt_cli.errors import InputError, UsageError
from c2srt_cli.methods.registry import METHODS
from c2srt_cli.text import read_toml
from c2srt_cli.training.config import as_toml, describe, parse_set, resolve


def faults(method: str, given: dict[str, Any]) -> list[str]:
    with pytest.raises(UsageError) as caught:
        resolve(method, given)
    return list(caught.value.problems)


@pytest.mark.parametrize("method", METHODS)
def test_options_survive_their_file(method: str, tmp_path: Path) -> None:
    own: dict[str, Any] = {"training.epochs": 3, "training.lr": 1e-5, "loss": "siglip"}
    options = resolve(method, own if METHODS[method].trainable else {"patches.alpha": 0.25})
    path = tmp_path / "config.toml"
    path.write_text(as_toml(options), encoding="utf-8")
    assert tomllib.loads(path.read_text(encoding="utf-8"))["method"] == method
    assert resolve(method, read_toml(path)) == options


def test_a_file_that_is_no_toml(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_toml(tmp_path / "config.toml")
    (tmp_path / "config.toml").write_text("a = = 1")
    with pytest.raises(InputError, match="cannot be read as TOML"):
        read_toml(tmp_path / "config.toml")


def test_everything_wrong_is_said_at_once() -> None:
    assert faults(
        "c2srt",
        {
            "ist.hedas": 3,
            "gian": 0.3,
            "training": {"epochs": 0.5, "lr": -1.0},
            "patches": {"kind": "mean", "alpha": 0.4},
            "loss": "sigmid",
            "norm": "l2",
            "seed": -1,
        },
    ) == [
        "c2srt has no option 'gian'; did you mean 'gain'?",
        "norm may be adapters.norm or distillation.norm",
        "training.epochs = 0.5: input should be a valid integer",
        "training.lr = -1.0: input should be greater than 0",
        "training.seed = -1: input should be greater than or equal to 0",
        "there is no option 'patches.alpha'",
        "there is no option 'ist.hedas'; did you mean 'ist.heads'?",
        "loss = {'kind': 'sigmid'}: must be one of ranking, sigmoid, siglip, asymmetric, mmc; did you mean 'sigmoid'?",
    ]


def test_a_misspelt_option_of_a_group_is_guessed_at() -> None:
    assert faults("zero-shot", {"patches.alhpa": 0.4}) == [
        "there is no option 'patches.alhpa'; did you mean 'patches.alpha'?"
    ]


@pytest.mark.parametrize(
    ("method", "option"),
    [("clip-ft", "heads"), ("clip-ft", "alpha"), ("mkt", "ot_reg"), ("ram", "logit_scale")],
)
def test_options_that_would_do_nothing_are_refused(method: str, option: str) -> None:
    (told,) = faults(method, {option: 1})
    assert told.startswith(f"{method} has no option {option!r}")


@pytest.mark.parametrize(
    ("method", "given", "said"),
    [
        ("label-propagation", {"alpha": "half"}, "patches.alpha = 'half': input should be a valid number"),
        ("label-propagation", {"alpha": 0.0}, "patches.alpha = 0.0: input should be greater than 0"),
        ("label-propagation", {"epochs": True}, "training.epochs = True: input should be a valid integer"),
        ("label-propagation", {"lr": float("nan")}, "training.lr = nan: input should be a finite number"),
        ("label-propagation", {"logit_scale": -1}, "logit_scale = -1: input should be greater than 0"),
        ("label-propagation", {"patience": 2, "validation": 0}, None),
        ("c2srt", {"ist": "values", "ist.hidden": 30}, "ist.hidden = 30: must be a multiple of ist.heads"),
        ("ram", {"zero_shot_weight": 0.5}, None),
    ],
)
def test_impossible_values_are_named(method: str, given: dict[str, Any], said: str | None) -> None:
    (told,) = faults(method, given)
    assert told == said or (said is None and " must be 0 where " in told)


@pytest.mark.parametrize("prompt", ["a photo", "{}", " {} ", "{} or {}", "a {label}", "a {} {", "a {}\n", "a {}\udc80"])
def test_what_is_no_prompt_is_named(prompt: str) -> None:
    (told,) = faults("mkt-prompt", {"prompt": prompt})
    assert told.endswith("must be printable and hold {} once, and words, but no other braces")


def test_choices_take_their_own_options_and_forget_those_of_another() -> None:
    options = resolve("label-propagation", {"patches": "topk", "patches.k": 3, "loss": {"rank": "labels"}})
    assert (options.patches.kind, options.patches.k, options.loss.rank) == ("topk", 3, "labels")
    over = resolve("label-propagation", {"patches.alpha": 0.3}, over={"patches": "kcot"})
    assert over.patches == resolve("ram", {}).patches
    assert resolve("ram", {"propagation": {}}).propagation == resolve("label-propagation", {}).propagation
    both = {"propagation": {"gain": 0.3, "seen_gain": 0.1}}
    assert resolve("ram", both).propagation == resolve("label-propagation", both).propagation


def test_what_is_set_goes_before_the_file() -> None:
    """Also where the file asks for a fit and the gain is given."""
    file = {"propagation": {"gain": "fit"}, "training": {"epochs": 9}}
    options = resolve("label-propagation", file, over=parse_set(["gain=0.3", "training.seed = 4"]))
    assert (options.propagation.gain, options.training.epochs, options.training.seed) == (0.3, 9, 4)
    assert parse_set(["patches=isr", "prompt=a {} of = mine"]) == {"patches": "isr", "prompt": "a {} of = mine"}
    with pytest.raises(UsageError, match="NAME=VALUE"):
        parse_set(["gain"])


def test_a_file_of_another_method_is_refused() -> None:
    with pytest.raises(UsageError, match="of c2srt, not of ram"):
        resolve("ram", tomllib.loads(as_toml(resolve("c2srt", {}))))


def test_an_unknown_method_is_guessed() -> None:
    with pytest.raises(UsageError, match="did you mean 'c2srt'"):
        resolve("c2srtt", {})


@pytest.mark.parametrize("method", METHODS)
def test_every_option_says_why(method: str) -> None:
    found = list(describe(resolve(method, {"propagation": {}} if method == "ram" else {})))
    assert found
    for name, _, text in found:
        assert text.endswith("."), name
