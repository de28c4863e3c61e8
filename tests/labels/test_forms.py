"""The same labels in every form that other programs write, and what each form may not hold."""

import codecs
import csv
import io
import json
import os
import threading
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from c2srt_cli.errors import InputError
from c2srt_cli.labels import Label, read_labels

CAT = Label("cat", ("kitty", "feline"), 0.6)
DOG = Label("dog", ("hound",))
HEADER = ("label", "synonyms", "threshold")


def write(tmp_path: Path, data: str | bytes, name: str = "labels.txt") -> Path:
    path = tmp_path / name
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


def problems(path: Path) -> tuple[str, ...]:
    with pytest.raises(InputError) as caught:
        read_labels(path)
    assert caught.value.where == str(path) and caught.value.hint
    return caught.value.problems


# tables


def table(delimiter: str, threshold: str = "0.6", head: str = "") -> str:
    stream = io.StringIO(newline="")
    rows = [HEADER, ("cat", "kitty;feline", threshold), ("dog", "hound", "")]
    csv.writer(stream, delimiter=delimiter).writerows(rows)
    return head + stream.getvalue()


#: What spreadsheets and databases write.
TABLES = {
    "CSV": table(",").encode(),
    "CSV UTF-8 of Excel": table(",").encode("utf-8-sig"),
    "CSV of Excel in Europe": table(";", "0,6").encode("utf-8-sig"),
    "CSV, decimal comma in quotes": table(",", "0,6").encode(),
    "with the separator named": table(";", "0,6", "sep=;\r\n").encode(),
    "with the separator named, in quotes": table("\t", "0,6", '"sep=\t"\r\n').encode("utf-8-sig"),
    "Text (Tab delimited)": table("\t").encode(),
    "Unicode Text": table("\t", "0,6").encode("utf-16"),
    "bars": table("|").encode(),
    "trailing cells": b'label;synonyms;threshold;;\r\ncat;"kitty;feline";0,6;;\r\ndog;hound;;;\r\n;;;;\r\n',
    "a header in capitals, with spaces": b' Label , SYNONYMS ,"Threshold "\ncat,kitty;feline,0.6\ndog,hound,\n',
    "columns in another order": b'threshold;synonyms;label\n0,6;"kitty;feline";cat\n;hound;dog\n',
    "comments and empty lines before it": b"# my labels\n\nlabel,synonyms,threshold\ncat,kitty;feline,.6\ndog,hound\n",
    "spaces behind the commas": b'label, synonyms, threshold\ncat, "kitty; feline", 0.6\ndog, hound,\n',
    "two tables joined": b"label,synonyms,threshold\ncat,kitty;feline,.6\n"
    b"\xef\xbb\xbflabel,synonyms,threshold\ndog,hound\n",
    "a line break in a cell": b'label,synonyms,threshold\r\n"cat","kitty\r\nfeline",0.6\r\ndog,hound,\r\n',
    "old Macs": table("\t").replace("\r\n", "\r").encode(),
}


@pytest.mark.parametrize("name", ["labels.txt", "labels.csv", "labels.tsv", "labels", "labels.json5"])
@pytest.mark.parametrize("data", TABLES.values(), ids=TABLES)
def test_a_table_is_known_by_its_content(tmp_path: Path, data: bytes, name: str) -> None:
    assert read_labels(write(tmp_path, data, name)).labels == (CAT, DOG)


def test_a_table_of_one_column(tmp_path: Path) -> None:
    text = 'Label\ncat\n"crane, bird"\n"say ""a"""\ncoffee;tea\n'
    names = ("cat", "crane, bird", 'say "a"', "coffee;tea")
    for name in ("labels.txt", "labels.csv"):
        assert read_labels(write(tmp_path, text, name)).names == names
    assert read_labels(write(tmp_path, "label\ncrane, bird\n")).names == ("crane, bird",)
    assert problems(write(tmp_path, "label\ncrane, bird\n", "labels.csv"))[0].startswith(
        "line 2: more cells than columns"
    )


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("label;sinonyms\ncat;x\n", "line 1: unknown column 'sinonyms', did you mean 'synonyms'?"),
        ("label;label\ncat;x\n", "line 1: two columns 'label'"),
        ("keyword\tsynonyms\ncat\tx\n", "line 1: no column 'label' (columns are label, synonyms, threshold, id)"),
        ("label;;id\ncat;x;1\n", "line 1: unknown column ''"),
        ("label;id\ncat;1;dog\n", "line 2: more cells than columns; put quotes around a cell with semicolons"),
        ("label\tid\ncat\t1\tdog\n", "line 2: more cells than columns; put quotes around a cell with tabs"),
        ('label,id\ncat,1\n"dog,2\nbird,3\n', "line 3: a cell begins with a quote that is not closed"),
        ('label,id\n"a" cat,1\n', "line 2: text behind a closing quote; within quotes, write a quote twice"),
        ("label;threshold\ncat;1,5\n", "line 2: threshold '1,5' is not a probability from 0 to 1"),
        ("label;threshold\ncat;60%\n", "line 2: threshold '60%' is not a probability from 0 to 1"),
        ("label;threshold\ncat;nan\n", "line 2: threshold 'nan' is not a probability from 0 to 1"),
        ("label;threshold\ncat;0.5\n;0.6\n", "line 3: the label is empty"),
        ('label;id\n"c\nat";1\nca\x08t;2\n', "line 4: control character (U+0008) at column 3"),
    ],
)
def test_what_is_wrong_with_a_table(tmp_path: Path, text: str, problem: str) -> None:
    assert problem in problems(write(tmp_path, text))


cells = st.text(st.sampled_from("ab ä|;,\t\"'\n=-#城"), max_size=6)


encodings = st.sampled_from(["utf-8", "utf-8-sig", "utf-16"])


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(cells, min_size=1, max_size=4), st.sampled_from(",;\t"), encodings)
def test_any_csv_is_read_as_the_csv_module_has_it(
    tmp_path: Path, words: list[str], delimiter: str, encoding: str
) -> None:
    names = [f"x{word}{number}" for number, word in enumerate(words)]
    stream = io.StringIO(newline="")
    csv.writer(stream, delimiter=delimiter).writerows([("label", "id"), *((name, "") for name in names)])
    path = write(tmp_path, stream.getvalue().encode(encoding))
    try:
        assert read_labels(path).names == tuple(" ".join(name.split()) for name in names)
    except InputError as refused:
        assert all("before a |" in problem for problem in refused.problems)


# lists


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("coffee;tea\n-10\ncat\n", ("coffee;tea", "-10", "cat")),
        ("crane, bird\ncat, big, black\n", ("crane, bird", "cat, big, black")),
        ('cat\n"crane, bird"\n"say ""a"""\n', ("cat", "crane, bird", 'say "a"')),  # as Excel saves one column
        ('"cat"\n"dog"\n', ("cat", "dog")),  # all quoted, as other programs do
        ('"the big one"\ncat\n', ('"the big one"', "cat")),  # the user's own quotes
        ('"a" and "b"\n', ('"a" and "b"',)),
        ("dog\t\n  cat \n", ("dog", "cat")),
        ("a|b\na | c\n", ("a|b", "a | c")),
        ("labels\nlabelled\n", ("labels", "labelled")),
        ("[2020\n{x\n", ("[2020", "{x")),
        ("cat,\ndog ,\nbig, black bird,\n", ("cat", "dog", "big, black bird")),  # a column and an empty one
        ('"cat";\n"dog";\n"bird"\n', ("cat", "dog", "bird")),  # out of a program's text
        ("cat,\ndog\nbird,\n", ("cat,", "dog", "bird,")),
    ],
)
def test_a_list_stays_a_list(tmp_path: Path, text: str, names: tuple[str, ...]) -> None:
    assert read_labels(write(tmp_path, text)).names == names


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("cat\tkitty\ndog\n", "line 1: a tab behind 'cat': a list has one label a line, a table a header"),
        ("# mine\ncat, dog, bird\n", "line 2: 3 words with commas between them on the only line"),
        ("cat;dog;bird", "line 1: 3 words with semicolons between them on the only line"),
        ("cat\u2028dog\n", "line 1: line separator (U+2028) at column 4: end the line there"),
        ("a||b\n", "line 1: nothing before a | in 'a||b'"),
        ("|b\n", "line 1: nothing before a | in '|b'"),
        ("cat\nc\u200bat\n", "lines 1 and 2: 'cat' stands twice"),
        ("# pets\n- cat\n- dog\n", "line 2: every line begins with '- '; write the labels alone"),
        ("cat\nKÃ¤tzchen\n", "line 2: UTF-8 that was read as Windows-1252 once: is 'Kätzchen' meant?"),
        ("# 1\n", "there is no label in the file"),
    ],
)
def test_what_is_wrong_with_a_list(tmp_path: Path, text: str, problem: str) -> None:
    assert problems(write(tmp_path, text))[0].startswith(problem)


def test_the_first_faults_are_shown_and_the_others_counted(tmp_path: Path) -> None:
    found = problems(write(tmp_path, "".join(f"a label with the number {i}\0\n" for i in range(500))))
    assert len(found) == 21
    assert found[19:] == ("line 20: NUL (U+0000) at column 27", "… and 480 more")


# keywords

LIGHTROOM = "[ANIMALS]\n\tcat\n\t\t{kitty}\n\t\t{feline}\n\t\tPersian\n\tdog\n\t\t{hound}\n[FOOD]\n\tcoffee\n"
KEYWORDS = (
    Label("ANIMALS|cat", ("kitty", "feline")),
    Label("ANIMALS|cat|Persian"),
    Label("ANIMALS|dog", ("hound",)),
    Label("FOOD|coffee"),
)


@pytest.mark.parametrize(
    "data",
    [
        LIGHTROOM.encode(),
        LIGHTROOM.replace("\n", "\r\n").encode("utf-8-sig"),
        LIGHTROOM.replace("\n", "\r\n").encode("utf-16"),
        LIGHTROOM.replace("\n", "\r").encode(),
        LIGHTROOM.replace("\t", "    ").encode(),
        LIGHTROOM.replace("\t", "  ").encode(),  # brackets tell
        LIGHTROOM.replace("\n", "\n\n").replace("cat\n", "cat \n#\n").encode(),
        LIGHTROOM.replace("Persian\n", "~Persian\n").encode(),
    ],
)
def test_keywords_of_lightroom(tmp_path: Path, data: bytes) -> None:
    found = read_labels(write(tmp_path, data))
    assert found.labels == KEYWORDS
    assert found.labels[0].wordings == ("cat", "kitty", "feline")


def test_parents_that_are_exported_are_labels(tmp_path: Path) -> None:
    names = ("animals", "animals|cat", "food")
    for text in ("animals\n\tcat\nfood\n", "animals\n    cat\nfood\n", "\tanimals\n\t\tcat\n\tfood\n"):
        assert read_labels(write(tmp_path, text)).names == names
    assert read_labels(write(tmp_path, "[a]\n\t{b}\n\tc\n")).labels == (Label("a|c"),)  # a synonym of a heading
    assert read_labels(write(tmp_path, "a\n\tb\n    c\n    \td\n")).names == ("a", "a|b", "a|c", "a|c|d")  # both in one
    assert read_labels(write(tmp_path, "cat\n\tcat\n")).names == ("cat", "cat|cat")
    assert read_labels(write(tmp_path, "[a]\n\t#sunset\n# mine\n")).names == ("a|#sunset",)
    assert read_labels(write(tmp_path, "cat\n  dog\n")).names == ("cat", "dog")  # a slip, no tree


def test_a_synonym_behind_the_children_is_its_parents(tmp_path: Path) -> None:
    found = read_labels(write(tmp_path, "cat\n\tPersian\n\t{kitty}\ndog\n"))
    assert found.labels == (Label("cat", ("kitty",)), Label("cat|Persian"), Label("dog"))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{kitty}\ncat\n", "line 1: {kitty} is a synonym, and no keyword stands above it by one tab less"),
        ("cat\n{kitty}\n", "line 2: {kitty} is a synonym, and no keyword stands above it by one tab less"),
        ("[a]\n\tcat\n\t\t{}\n", "line 3: nothing within {}"),
        ("a\n\t\t\tcat\n", "line 2: 'cat' is indented by 3 tabs, below a keyword with 0"),
        ("a\n\tcat\tkitty\n", "line 2: a tab behind 'cat': a keyword stands alone on its line"),
        ("a\n\tcat\n\tCat\n", "lines 2 and 3: 'a|Cat' stands twice"),
        ("[a]\n\t[b]\n", "there is no label in the file"),
        ("[a]\n\tcat\n\t\t{kitty\n", "line 3: '{kitty' has no } at its end"),
    ],
)
def test_what_is_wrong_with_keywords(tmp_path: Path, text: str, problem: str) -> None:
    assert problem in problems(write(tmp_path, text))


# JSON

OBJECTS: list[dict[str, object]] = [
    {"label": "cat", "synonyms": ["kitty", "feline"], "threshold": 0.6},
    {"label": "dog", "synonyms": "hound"},
]


@pytest.mark.parametrize("name", ["labels.json", "labels.txt", "labels"])
@pytest.mark.parametrize(
    "text",
    [
        json.dumps(OBJECTS),
        json.dumps(OBJECTS, indent=2),
        "\n".join(map(json.dumps, OBJECTS)),
        "\r\n\r\n".join(map(json.dumps, OBJECTS)),
        json.dumps([OBJECTS[0] | {"id": None, "seen": 1}, {"label": " dog ", "synonyms": ["hound", ""], "id": ""}]),
    ],
)
def test_json(tmp_path: Path, text: str, name: str) -> None:
    assert read_labels(write(tmp_path, text, name)).labels == (CAT, DOG)
    assert read_labels(write(tmp_path, text.encode("utf-16"), name)).labels == (CAT, DOG)


def test_json_of_strings(tmp_path: Path) -> None:
    assert read_labels(write(tmp_path, '["caf\\u00e9", "a\\tb"]')).names == ("café", "a b")
    assert read_labels(write(tmp_path, '"caf\\u00e9"\n"dog"\n', "labels.jsonl")).names == ("café", "dog")
    assert read_labels(write(tmp_path, '{"label": "cat", "id": "/m/1"}')).labels == (Label("cat", id="/m/1"),)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('["cat",\n "dog"', "line 2: no JSON from column 7 on (Expecting ',' delimiter)"),
        ("['cat']", "line 1: no JSON from column 2 on (Expecting value)"),
        ('{"cat": 1}', 'line 1: a list of labels is an array: ["cat", "dog"]'),
        ('[["cat", "dog"]]', 'entry 1: ["cat", "dog"] is neither a label in quotes nor an object with one'),
        ('["cat", 7, null]', "entry 2: 7 is neither a label in quotes nor an object with one"),
        ('[{"labl": "cat"}]', "entry 1: unknown key 'labl', did you mean 'label'?"),
        ('[{"synonyms": []}]', "entry 1: no key 'label'"),
        ('[{"label": 2020}]', "entry 1: label 2020 is no text: put it in quotes"),
        ('[{"label": " "}]', "entry 1: the label is empty"),
        ('[{"label": "cat", "synonyms": [1]}]', "entry 1: a synonym is no text"),
        ('[{"label": "cat", "synonyms": {"a": 1}}]', "entry 1: synonyms are a list of texts"),
        ('[{"label": "cat", "threshold": "0.6"}]', 'entry 1: threshold "0.6" is not a probability from 0 to 1'),
        ('[{"label": "cat", "threshold": true}]', "entry 1: threshold true is not a probability from 0 to 1"),
        ('[{"label": "cat", "threshold": NaN}]', "entry 1: threshold NaN is not a probability from 0 to 1"),
        ('[{"label": "cat", "threshold": 60}]', "entry 1: threshold 60 is not a probability from 0 to 1"),
        ('[{"label": "cat", "id": 5}]', "entry 1: the id is no text: put it in quotes"),
        ('["c\\u0000at"]', "entry 1: NUL (U+0000) at column 2"),
        ('["c\\ud800at"]', "entry 1: what is no character of a text (U+D800) at column 2"),
        ('["cat", "dog", "CAT"]', "entries 1 and 3: 'CAT' stands twice"),
        ('{"label": "cat"}\n{"label": "dog"\n', "line 2: no JSON from column 16 on (Expecting ',' delimiter)"),
        ('{"label": "cat"}\n{"label": ""}\n', "line 2: the label is empty"),
        ("[" * 100_000, "line 1: no JSON that can be read (nested too deep, or a number too long)"),
        ("[]", "there is no label in the file"),
        ('{"path": "a.jpg", "tags": []}\n{"path": "b.jpg", "tags": []}\n', "line 2: no key 'label'"),
    ],
)
def test_what_is_wrong_with_json(tmp_path: Path, text: str, problem: str) -> None:
    assert problem in problems(write(tmp_path, text, "labels.json"))


# where from


def test_a_pipe_is_read_once(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    writer = threading.Thread(target=path.write_bytes, args=(codecs.BOM_UTF8 + b"cat\ndog\n",))
    writer.start()
    assert read_labels(path).names == ("cat", "dog")
    writer.join()
