import json
from pathlib import Path

import pytest

from c2srt_cli.errors import InputError
from c2srt_cli.tagging.reading import open_tags, read_reasons
from c2srt_cli.tagging.record import Tag, TaggedImage
from c2srt_cli.tagging.writers import WRITERS, WriteContext

LABELS = ("a;b", "=cmd", "path", "Scores", "it's \\ odd", "plain")
FILES = ("jsonl", "csv", "excel", "parquet")
ROWS = [
    TaggedImage(
        "a.jpg", (Tag("=cmd", 0.5, 0.75, 0.125), Tag("a;b", 0.25, 0.5, None)), (0.25, 0.5, 0.0, -0.5, 0.125, 1)
    ),
    TaggedImage('d/\n",;\t.jpg', (), (0.0, 0.0, 0.0, 0.0, 0.0, 0.0)),
    TaggedImage("=e.jpg", (Tag("path", -0.5, None, None), Tag("Scores", -1, None, None)), (0.5,) * 6),
]


def write(name: str, path: Path, *, all_scores: bool = True, rows: list[TaggedImage] = ROWS) -> None:
    context = WriteContext(path.parent, LABELS, all_scores)
    if WRITERS[name].kind == "file":
        WRITERS[name].write(iter(rows), path, context)
    else:
        with path.open("w", encoding="utf-8", newline="") as stream:
            WRITERS[name].write(iter(rows), stream, context)


@pytest.mark.parametrize("all_scores", [False, True])
@pytest.mark.parametrize("name", FILES)
def test_what_was_written_is_read(name: str, all_scores: bool, tmp_path: Path) -> None:
    path = tmp_path / f"t{WRITERS[name].suffix}"
    write(name, path, all_scores=all_scores)
    with open_tags(path) as tags:
        assert tags.scored == (LABELS if all_scores else ())
        found = list(tags.images)
    assert [(row.path, row.tags) for row in found] == [(row.path, row.tags) for row in ROWS]
    assert [row.scores for row in found] == [row.scores if all_scores else None for row in ROWS]


@pytest.mark.parametrize("name", FILES)
def test_no_images(name: str, tmp_path: Path) -> None:
    path = tmp_path / f"t{WRITERS[name].suffix}"
    write(name, path, rows=[])
    with open_tags(path) as tags:
        assert list(tags.images) == []


GOOD = '{"path": "a.jpg", "tags": []}\n'


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("t.jsonl", GOOD + "{", "line 2"),
        ("t.jsonl", GOOD + GOOD, "stands there twice"),
        ("t.jsonl", '{"path": "../a.jpg", "tags": []}', "leads out of the folder"),
        ("t.jsonl", '{"path": "/a.jpg", "tags": []}', "absolute"),
        ("t.jsonl", '{"path": "a.jpg", "tags": [{"label": "x", "score": "1"}]}', "tags[0].score"),
        ("t.jsonl", '{"path": "a.jpg", "tags": [{"label": "x", "score": NaN}]}', "line 1"),
        ("t.jsonl", GOOD + '{"path": "b.jpg", "tags": [], "scores": {"x": 1.0}}', "scores of other labels"),
        ("t.jsonl", b"\xff\n", "cannot be read"),
        ("t.jsonl", "[1]", "line 1"),
        ("t.csv", "", "columns"),
        ("t.csv", "path,labels\na.jpg,x\n", "columns"),
        ("t.csv", "path,labels,scores,probabilities,shares\na.jpg,x;y,0.5,,\n", "line 2"),
        ("t.csv", "path,labels,scores,probabilities,shares\na.jpg,x,many,,\n", "cannot be read"),
        ("t.csv", "path,labels,scores,probabilities,shares\na.jpg,x\n", "line 2"),
        ("t.csv", 'path,labels,scores,probabilities,shares\n"a', "cannot be read"),
        ("t.parquet", "PAR1", "cannot be read"),
        ("t.xlsx", "", "is no file of tags"),
    ],
)
def test_what_is_no_tags(name: str, text: str | bytes, told: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InputError) as error, open_tags(path) as tags:
        list(tags.images)
    assert told in str(error.value) and str(path) in str(error.value)


def test_missing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"), open_tags(tmp_path / "t.jsonl"):
        pass
    with pytest.raises(InputError, match="cannot be read"):
        read_reasons(tmp_path / "why.jsonl")


def test_reasons(tmp_path: Path) -> None:
    entry = {
        "label": "cat",
        "score": 0.5,
        "patches": [{"row": 1, "col": 2, "similarity": 0.5}],
        "sources": [{"label": "dog", "relation": "is_a", "strength": 1.0, "attention": 0.25}],
    }
    path = tmp_path / "why.jsonl"
    path.write_text(json.dumps({"path": "a.jpg", "grid": [7, 7], "labels": [entry]}) + "\n")
    grid, found = read_reasons(path)
    assert grid == (7, 7)
    assert found == {
        "a.jpg": [
            {
                "label": "cat",
                "patches": [{"row": 1, "col": 2}],
                "sources": [{"label": "dog", "relation": "is_a", "attention": 0.25}],
            }
        ]
    }
    path.write_text(GOOD)
    with pytest.raises(InputError, match="line 1"):
        read_reasons(path)
