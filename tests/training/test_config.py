import tomllib
from dataclasses import asdict
from pathlib import Path

import pytest

from c2srt_cli.errors import InputError, UsageError
from c2srt_cli.methods.catalogue import METHODS
from c2srt_cli.training.config import as_toml, options, read_toml, resolve


@pytest.mark.parametrize("method", METHODS)
def test_a_config_survives_its_file(method: str, tmp_path: Path) -> None:
    config = resolve(method, {"alpha": 0.25, "epochs": 3, "loss": "sigmoid", "plain_start": True})
    path = tmp_path / "config.toml"
    path.write_text(as_toml(config), encoding="utf-8")
    assert tomllib.loads(path.read_text(encoding="utf-8")) == asdict(config)
    given = read_toml(path)
    assert resolve(given.pop("method"), given) == config


def test_everything_wrong_with_a_file_is_said_at_once(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text('methd = "mkt"\n[parts]\nalpa = 1\nepochs = 3\n[optimisation]\nlr = 0.1\n', encoding="utf-8")
    with pytest.raises(InputError) as caught:
        read_toml(path)
    assert list(caught.value.problems) == [
        "there is no 'methd'; did you mean 'method'?",
        "[parts] has no 'alpa'; did you mean 'alpha'?",
        "[parts] has no 'epochs'",
    ]


@pytest.mark.parametrize("value", ["3", "[]", "{}", "true"])
def test_a_method_that_is_no_name_is_said_with_the_rest(value: str, tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text(f"method = {value}\nseed = 1\n", encoding="utf-8")
    with pytest.raises(InputError) as caught:
        read_toml(path)
    method, seed = caught.value.problems
    assert method.endswith("must be one of c2srt, clip-ft, mkt, mkt-prompt, ram")
    assert seed.startswith("there is no 'seed'")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"alpha": "half"}, "alpha = 'half': must be float"),
        ({"local": "isrr"}, "local = 'isrr': must be isr or kcot or topk or max or mean or none"),
        ({"epochs": True}, "epochs = True: must be int"),
        ({"alpha": 0.0}, "alpha must be in (0, 1]"),
        ({"tau": -1}, "tau must be above 0"),
        ({"lr": float("nan")}, "lr = nan: must be finite"),
        ({"gain": float("-inf")}, "gain = -inf: must be finite"),
        ({"gain": -0.5}, "gain must not be negative"),
        ({"hidden": -4}, "hidden must not be negative"),
        ({"transfer": "ist", "hidden": 30}, "hidden must be a multiple of heads"),
        ({"transfer": "ist", "heads": 3, "hidden": 32}, "hidden must be a multiple of heads"),
        ({"transfer": "ist", "heads": 0, "hidden": 32}, "heads must be at least 1"),
        ({"score": "mkt"}, "score = 'mkt' must have transfer = 'none'"),
        ({"score": "mkt", "transfer": "scores"}, "score = 'mkt' must have transfer = 'none'"),
        ({"prompt": "a {}"}, "prompt must have transfer = 'none' and frozen = 0"),
        (
            {"text_tokens": 4, "frozen": 0.5},
            "text_tokens must be 0 where frozen is not: a run keeps no labels without them",
        ),
        ({"score": "softmax", "transfer": "ist"}, "score = 'softmax' must not have transfer = 'ist'"),
        ({"margin": -0.1}, "margin must not be negative"),
        ({"distillation_weight": -1}, "distillation_weight must not be negative"),
        ({"layer_decay": 0}, "layer_decay must be in (0, 1]"),
        ({"layer_decay": 1.01}, "layer_decay must be in (0, 1]"),
        ({"weight_decay": -1e-9}, "weight_decay must not be negative"),
        ({"warmup": 1.5}, "warmup must be in [0, 1]"),
        ({"warmup": -0.1}, "warmup must be in [0, 1]"),
        ({"clip": 0}, "clip must be above 0"),
        ({"patience": -1}, "patience must not be negative"),
        ({"patience": 2, "validation": 0}, "patience must be 0 where validation is 0"),
        ({"neighbours": 0}, "neighbours must be at least 1"),
        ({"seed": -1}, "seed must be in [0, 2^63)"),
        ({"seed": 2**63}, "seed must be in [0, 2^63)"),
        ({"tau": 10**400}, f"tau = {10**400}: must be smaller"),
    ],
)
def test_impossible_values_are_named(given: dict[str, object], said: str) -> None:
    with pytest.raises(UsageError) as caught:
        resolve("c2srt", given)
    assert list(caught.value.problems) == [said]


@pytest.mark.parametrize("prompt", ["a photo", "{}", " {} ", "{} or {}", "a {label}", "a {} {", "a {}\n", "a {}\udc80"])
def test_what_is_no_prompt_is_named(prompt: str) -> None:
    with pytest.raises(UsageError) as caught:
        resolve("mkt-prompt", {"prompt": prompt})
    assert list(caught.value.problems) == ["prompt must be printable and hold {} once, and words, but no other braces"]


@pytest.mark.parametrize("prompt", ["", 'a "{}" \\', "ein großes {} 👍", "{}s"])
def test_a_prompt_survives_its_file(prompt: str, tmp_path: Path) -> None:
    config = resolve("mkt-prompt", {"prompt": prompt})
    path = tmp_path / "config.toml"
    path.write_text(as_toml(config), encoding="utf-8")
    given = read_toml(path)
    assert resolve(given.pop("method"), given) == config
    assert config.parts.prompt == prompt


def test_values_of_the_wrong_kind_and_out_of_range_are_named_together() -> None:
    with pytest.raises(UsageError) as caught:
        resolve("mkt", {"alpha": "half", "clip": -1.0, "transfer": "ist", "seed": -2, "ema": float("inf")})
    assert list(caught.value.problems) == [
        "alpha = 'half': must be float",
        "ema = inf: must be finite",
        "score = 'mkt' must have transfer = 'none'",
        "clip must be above 0",
        "seed must be in [0, 2^63)",
    ]


@pytest.mark.parametrize(
    "given",
    [
        {"hidden": 30, "transfer": "scores"},
        {"hidden": 30, "transfer": "none"},
        {"transfer": "ist", "heads": 3},  # may divide the joint space's width
        {"warmup": 0, "layer_decay": 1, "margin": 0, "weight_decay": 0, "distillation_weight": 0, "gain": 0},
        {"warmup": 1.0, "seed": 2**63 - 1, "cap": 500},
    ],
)
def test_the_ends_of_ranges_are_in_them(given: dict[str, object]) -> None:
    config = resolve("c2srt", given)
    for name, value in given.items():
        assert getattr(getattr(config, options()[name][0]), name) == value


def test_an_unknown_method_is_guessed() -> None:
    with pytest.raises(UsageError, match="did you mean 'c2srt'"):
        resolve("c2srtt", {})


def test_every_option_says_why() -> None:
    for name, (_, field, _) in options().items():
        assert field.metadata["help"].endswith("."), name
