"""Whatever ``tag`` writes, ``prepare table`` and ``build-graph --annotations`` read back to the same labels."""

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from photos import write_photos

from c2srt_cli.datasets.source import Source
from c2srt_cli.datasets.table import read
from c2srt_cli.errors import InputError
from c2srt_cli.graph.annotations import read_annotations
from c2srt_cli.labels import Label, LabelSet, read_labels
from c2srt_cli.tagging.record import KeptImage, Tag, TaggedImage
from c2srt_cli.tagging.writers import WRITERS, WriteContext

FILES = tuple(name for name, writer in WRITERS.items() if writer.kind in ("stream", "file") and name != "table")
SPECIAL = (
    "coffee;tea",
    "-10",
    "=1+1",
    "+1",
    "@home",
    "'=x",
    "''",
    "'til",
    '"quoted"',
    'say "a"',
    "a, b",
    "a\\b",
    "\\",
    ";",
    "a\\;b",
    "animal|cat",
    "2020",
    "1.0",
    "True",
    "null",
    "nan",
    "path",
    "Labels",
    "split",
    "scores",
    "label:path",
    "{cat}",
    "[cat]",
    "sep=;",
    "\uff1dx",
    "café",
    "日本の城",
    "👩\u200d🚀",
    "کتاب\u200cها",
    "❤\ufe0f",
    "#1",
)


def accepted(texts: list[str]) -> tuple[str, ...]:
    """Those of the texts that `read_labels` takes together, as it names them."""
    kept: tuple[str, ...] = ()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "labels.json"
        for text in texts:
            path.write_text(json.dumps([*kept, text]))
            try:
                kept = read_labels(path).names
            except InputError:
                continue
    return kept


letters = st.characters(exclude_categories=["Cs"]) | st.sampled_from(";\\'\"=-,|\t\u200d")
words = st.text(letters, min_size=1, max_size=8)
vocabularies = st.lists(st.sampled_from(SPECIAL) | words, min_size=1, max_size=6).map(accepted).filter(bool)
parts = st.text(letters.filter(lambda letter: letter not in "\0/"), min_size=1, max_size=8) | st.sampled_from(SPECIAL)
paths = st.lists(parts.filter(lambda part: part not in {".", ".."}), min_size=1, max_size=3).map(
    lambda names: "/".join(names) + ".jpg"
)
ODD_PATHS = ("=x", "a\nb", " c ", "d\r", 'e,\t"', "\ufefff", "g\u2028h", "i\u00adj", "cafe\u0301", "'-k", ".l")

#: Labels, and images tagged with some of them.
Case = tuple[tuple[str, ...], list[TaggedImage]]


@st.composite
def tagged(draw: st.DrawFn) -> Case:
    labels = draw(vocabularies)
    rows = []
    for path in draw(st.lists(paths, min_size=1, max_size=4, unique=True)):
        given_labels = draw(st.lists(st.sampled_from(labels), unique=True))
        tags = tuple(Tag(label, 0.25, None, 0.5) for label in given_labels)
        rows.append(TaggedImage(path, tags, (0.125,) * len(labels)))
    return labels, rows


def write(name: str, rows: list[TaggedImage], labels: tuple[str, ...], path: Path, *, all_scores: bool) -> None:
    context = WriteContext(path.parent, labels, all_scores)
    if WRITERS[name].kind == "file":
        WRITERS[name].write(iter(rows), path, context)
    else:
        with path.open("w", encoding="utf-8", newline="") as stream:
            WRITERS[name].write(iter(rows), stream, context)


def as_prepared(path: Path) -> dict[str, set[str]]:
    found = read(Source(path), "")
    return {name: {found.labels.names[i] for i in found.positive.row(row)} for row, name in enumerate(found.paths)}


@pytest.mark.parametrize("all_scores", [False, True])
@pytest.mark.parametrize("name", FILES)
@settings(max_examples=30, deadline=None)
@given(case=tagged())
@example(case=(SPECIAL, [TaggedImage("a", tuple(Tag(s, 0.5, None, None) for s in SPECIAL), (0.5,) * len(SPECIAL))]))
@example(case=(("cat",), [TaggedImage(path, (Tag("cat", 0.5, 0.5, 0.5),), (0.5,)) for path in ODD_PATHS]))
def test_files_are_read_back(name: str, all_scores: bool, case: Case) -> None:
    labels, rows = case
    expected = {row.path: {tag.label for tag in row.tags} for row in rows}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"tags{WRITERS[name].suffix}"
        write(name, rows, labels, path, all_scores=all_scores)
        vocabulary = LabelSet(tuple(map(Label, labels)))
        if any(expected.values()):
            assert as_prepared(path) == expected
            images = [{labels[i] for i in image} for image in read_annotations(path, vocabulary)]
            assert images == list(expected.values())
        else:
            with pytest.raises(InputError, match="no image has"):
                as_prepared(path)


@pytest.mark.parametrize("name", [name for name in FILES if name != "parquet"])
@settings(max_examples=20, deadline=None)
@given(case=tagged())
def test_rows_of_a_finished_file_are_kept_as_they_are(name: str, case: Case) -> None:
    labels, rows = case
    with tempfile.TemporaryDirectory() as folder:
        path, again = Path(folder) / "tags", Path(folder) / "again"
        write(name, rows, labels, path, all_scores=True)
        context = WriteContext(path.parent, labels, all_scores=True)
        opened = WRITERS[name].rows
        assert opened is not None
        with opened(path, [row.path for row in rows], context) as kept:

            def results() -> Iterator[KeptImage | TaggedImage]:
                yield from (kept(row.path) for row in rows)

            if WRITERS[name].kind == "file":
                WRITERS[name].write(results(), again, context)
            else:
                with again.open("w", encoding="utf-8", newline="") as stream:
                    WRITERS[name].write(results(), stream, context)
        assert again.read_bytes() == path.read_bytes()


@pytest.mark.parametrize("naming", ["ext", "stem"])
def test_text_files_beside_photographs_are_read_back(tmp_path: Path, naming: str) -> None:
    write_photos(tmp_path, 3)
    labels = accepted([*SPECIAL])
    given_labels = [labels, labels[:1], ()]
    rows = [
        TaggedImage(f"p000{i}.png", tuple(Tag(label, 0.5, None, None) for label in some))
        for i, some in enumerate(given_labels)
    ]
    context = WriteContext(tmp_path, labels, sidecar_name="stem" if naming == "stem" else "ext")
    assert WRITERS["txt"].write(rows, tmp_path, context) == []
    assert as_prepared(tmp_path) == {row.path: {tag.label for tag in row.tags} for row in rows}


def test_labels_that_share_a_name_are_told_by_their_ids(tmp_path: Path) -> None:
    labels = LabelSet((Label("crane", id="/m/1"), Label("crane", id="/m/2"), Label("cat")))
    rows = [TaggedImage("a.jpg", tuple(Tag(name, 0.5, None, None) for name in labels.names[1:]))]
    for name in FILES:
        write(name, rows, labels.names, tmp_path / "tags", all_scores=False)
        assert read_annotations(tmp_path / "tags", labels) == [{1, 2}]
        assert as_prepared(tmp_path / "tags") == {"a.jpg": {"crane (/m/2)", "cat"}}


def test_excels_file_is_what_excel_calls_unicode_text(tmp_path: Path) -> None:
    rows = [TaggedImage("Fuß.jpg", (Tag("Kätzchen", 0.5, None, None), Tag("a\tb; c", 0.25, None, 0.5)))]
    write("excel", rows, ("Kätzchen",), tmp_path / "tags.csv", all_scores=False)
    data = (tmp_path / "tags.csv").read_bytes()
    assert data[:2] == b"\xff\xfe"
    assert data.decode("utf-16") == (
        "path\tlabels\tscores\tprobabilities\tshares\r\n"
        'Fuß.jpg\t"Kätzchen;a\tb\\; c"\t0.500000;0.250000\t\t;0.500000\r\n'
    )


def test_a_table_that_excel_has_saved_again(tmp_path: Path) -> None:
    rows = [TaggedImage("a.jpg", (Tag("coffee;tea", 0.5, None, None), Tag("-10", 0.5, None, None)))]
    write("csv", rows, ("coffee;tea", "-10"), tmp_path / "tags.csv", all_scores=False)
    text = (tmp_path / "tags.csv").read_text(encoding="utf-8")
    semicolons = '\ufeffPath;Labels;scores\r\na.jpg;"coffee\\;tea;\'-10";"0,5;0,5"\r\n'
    for saved in (text.encode("utf-8-sig"), text.replace(",", "\t").encode("utf-16"), semicolons.encode()):
        (tmp_path / "saved.csv").write_bytes(saved)
        assert as_prepared(tmp_path / "saved.csv") == {"a.jpg": {"coffee;tea", "-10"}}
