"""Grid files: rows, and everything wrong with them at once."""

from pathlib import Path
from typing import Any

import pytest

from c2srt_cli.ablation.grid import Grid, read_grid, slug
from c2srt_cli.errors import InputError
from c2srt_cli.training.config import as_toml, resolve

BASE = '[base]\nmethod = "label-propagation"\ngraph = "corel5k-374"\n'


def read(folder: Path, text: str) -> Grid:
    (folder / "grid.toml").write_text(text, encoding="utf-8")
    return read_grid(folder / "grid.toml")


def faults(folder: Path, text: str) -> list[str]:
    with pytest.raises(InputError) as caught:
        read(folder, text)
    return list(caught.value.problems)


def test_base_then_rows_then_products(tmp_path: Path) -> None:
    grid = read(
        tmp_path,
        BASE
        + 'epochs = 3\n[rows.soft]\npatches = "mean"\n[grid]\n"patches.alpha" = [0.5, 0.75]\nneighbours = [5, 10]\n',
    )
    assert grid.seeds == (0, 1, 2)
    rows: list[Any] = [row.options for row in grid.rows]
    found = [(getattr(one.patches, "alpha", None), one.neighbours) for one in rows]
    assert dict(zip((row.name for row in grid.rows), found, strict=True)) == {
        "label-propagation": (0.5, 10),
        "soft": (None, 10),
        "patches.alpha = 0.5, neighbours = 5": (0.5, 5),  # and the product that is the base is no second row
        "patches.alpha = 0.75, neighbours = 5": (0.75, 5),
        "patches.alpha = 0.75, neighbours = 10": (0.75, 10),
    }
    expected = resolve("label-propagation", {"patches": "mean", "epochs": 3, "calibrate": False, "seed": 7})
    assert grid.rows[1].with_seed(7) == expected


def test_graphs_lie_beside_the_file(tmp_path: Path) -> None:
    shipped = Path(__file__).parents[2] / "graphs/coco-80.json"
    (tmp_path / "own.json").write_bytes(shipped.read_bytes())
    grid = read(tmp_path, BASE + '[rows.own]\ngraph = "own.json"\n[rows.none]\nmethod = "clip-ft"\n')
    assert [row.graph for row in grid.rows] == ["corel5k-374", str(tmp_path / "own.json"), None]


def test_another_method_starts_from_its_own_choices(tmp_path: Path) -> None:
    grid = read(
        tmp_path,
        BASE + 'alpha = 0.3\nlogit_scale = 4.0\nlr = 1e-4\n[rows.mkt]\nmethod = "mkt"\nmargin = 2.0\n'
        '[rows.same]\nmethod = "label-propagation"\npatches = "topk"\n',
    )
    assert grid.rows[1].options == resolve("mkt", {"lr": 1e-4, "margin": 2.0, "calibrate": False})
    assert grid.rows[1].graph is None
    assert grid.rows[2].options == resolve(
        "label-propagation", {"logit_scale": 4.0, "lr": 1e-4, "patches": "topk", "calibrate": False}
    )


@pytest.mark.parametrize(
    ("base", "name"),
    [
        ('method = "mkt"', "mkt"),
        ('graph = "corel5k-374"', "c2srt"),
        ('method = "zero-shot"\ngraph = "voc-20"', "zero-shot, base"),
    ],
)
def test_the_base_is_named_as_its_method(tmp_path: Path, base: str, name: str) -> None:
    grid = read(tmp_path, f'[base]\n{base}\n[rows.other]\nmethod = "clip-ft"\n')
    assert (grid.base.name, [row.name for row in grid.rows]) == (name, [name, "other"])


def test_everything_wrong_is_said_at_once(tmp_path: Path) -> None:
    assert faults(
        tmp_path,
        """
        seeds = [0, 0]
        row = 1
        alpha = 0.5
        [base]
        method = "label-propagation"
        graph = "corel5k-347"
        seed = 3
        [rows.a]
        alpa = 0.5
        alpha = "half"
        neighbours = 0
        [rows.b]
        method = "mtk"
        [rows.c]
        method = "clip-ft"
        [rows."C!"]
        method = "clip-ft"
        [rows."?"]
        gain = 2.0
        [rows."Label propagation"]
        gain = 3.0
        [grid]
        sampled_negatives = 4
        """,
    ) == [
        "there is no 'row'; did you mean 'rows'?",
        "there is no 'alpha'; options stand in [base] or in a row",
        "seeds has some twice: [0, 0]",
        "[base]: seed goes into the list seeds, for all rows",
        "[base]: graph = 'corel5k-347' is neither a graph file nor the name of a shipped graph: did you mean "
        "corel5k-374? Shipped are coco-80, corel5k-374, everyday, nus-wide-1006, open-images-400, voc-20",
        "[rows.\"a\"]: label-propagation has no option 'alpa'; did you mean 'alpha'?",
        '[rows."a"]: neighbours = 0: input should be greater than or equal to 1',
        "[rows.\"a\"]: patches.alpha = 'half': input should be a valid number",
        "[rows.\"b\"]: there is no method 'mtk'; did you mean 'mkt'?",
        "[rows.\"C!\"]: there is a row 'c' already, and names must differ in letters or digits",
        "[rows.\"C!\"]: 'C!' has the same options as 'c'",
        '[rows."?"]: the name needs a letter or a digit',
        "[rows.\"Label propagation\"]: there is a row 'label-propagation' already, and names must differ in letters or "
        "digits",
        "[grid]: sampled_negatives must be a list of values",
    ]


def test_a_row_twice_is_named(tmp_path: Path) -> None:
    assert faults(tmp_path, BASE + "[rows.x]\nalpha = 0.75\n[grid]\npatches.alpha = [0.75, 0.5]\n") == [
        "[grid]: 'patches.alpha = 0.75' has the same options as 'x'"
    ]
    with pytest.raises(InputError, match="cannot be read as TOML"):
        read(tmp_path, BASE + "[rows.x]\nalpha = 0.75\n[rows.x]\nalpha = 0.25\n")


def test_a_transfer_needs_a_graph(tmp_path: Path) -> None:
    assert faults(tmp_path, "[base]\n") == ['[base]: needs a category graph: graph = "FILE or NAME"']


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_grid(tmp_path / "grid.toml")


RECIPES = Path(__file__).parents[2] / "recipes"
#: The methods of each recipe of an ablation, and how many rows it has.
ABLATIONS: dict[str, tuple[set[str], int]] = {
    "coco-18": ({"c2srt", "label-propagation", "mkt", "clip-ft", "zero-shot"}, 6),
    "combined-corel5k": ({"label-propagation", "ram"}, 5),
    "corel5k": ({"c2srt", "label-propagation", "mkt", "clip-ft", "zero-shot"}, 8),
    "ist-corel5k": ({"c2srt"}, 12),
    "label-propagation-corel5k": ({"label-propagation"}, 9),
    "ram-corel5k": ({"ram", "mkt", "label-propagation"}, 11),
}


def test_every_recipe_of_an_ablation_is_read() -> None:
    assert sorted(ABLATIONS) == sorted(path.stem.removeprefix("ablate-") for path in RECIPES.glob("ablate-*.toml"))


@pytest.mark.parametrize("name", ABLATIONS)
def test_the_recipe_of_an_ablation_is_sound(name: str, tmp_path: Path) -> None:
    text = (RECIPES / f"ablate-{name}.toml").read_text(encoding="utf-8")
    for source in ("embedding", "random"):  # a header says how to make them
        graph = (RECIPES.parent / "graphs/corel5k-374.json").read_bytes()
        (tmp_path / f"corel5k-{source}.json").write_bytes(graph)
    grid = read(tmp_path, text)
    methods, count = ABLATIONS[name]
    assert {row.options.method for row in grid.rows} == methods
    assert len(grid.rows) == count
    assert f"c2srt ablate recipes/ablate-{name}.toml -e E -a A --out ablation" in text
    assert not any("calibrate = true" in as_toml(row.options) for row in grid.rows)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("without ISR", "without-isr"), ("alpha = 0.25", "alpha-0-25"), ("ohne Größe", "ohne-größe"), ("../x", "x")],
)
def test_folders_are_named_after_rows(name: str, expected: str) -> None:
    assert slug(name) == expected


def test_long_names_keep_apart() -> None:
    one, other = slug("a" * 200), slug("a" * 199)
    assert one != other
    assert max(len(one), len(other)) < 100
