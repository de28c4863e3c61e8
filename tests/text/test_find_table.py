import pytest

from c2srt_cli.text import find_table

COLUMNS = frozenset({"label", "id"})


@pytest.mark.parametrize(
    ("header", "delimiter", "columns"),
    [
        ("label,id", ",", ("label", "id")),
        ("x,label;id", ";", ("x,label", "id")),
        ("label,x;label;id", ";", ("label,x", "label", "id")),  # what knows more columns wins
        ("label;x,id", ",", ("label;x", "id")),
        ("label\tx;y\tid", "\t", ("label", "x;y", "id")),
        ("label|id", "|", ("label", "id")),
        ("label", "\x1f", ("label",)),
    ],
)
def test_what_stands_between_the_cells(header: str, delimiter: str, columns: tuple[str, ...]) -> None:
    table = find_table([header, "cat"], COLUMNS)
    assert table is not None
    assert (table.delimiter, table.header, table.start) == (delimiter, columns, 1)


@pytest.mark.parametrize("first", ["cat", "label|cat", "labels", '"label,id', "", "# label"])
def test_what_is_no_table(first: str) -> None:
    assert find_table([first, ""], COLUMNS) is None
    assert find_table([], COLUMNS) is None


def test_rows_with_their_lines() -> None:
    lines = [
        "# mine\n",
        "sep=;\n",
        "label;id\r\n",
        'a;"1\r\n',
        '2"\n',
        ";;\n",
        "Label;ID\n",
        "b\n",
        " c;3;4\n",
        "d; 4\n",
    ]
    table = find_table(lines, COLUMNS)
    assert table is not None
    problems: list[str] = []
    assert list(table.rows(problems)) == [(4, ["a", "1\r\n2"]), (8, ["b"]), (10, ["d", "4"])]
    assert problems == ["line 9: more cells than columns; put quotes around a cell with semicolons"]
    assert list(table.rows([], exact=True))[-1] == (10, ["d", " 4"])
