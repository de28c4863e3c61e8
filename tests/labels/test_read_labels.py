from pathlib import Path

import pytest

from c2srt_cli.errors import InputError, UsageError
from c2srt_cli.labels import Label, read_labels, read_templates


def write(tmp_path: Path, data: str | bytes, name: str = "labels.txt") -> Path:
    path = tmp_path / name
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


def problems(path: Path, **options: object) -> tuple[str, ...]:
    with pytest.raises(InputError) as caught:
        read_labels(path, **options)  # type: ignore[arg-type]
    assert caught.value.where == str(path)
    return caught.value.problems


def test_lines_comments_blanks_and_white_space(tmp_path: Path) -> None:
    labels = read_labels(write(tmp_path, "\ufeff# animals\r\n  a   cat \r\n\r\ndog\t\n#end\nanimal|red fox"))
    assert labels.names == ("a cat", "dog", "animal|red fox")
    assert labels.labels[2].wordings == ("red fox",)


def test_unicode_is_composed(tmp_path: Path) -> None:
    labels = read_labels(write(tmp_path, "cafe\u0301\nżubr\n日本の城\n"))
    assert labels.names == ("café", "żubr", "日本の城")


def test_utf16_from_a_spreadsheet(tmp_path: Path) -> None:
    assert read_labels(write(tmp_path, "cat\ndög\n".encode("utf-16"))).names == ("cat", "dög")


def test_all_problems_of_a_file_come_at_once(tmp_path: Path) -> None:
    path = write(tmp_path, b"cat\nd\xe9j\xe0\nDog\n# dog\n  dog\na b c d e f\ncat\n")
    found = problems(
        path, count_tokens=lambda texts: ([len(text.split()) for text in texts], 9), templates=("a photo of {}",)
    )
    assert found == (
        "line 2: byte 0xe9 at column 2 is not UTF-8",
        "lines 3 and 5: 'dog' stands twice",
        "lines 1 and 7: 'cat' stands twice",
    )
    found = problems(
        path, count_tokens=lambda texts: ([len(text.split()) for text in texts], 8), templates=("a photo of {}",)
    )
    assert found[-1] == "line 6: 'a b c d e f' takes 9 tokens, the text encoder reads 8"


@pytest.mark.parametrize("text", ["", "\n\n", "# only a comment\n"])
def test_an_empty_file_is_refused(tmp_path: Path, text: str) -> None:
    assert problems(write(tmp_path, text)) == ("there is no label in the file",)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"gone\.txt"):
        read_labels(tmp_path / "gone.txt")


def test_tables(tmp_path: Path) -> None:
    text = (
        'Label,synonyms,threshold,id\ncat,kitty; feline ,0.4,\n"crane, bird",,,/m/1\ncrane,,,/m/2\ncrane,,0,/m/3\n,,,\n'
    )
    labels = read_labels(write(tmp_path, text, "labels.csv"))
    assert labels.labels == (
        Label("cat", ("kitty", "feline"), 0.4),
        Label("crane, bird", (), None, "/m/1"),
        Label("crane", (), None, "/m/2"),
        Label("crane", (), 0.0, "/m/3"),
    )
    assert labels.names == ("cat", "crane, bird", "crane (/m/2)", "crane (/m/3)")
    assert labels.labels[0].wordings == ("cat", "kitty", "feline")
    assert read_labels(write(tmp_path, "label\tid\ndog\t\n", "labels.tsv")).names == ("dog",)


def test_problems_of_tables(tmp_path: Path) -> None:
    text = "label,sinonyms,threshold\ncat,,1.5\n,x,\ndog,,high\ncat,,\n"
    assert problems(write(tmp_path, text, "labels.csv")) == (
        "line 1: unknown column 'sinonyms', did you mean 'synonyms'?",
        "line 2: threshold '1.5' is not a probability from 0 to 1",
        "line 3: the label is empty",
        "line 4: threshold 'high' is not a probability from 0 to 1",
        "lines 2 and 5: 'cat' stands twice",
    )
    assert problems(write(tmp_path, "name\ncat\n", "labels.csv"))[-1].startswith("line 1: no column 'label'")
    found = problems(write(tmp_path, "label,synonyms\ncar,automobile,vehicle\n", "labels.csv"))
    assert found == ("line 2: more cells than columns; put quotes around a cell with commas",)
    (found_one,) = problems(write(tmp_path, 'label\ncat\n"' + "x" * 200_000, "labels.csv"))
    assert "field larger than field limit" in found_one


def test_a_hierarchy_needs_a_last_part(tmp_path: Path) -> None:
    assert problems(write(tmp_path, "animal|\ncat\n|\n")) == (
        "line 1: nothing behind the last |",
        "line 3: nothing behind the last |",
    )


def test_length_is_judged_in_the_template_with_the_most_tokens(tmp_path: Path) -> None:
    templates = ("incomprehensibilities {}", "a b c d {}")  # the longer one has fewer words
    found = problems(
        write(tmp_path, "one two\n"),
        count_tokens=lambda texts: ([len(t.split()) for t in texts], 5),
        templates=templates,
    )
    assert found == ("line 1: 'one two' takes 6 tokens, the text encoder reads 5",)


def test_the_fingerprint_follows_what_decides_the_tags(tmp_path: Path) -> None:
    first = read_labels(write(tmp_path, "cat\ndog\n"))
    assert first.fingerprint == read_labels(write(tmp_path, "# pets\ncat\n\n dog\n")).fingerprint
    assert first.fingerprint != read_labels(write(tmp_path, "dog\ncat\n")).fingerprint


def test_twenty_thousand_labels(tmp_path: Path) -> None:
    labels = read_labels(write(tmp_path, "\n".join(f"label {i}" for i in range(20_000))))
    assert len(labels) == 20_000


def test_templates(tmp_path: Path) -> None:
    from open_clip import OPENAI_IMAGENET_TEMPLATES

    assert read_templates("default") == ("a photo of a {}.",)
    clip = read_templates("clip")
    assert [template.format("cat") for template in clip] == [template("cat") for template in OPENAI_IMAGENET_TEMPLATES]
    assert read_templates(str(write(tmp_path, "# mine\na {}\n\nthe {}!\n"))) == ("a {}", "the {}!")
    with pytest.raises(InputError) as caught:
        read_templates(str(write(tmp_path, "a {}\nno hole\n{} and {}\n{name}\n")))
    assert [problem.split(":")[0] for problem in caught.value.problems] == ["line 2", "line 3", "line 4"]
    assert len(read_templates(str(write(tmp_path, "a {}\n" * 1000)))) == 1000
    with pytest.raises(InputError, match="1,001 templates, at most 1,000 are read"):
        read_templates(str(write(tmp_path, "a {}\n" * 1001)))
    with pytest.raises(UsageError, match="neither"):
        read_templates("nowhere.txt")
