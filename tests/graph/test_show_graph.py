import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from c2srt_cli.cli.show_graph import show_graph
from c2srt_cli.errors import InputError, UsageError
from c2srt_cli.graph.category_graph import CategoryGraph, Edge, write_graph
from c2srt_cli.labels import Label, LabelSet

LABELS = (Label("dog"), Label("animal"), Label("crane", id="/m/1"), Label("crane", id="/m/2"), Label("\x1b[31mred"))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    edges = (
        Edge(0, 1, "is_a", 1.0, "llm"),
        Edge(1, 0, "is_a", 0.3, "llm"),
        Edge(2, 1, "is_a", 0.9, "llm"),
        Edge(4, 0, "co_occurrence", 0.2, "cooccurrence"),
    )
    write_graph(tmp_path / "graph.json", CategoryGraph(LabelSet(LABELS), edges))
    return tmp_path / "graph.json"


def show(*arguments: object) -> Result:
    app = typer.Typer()
    app.command()(show_graph)
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception is not None:
        raise result.exception
    return result


def test_both_directions_of_a_label(path: Path) -> None:
    value = json.loads(show(path, "Dog", "--json").stdout)
    assert value == {
        "label": "dog",
        "sources": [
            {"label": "animal", "relation": "is_a", "strength": 0.3, "origin": "llm"},
            {"label": "\x1b[31mred", "relation": "co_occurrence", "strength": 0.2, "origin": "cooccurrence"},
        ],
        "targets": [{"label": "animal", "relation": "is_a", "strength": 1.0, "origin": "llm"}],
    }
    table = show(path, "dog").stdout
    assert "evidence for dog" in table
    assert "dog is evidence for" in table
    assert "\x1b[31mred" not in table
    assert "\\x1b[31mred" in table


@pytest.mark.parametrize(("wanted", "name"), [("/m/2", "crane (/m/2)"), ("CRANE (/m/1)", "crane (/m/1)")])
def test_repeated_names_are_found_by_id(path: Path, wanted: str, name: str) -> None:
    assert json.loads(show(path, wanted, "--json").stdout)["label"] == name


def test_a_label_that_is_not_there(path: Path) -> None:
    with pytest.raises(UsageError, match="no label 'animl'") as caught:
        show(path, "animl")
    assert caught.value.hint == "did you mean 'animal'?"
    with pytest.raises(InputError, match="neither"):
        show("coco-81")


def test_the_figures(path: Path, tmp_path: Path) -> None:
    (tmp_path / "unseen.txt").write_text("animal\nzebra\n")
    result = show(path, "--unseen", tmp_path / "unseen.txt", "--json")
    assert "1 of 2 labels" in result.stderr
    value = json.loads(result.stdout)
    assert (value["labels"], value["edges"], value["reciprocity"], value["components"]) == (5, 4, 0.5, 2)
    assert value["isolated"] == ["crane (/m/2)"]
    assert value["unseen"] == {"labels": 1, "reached": 1, "edges": 2, "fewest": 2, "without": []}
    text = show(path).stdout
    assert "50.0 % of the edges go both ways" in text
    assert "crane (/m/2)" in text


def test_a_shipped_graph_as_a_page(tmp_path: Path) -> None:
    out = tmp_path / "page.html"
    assert "person" in show("coco-80", "bicycle", "--html", out).stdout
    assert "<title>" in out.read_text(encoding="utf-8")
