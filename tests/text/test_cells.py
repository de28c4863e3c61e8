import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from c2srt_cli.text import join_list, json_text, plain_cell, split_list, spreadsheet_cell

tricky = st.text(st.sampled_from("ab;\\'\"=+-@|,\t \u2028\uff1d"), max_size=6)


@pytest.mark.parametrize(
    ("items", "cell"),
    [
        ([], ""),
        (["cat", "dog"], "cat;dog"),
        (["coffee;tea", "-10", "cat"], "coffee\\;tea;'-10;cat"),
        (["a\\", "b"], "a\\\\;b"),
        (["'=x", "'til"], "''=x;'til"),
        (["=1+1", "@x", "\uff0dx"], "'=1+1;'@x;'\uff0dx"),
    ],
)
def test_lists_in_cells(items: list[str], cell: str) -> None:
    assert join_list(items) == cell
    assert split_list(cell) == items


@given(st.lists(tricky.map(str.strip).filter(bool) | st.text(min_size=1).filter(lambda text: text == text.strip())))
def test_any_list_comes_back(items: list[str]) -> None:
    assert split_list(join_list(items)) == items


@given(tricky | st.text())
def test_any_cell_comes_back(text: str) -> None:
    cell = spreadsheet_cell(text)
    assert plain_cell(cell) == text
    assert not cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20"))


@pytest.mark.parametrize(
    ("cell", "items"),
    [
        (" cat ; dog ;; ", ["cat", "dog"]),
        ("AC\\DC;a\\b", ["AC\\DC", "a\\b"]),  # nobody told people that \ is special
        (";", []),
        ("\\;", [";"]),
        ("cat\\", ["cat\\"]),
        ("'til dawn", ["'til dawn"]),
    ],
)
def test_lists_that_people_write(cell: str, items: list[str]) -> None:
    assert split_list(cell) == items


@given(st.text(st.characters(codec=None) | st.sampled_from("\u2028\u2029\x85\x7f\ud800\u202e\ufeffäж"), max_size=9))
def test_json_is_one_line_and_comes_back(text: str) -> None:
    written = json_text({"label": text})
    assert json.loads(written) == {"label": text}
    assert len(written.splitlines()) == 1
    written.encode()  # no lone surrogates


def test_json_is_readable() -> None:
    assert json_text(["Kätzchen", "日本", "a\u2028b", "\x9b"]) == '["Kätzchen", "日本", "a\\u2028b", "\\u009b"]'
    with pytest.raises(ValueError, match="not JSON compliant"):
        json_text([float("nan")])
