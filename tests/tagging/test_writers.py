"""Each writer's output, read back by something else."""

import csv
import io
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from c2srt_cli.tagging.record import Tag, TaggedImage
from c2srt_cli.tagging.writers import WRITERS, WriteContext

unicode_text = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
tricky = st.sampled_from(
    [
        "=1+1",
        "+x",
        "-x",
        "@x",
        "'=x",
        "''=x",
        "'til",
        "\tx",
        "\rx",
        "a;b",
        "a\\;b",
        "\\",
        ";",
        '"',
        ",",
        "\uff1dx",
        "path",
    ]
)
label_text = unicode_text | tricky
unit = st.floats(0, 1, width=32)
tags = st.builds(Tag, label_text, st.floats(-1, 1, width=32), st.none() | unit, st.none() | unit)
images = st.builds(TaggedImage, label_text, st.lists(tags, max_size=4).map(tuple))
scored = st.lists(label_text, min_size=1, max_size=5, unique=True).flatmap(
    lambda labels: st.tuples(
        st.just(tuple(labels)),
        st.lists(
            st.builds(
                TaggedImage,
                label_text,
                st.lists(tags, max_size=2).map(tuple),
                st.tuples(*[st.floats(-1, 1, width=32)] * len(labels)),
            ),
            max_size=4,
        ),
    )
)

CAT = TaggedImage("pets/cat.jpg", (Tag("animal|cat", 0.3123456789, 0.9, 0.5), Tag("sofa", 0.2, 0.25, None)))
BARE = TaggedImage("wall.png", ())


def context(
    labels: tuple[str, ...] = (), *, all_scores: bool = False, sidecar_name: Literal["ext", "stem"] = "ext"
) -> WriteContext:
    return WriteContext(Path(), labels, all_scores, sidecar_name)


def written(name: str, rows: list[TaggedImage], given_context: WriteContext | None = None) -> str:
    stream = io.StringIO(newline="")
    assert WRITERS[name].write(iter(rows), stream, given_context or context()) == []
    return stream.getvalue()


def test_registry_names_kinds_and_all_scores() -> None:
    assert {name: (writer.name, writer.kind, writer.suffix, writer.all_scores) for name, writer in WRITERS.items()} == {
        "jsonl": ("jsonl", "stream", ".jsonl", True),
        "csv": ("csv", "stream", ".csv", True),
        "excel": ("excel", "file", ".csv", True),
        "parquet": ("parquet", "file", ".parquet", True),
        "parts": ("parts", "parts", "", True),
        "txt": ("txt", "sidecar", ".txt", False),
        "kohya": ("kohya", "sidecar", ".txt", False),
        "xmp": ("xmp", "sidecar", ".xmp", False),
        "table": ("table", "stream", "", False),
    }


def test_import_is_cheap() -> None:
    code = (
        "import sys, c2srt_cli.tagging.writers;"
        "print({'torch', 'pandas', 'pyarrow', 'numpy', 'rich', 'open_clip', 'openai'} & sys.modules.keys())"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"


# jsonl


def test_jsonl_line() -> None:
    assert written("jsonl", [CAT, BARE]).splitlines() == [
        '{"path": "pets/cat.jpg", "tags": ['
        '{"label": "animal|cat", "score": 0.312346, "probability": 0.9, "share": 0.5}, '
        '{"label": "sofa", "score": 0.2, "probability": 0.25, "share": null}]}',
        '{"path": "wall.png", "tags": []}',
    ]


@given(scored)
def test_jsonl_round_trip(case: tuple[tuple[str, ...], list[TaggedImage]]) -> None:
    labels, rows = case
    text = written("jsonl", rows, context(labels, all_scores=True))
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ufeff]", text)
    lines = text.split("\n")
    assert lines.pop() == ""
    assert len(lines) == len(rows)
    for line, row in zip(lines, rows, strict=True):
        value = json.loads(line)
        assert value["path"] == row.path
        assert list(value["scores"]) == list(labels)
        assert list(value["scores"].values()) == pytest.approx(row.scores, abs=5.1e-7)
        for tag, read in zip(row.tags, value["tags"], strict=True):
            assert read == {
                "label": tag.label,
                "score": pytest.approx(tag.score, abs=5.1e-7),
                "probability": tag.probability
                if tag.probability is None
                else pytest.approx(tag.probability, abs=5.1e-7),
                "share": tag.share if tag.share is None else pytest.approx(tag.share, abs=5.1e-7),
            }


# csv

#: What columns of tags and of annotations are called.
TAKEN = {"path", "labels", "scores", "probabilities", "shares", "split"}


def unguard(cell: str) -> str:
    """What the documentation tells a reader to do."""
    return cell[1:] if re.match("'+[=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20]", cell) else cell


def split_labels(cell: str) -> list[str]:
    """Split at each ``;`` that is not escaped, then take off the guard, then the escapes."""
    parts, letters = [""], iter(cell)
    for letter in letters:
        if letter == ";":
            parts.append("")
        else:
            parts[-1] += letter + (next(letters) if letter == "\\" else "")
    return [re.sub(r"\\(.)", r"\1", unguard(part), flags=re.DOTALL) for part in parts]


def numbers(cell: str, count: int) -> list[float | None]:
    return [float(part) if part else None for part in cell.split(";")] if cell else [None] * count


def test_csv_text() -> None:
    assert written("csv", [CAT, BARE]) == (
        "path,labels,scores,probabilities,shares\r\n"
        "pets/cat.jpg,animal|cat;sofa,0.312346;0.200000,0.900000;0.250000,0.500000;\r\n"
        "wall.png,,,,\r\n"
    )


@given(scored)
def test_csv_round_trip(case: tuple[tuple[str, ...], list[TaggedImage]]) -> None:
    labels, rows = case
    text = written("csv", rows, context(labels, all_scores=True))
    header, *lines = csv.reader(io.StringIO(text, newline=""))
    assert len(set(header)) == len(header) == 5 + len(labels)
    expected = ["label:" + label if label.lower() in TAKEN else label for label in labels]
    assert [unguard(cell) for cell in header[5:]] == expected
    assert len(lines) == len(rows)
    for cells, row in zip(lines, rows, strict=True):
        count = len(row.tags)
        assert unguard(cells[0]) == row.path
        assert not any(re.match("[=+@\t\r\n]|-(?![0-9.;-]+$)", cell) for cell in cells)
        if count:
            assert split_labels(cells[1]) == [tag.label for tag in row.tags]
            assert numbers(cells[2], count) == pytest.approx([tag.score for tag in row.tags], abs=5.1e-7)
        for cell, values in ((cells[3], [t.probability for t in row.tags]), (cells[4], [t.share for t in row.tags])):
            for read, value in zip(numbers(cell, count), values, strict=True):
                assert (read is None) == (value is None)
                assert value is None or read == pytest.approx(value, abs=5.1e-7)
        assert [float(cell) for cell in cells[5:]] == pytest.approx(row.scores, abs=5.1e-7)


def test_csv_guards_every_label_of_a_list() -> None:
    row = TaggedImage("=cmd.jpg", (Tag("dog", 0.5, None, None), Tag('=HYPERLINK("x")', 0.4, None, None)))
    _, cells = csv.reader(io.StringIO(written("csv", [row]), newline=""))
    assert cells == ["'=cmd.jpg", 'dog;\'=HYPERLINK("x")', "0.500000;0.400000", "", ""]


def test_score_columns_stay_apart_from_the_fixed_ones() -> None:
    labels = ("path", "dog", "label:path", "scores")
    row = TaggedImage("a.jpg", (), (0.1, 0.2, 0.3, 0.4))
    header, cells = csv.reader(io.StringIO(written("csv", [row], context(labels, all_scores=True)), newline=""))
    assert header[5:] == ["label:label:path", "dog", "label:path", "label:scores"]
    assert cells[5:] == ["0.100000", "0.200000", "0.300000", "0.400000"]


# parquet


@settings(max_examples=40, deadline=None)
@given(scored)
def test_parquet_round_trip(case: tuple[tuple[str, ...], list[TaggedImage]]) -> None:
    labels, rows = case
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tags.parquet"
        assert WRITERS["parquet"].write(iter(rows), path, context(labels, all_scores=True)) == []
        table = pq.read_table(path)
    assert table.column_names[:5] == ["path", "labels", "scores", "probabilities", "shares"]
    assert len(set(table.column_names)) == len(table.column_names) == 5 + len(labels)
    assert {str(field.type) for field in list(table.schema)[5:]} == {"float"}
    # numbers were drawn as float32, so they come back exactly
    assert table.select(range(5)).to_pylist() == [
        {
            "path": row.path,
            "labels": [tag.label for tag in row.tags],
            "scores": [tag.score for tag in row.tags],
            "probabilities": [tag.probability for tag in row.tags],
            "shares": [tag.share for tag in row.tags],
        }
        for row in rows
    ]
    for position in range(len(labels)):
        assert table.column(5 + position).to_pylist() == [row.scores[position] for row in rows if row.scores]


def test_parquet_streams_row_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("c2srt_cli.tagging.writers.parquet.GROUP_SCORES", 14)
    labels = ("a", "b")
    drawn = 0

    def rows() -> Iterator[TaggedImage]:
        nonlocal drawn
        for drawn in range(1, 18):
            yield TaggedImage(f"{drawn}.jpg", (), (drawn / 32, -drawn / 32))

    path = tmp_path / "tags.parquet"
    assert WRITERS["parquet"].write(rows(), path, context(labels, all_scores=True)) == []
    file = pq.ParquetFile(path)
    assert [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)] == [7, 7, 3]
    assert file.read().column("b").to_pylist() == [-number / 32 for number in range(1, 18)]


def test_parquet_with_20000_labels(tmp_path: Path) -> None:
    labels = ("path", *(f"label {number}" for number in range(1, 20_000)))
    scores = np.random.default_rng(5).normal(0.2, 0.05, (3, 20_000)).astype(np.float32)
    rows = [TaggedImage(f"{number}.jpg", (), tuple(row.tolist())) for number, row in enumerate(scores)]
    path = tmp_path / "tags.parquet"
    WRITERS["parquet"].write(iter(rows), path, context(labels, all_scores=True))
    columns = ["path", "label:path", "label 19999"]
    table = pq.ParquetFile(path).read(columns=columns)
    assert table.column("path").to_pylist() == ["0.jpg", "1.jpg", "2.jpg"]
    np.testing.assert_array_equal(table.column("label:path").to_numpy(), scores[:, 0])
    np.testing.assert_array_equal(table.column("label 19999").to_numpy(), scores[:, -1])


def test_parquet_without_rows_has_its_columns(tmp_path: Path) -> None:
    WRITERS["parquet"].write(iter([]), tmp_path / "tags.parquet", context(("dog",), all_scores=True))
    assert pq.read_table(tmp_path / "tags.parquet").column_names[-2:] == ["shares", "dog"]


# table


def test_table_shows_what_was_found() -> None:
    text = written("table", [CAT, BARE])
    assert [line.split() for line in text.splitlines() if "─" not in line] == [
        ["image", "label", "score", "probability", "share"],
        ["pets/cat.jpg", "animal|cat", "0.312", "0.90", "50", "%"],
        ["sofa", "0.200", "0.25", "whole"],
        ["wall.png", "(no", "label)"],
    ]
    plain = written("table", [TaggedImage("a.jpg", (Tag("dog", 0.2, None, 0.004),))])
    assert "probability" not in plain
    assert "< 1 %" in plain


def test_table_fits_80_columns_and_escapes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    hostile = "evil\x1b[31m\r\n\u202e[bold red]:smile:[/]\x9b2J"
    rows = [TaggedImage("folder/" * 12 + hostile, (Tag(hostile * 3, 0.1, None, 1.0), Tag("猫 🐈", 0.1, None, 0.5)))]
    text = written("table", rows)
    assert max(len(line) for line in text.splitlines()) <= 80
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e]", text)
    assert "猫 🐈" in text
    assert r"evil\x1b[31m\r\n\u202e[b]:smile:" in written(
        "table", [TaggedImage("a.jpg", (Tag("evil\x1b[31m\r\n\u202e[b]:smile:", 0.1, None, 1.0),))]
    )


def test_table_comes_in_blocks_without_losing_rows() -> None:
    rows = [TaggedImage(f"{number:04}.jpg", (Tag("dog", 0.5, None, 0.5),)) for number in range(401)]
    lines = written("table", rows).splitlines()
    assert re.findall(r"\d{4}\.jpg", "\n".join(lines)) == [row.path for row in rows]
    assert sum(line.startswith("image") for line in lines) == 3
