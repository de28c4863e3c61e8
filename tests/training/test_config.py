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


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"alpha": "half"}, "alpha = 'half': must be float"),
        ({"local": "isrr"}, "local = 'isrr': must be isr or topk or max or mean or none"),
        ({"epochs": True}, "epochs = True: must be int"),
        ({"alpha": 0.0}, "alpha must be in (0, 1]"),
        ({"tau": -1}, "tau must be above 0"),
    ],
)
def test_impossible_values_are_named(given: dict[str, object], said: str) -> None:
    with pytest.raises(UsageError) as caught:
        resolve("c2srt", given)
    assert list(caught.value.problems) == [said]


def test_an_unknown_method_is_guessed() -> None:
    with pytest.raises(UsageError, match="did you mean 'c2srt'"):
        resolve("c2srtt", {})


def test_every_option_says_why() -> None:
    for name, (_, field, _) in options().items():
        assert field.metadata["help"].endswith("."), name
