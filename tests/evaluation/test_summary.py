"""Tables in every format, and the published figures beside ours."""

import csv
import io
import json
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from rich.cells import cell_len

from c2srt_cli.datasets.annotations import Annotations, Incidence
from c2srt_cli.evaluation.comparison import Comparison
from c2srt_cli.evaluation.protocol import PROTOCOLS, protocol
from c2srt_cli.evaluation.published import PUBLISHED, SPLITS, Published, published
from c2srt_cli.evaluation.report import Report, SettingReport
from c2srt_cli.evaluation.summary import class_table, comparison_table, summary_table
from c2srt_cli.evaluation.table import Column, Table, print_table, shown, write_csv, write_json, write_markdown
from c2srt_cli.labels import Label, LabelSet
from c2srt_cli.scoring.average_precision import MeanAP
from c2srt_cli.scoring.bootstrap import Interval
from c2srt_cli.scoring.top_k import AtK
from c2srt_cli.tagging.writers.escape import terminal_text
from c2srt_cli.text import spreadsheet_cell

EXAMPLE = Table(
    "figures",
    (Column("name", "name|x"), Column("count", "count"), Column("ap", "AP")),
    (("=dog\x1b[31m", 12345, 0.12345), ("<b>cat*", None, float("nan"))),
    ("a note",),
)


def test_csv_has_keys_unrounded_shares_and_no_formula() -> None:
    stream = io.StringIO(newline="")
    write_csv(EXAMPLE, stream, spreadsheet_cell)
    rows = list(csv.DictReader(io.StringIO(stream.getvalue(), newline="")))
    assert rows[0] == {"name": "'=dog\x1b[31m", "count": "12345", "ap": "0.12345"}
    assert rows[1] == {"name": "<b>cat*", "count": "", "ap": ""}


def test_json_has_null_for_what_is_not_known() -> None:
    stream = io.StringIO()
    write_json([EXAMPLE], stream)
    (table,) = json.loads(stream.getvalue())
    assert table["rows"][1] == {"name": "<b>cat*", "count": None, "ap": None}
    assert table["rows"][0]["ap"] == 0.12345
    assert (table["title"], table["notes"]) == ("figures", ["a note"])


def test_markdown_is_one_table_whatever_is_in_its_cells() -> None:
    stream = io.StringIO()
    write_markdown(EXAMPLE, stream, terminal_text)
    assert stream.getvalue().splitlines() == [
        "**figures**",
        "",
        "| name\\|x | count | AP |",
        "| :-- | --: | --: |",
        "| =dog\\\\x1b\\[31m | 12,345 | 12.3 |",
        "| \\<b\\>cat\\* |  |  |",
        "",
        "- a note",
    ]


def test_the_terminal_gets_no_control_characters() -> None:
    stream = io.StringIO()
    print_table(EXAMPLE, stream, terminal_text)
    assert "\x1b" not in stream.getvalue()
    assert "12,345   12.3" in stream.getvalue()
    assert "=dog\\x1b[31m" in stream.getvalue()


@pytest.mark.parametrize("row", PUBLISHED, ids=lambda row: f"{row.dataset} {row.method}")
def test_published_figures_agree_with_each_other(row: Published) -> None:
    """F1 is the harmonic mean of P and R, and positives an image do not depend on K (METHODS 6.4), given rounding."""
    assert row.protocol in {one.name for one in PROTOCOLS[row.dataset]} | {"other", "unknown"}
    assert published(row.dataset, *SPLITS[row.dataset])
    for setting in ("ZSL", "GZSL"):
        bounds = []
        for k in (3, 5, 10, 20):
            p, r, f1 = (row.figures.get(f"{setting} {name}@{k}") for name in ("P", "R", "F1"))
            if p is not None and r is not None and f1 is not None:
                low, high = (2 * (p + e) * (r + e) / (p + r + 2 * e) for e in (-0.05, 0.05))
                assert low - 0.05 <= f1 <= high + 0.05
                bounds.append(row.positives_per_image(setting, k))
        kept = [one for one in bounds if one]
        assert max((low for low, _ in kept), default=0) <= min((high for _, high in kept), default=1)


def test_the_positives_of_a_published_row_are_those_of_its_test_set() -> None:
    biam = published("nus-wide", 925, 81)[0]
    for setting, k, wanted in (("ZSL", 3, 1.876), ("ZSL", 5, 1.876), ("GZSL", 3, 6.805), ("GZSL", 5, 6.805)):
        bounds = biam.positives_per_image(setting, k)
        assert bounds is not None
        assert bounds[0] < wanted < bounds[1]
    assert published("nus-wide", 900, 106) == ()
    assert published("corel5k", 312, 54) == ()


def report(positives_per_image: float) -> Report:
    """A report of four NUS-WIDE labels with the split's numbers of labels."""
    labels = LabelSet(tuple(Label(f"label {i}") for i in range(1006)))
    annotations = Annotations(
        root=Path("photos"),
        labels=labels,
        seen=np.arange(1006) < 925,
        paths=("a.jpg",),
        split=np.array(["test"]),
        positive=Incidence.from_lists([[0]]),
        negative=Incidence.from_lists([[]]),
        complete=True,
        dataset="nus-wide",
    )
    setting = SettingReport(
        setting="ZSL",
        images=107000,
        wanted=107859,
        positives_per_image=positives_per_image,
        columns=np.array([925, 926]),
        ap=np.array([0.5, np.nan]),
        positives=np.array([17, 0]),
        annotated=np.array([True, True]),
        mean=MeanAP.of(np.array([0.5, np.nan])),
        seen=MeanAP.of(np.empty(0)),
        unseen=MeanAP.of(np.array([0.5, np.nan])),
        at=(AtK(3, 0.27, 0.27 * 3 / positives_per_image, 0.33),),
        interval=Interval(0.5, 0.4, 0.6, 0.95),
    )
    return Report("ours", annotations, protocol("nus-wide"), (setting,))


def test_the_summary_puts_published_rows_beside_ours() -> None:
    table = summary_table([report(1.876)])
    keys = [column.key for column in table.columns]
    rows = [dict(zip(keys, row, strict=True)) for row in table.rows]
    assert rows[0] | {"method": "ours", "images": 107000, "images_wanted": 107859, "map": 0.5} == rows[0]
    assert (rows[0]["map_with_zeros"], rows[0]["map_low"], rows[0]["p_at_3"]) == (0.25, 0.4, 0.27)
    assert rows[0]["p_at_5"] is None
    biam = next(row for row in rows if row["method"] == "BiAM [F]")
    assert (biam["setting"], biam["map_with_zeros"], biam["r_at_5"], biam["map"]) == ("ZSL", 0.264, 0.551, None)
    notes = "\n".join(table.notes)
    assert "2 labels, 1 of them without positives; 1.876 positives an image" in notes
    assert "RAM [L]: wizwand.com. Other test images, or unknown ones: not to be compared." in notes
    assert "Not the same test images" not in notes
    assert "Not the same test images: its ZSL figures at 3 speak of 1.8" in "\n".join(
        summary_table([report(2.42)]).notes
    )
    with pytest.raises(ValueError, match="one protocol"):
        summary_table([])


def test_empty_columns_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    stream = io.StringIO()
    print_table(summary_table([report(1.876)]), stream, terminal_text)
    lines = stream.getvalue().splitlines()
    assert lines[1].split("  ")[0] == "method"
    assert "harmonic" not in lines[1]
    assert "F1@5" in lines[1]
    assert any(line.startswith("BiAM [F]") and line.rstrip().endswith("30.1") for line in lines)


LONG = "/home/someone/experiments/runs/label-propagation-and-more"
FIGURES = tuple(i / 977 for i in range(1, 15))
DIFFERENCE = Interval(0.12, -0.05, 0.2, 0.95)
TABLES = {
    "summary": summary_table([report(1.876)]),
    "everything": Table(
        "GZSL, protocol F",
        (
            *(Column(name, name) for name in ("method", "setting", "images", "of", "mAP", "from", "to")),
            *(Column(name, name) for name in ("mAP with zeros", "seen", "unseen", "harmonic", "P@3", "R@3", "F1@3")),
            *(Column(name, name) for name in ("P@5", "R@5", "F1@5", "note")),
        ),
        ((LONG, "ZSL", 107859, 107860, *FIGURES[:13], "a last remark"), ("写真" * 30, "GZSL", 5, 1, *([1.0] * 13), "")),
        ("what to know before comparing these figures " * 4,),
    ),
    "labels": Table(
        "labels",
        tuple(Column(name, name) for name in ("label", "id", "seen", "positives", "AP")),
        (("a label of very many words " * 4, "/m/odlzq", "yes", 107859, 0.123), ("写真" * 40, "", "no", 1, 1.0)),
    ),
    "comparison": comparison_table(
        LONG, f"{LONG}-too", [Comparison("GZSL", 107000, 107859, (0.3, 0.34), (0.2, 0.4), DIFFERENCE)]
    ),
    "numbers alone": Table("n", tuple(Column(f"n{i}", "a heading") for i in range(14)), (FIGURES,)),
}


@pytest.mark.parametrize("width", [40, 80, 99, 250])
@pytest.mark.parametrize("name", TABLES)
def test_a_table_is_as_wide_as_the_terminal_at_most_and_no_figure_is_broken(
    name: str, width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    table, stream = TABLES[name], io.StringIO()
    print_table(table, stream, terminal_text)
    text = stream.getvalue()
    assert max(cell_len(line) for line in text.splitlines()) <= width
    assert "…" not in text
    wanted = Counter(shown(cell) for row in table.rows for cell in row if isinstance(cell, float | int))
    there = Counter(re.findall(r"(?<!\S)-?[\d,]+(?:\.\d)?(?!\S)", text))
    assert all(there[figure] >= count for figure, count in wanted.items() if figure), (wanted - there, text)


def test_each_block_begins_with_the_names_of_the_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    stream = io.StringIO()
    print_table(TABLES["everything"], stream, terminal_text)
    heads = [line for line in stream.getvalue().splitlines() if line.startswith("method")]
    assert len(heads) > 2
    assert all(line.split()[:2] == ["method", "setting"] for line in heads)
    assert [name for line in heads for name in line.split()[2:] if "@" in name] == [
        "P@3",
        "R@3",
        "F1@3",
        "P@5",
        "R@5",
        "F1@5",
    ]


def test_the_table_of_labels_has_one_row_a_label() -> None:
    one = report(1.876)
    table = class_table(one, one.settings[0])
    assert table.title == "ours, ZSL: 107,000 of 107,859 images"
    assert table.rows[0] == ("label 925", "", "no", 17, 0.5)
    assert np.isnan(table.rows[1][4])  # type: ignore[arg-type]


def test_the_table_of_a_comparison_says_what_counts() -> None:
    better = Comparison("ZSL", 499, 499, (0.3, 0.34), (0.2,), Interval(0.12, 0.05, 0.2, 0.95))
    equal = Comparison("GZSL", 499, 499, (0.3, 0.34), (0.31,), Interval(0.01, -0.05, 0.2, 0.95))
    table = comparison_table("label-propagation", "zero-shot", [better, equal])
    assert table.rows[0][3:5] == pytest.approx((0.32, np.std([0.3, 0.34], ddof=1)))
    assert table.rows[0][5:7] == (0.2, None)
    assert [row[-1] for row in table.rows] == ["counts", "does not count"]
