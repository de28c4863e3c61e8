import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from c2srt_cli.errors import InputError
from c2srt_cli.graph.category_graph import RELATIONS, CategoryGraph, Edge, read_graph
from c2srt_cli.graph.layout import lay_out
from c2srt_cli.graph.page import page, write_page
from c2srt_cli.labels import Label, LabelSet

HOSTILE = (
    "<script>alert(1)</script>",
    "</script><img src=x onerror=alert(2)>",
    "<!-- <script>",
    '"DATA" /*LIBRARY*/',
    "a\\u003c&lt;",
    "日本の城 'quoted\"",
    "plain",
)


def hostile() -> CategoryGraph:
    labels = LabelSet(tuple(map(Label, HOSTILE)))
    return CategoryGraph(labels, tuple(Edge(i, (i + 1) % 7, RELATIONS[i % 6], 0.5, "llm") for i in range(7)))


class Elements(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.scripts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag == "script":
            self.scripts.append("")

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1] == "script":
            self.scripts[-1] += data


def elements(html: str) -> Elements:
    parser = Elements()
    parser.feed(html)
    return parser


def test_labels_are_data() -> None:
    graph = hostile()
    found = elements(page(graph, title=HOSTILE[1]))
    harmless = CategoryGraph(LabelSet(tuple(Label(f"label {i}") for i in range(7))), graph.edges)
    assert found.tags == elements(page(harmless, title="graph")).tags
    _, data, _ = found.scripts
    value = json.loads(data)
    assert value["title"] == HOSTILE[1]
    assert [row[0] for row in value["labels"]] == list(HOSTILE)
    assert [(s, t, value["relations"][r], strength) for s, t, r, strength in value["edges"]] == [
        edge[:4] for edge in graph.edges
    ]


def test_thousands_of_labels_have_no_places(monkeypatch: pytest.MonkeyPatch) -> None:
    """They open by neighbourhoods, which the page lays out itself: only the list grows with their number."""

    def never(_: CategoryGraph) -> None:
        raise AssertionError("all labels are laid out")

    graph = read_graph("voc-20")
    monkeypatch.setattr("c2srt_cli.graph.page.MAPPED", 20)
    assert {len(row) for row in json.loads(elements(page(graph, title="")).scripts[1])["labels"]} == {7}
    monkeypatch.setattr("c2srt_cli.graph.page.MAPPED", 19)
    monkeypatch.setattr("c2srt_cli.graph.page.lay_out", never)
    value = json.loads(elements(page(graph, title="")).scripts[1])
    assert value["labels"] == [[name] for name in graph.labels.names]
    assert len(value["edges"]) == len(graph.edges)


def test_everything_is_in_the_page() -> None:
    html = page(hostile(), title="graph")
    assert elements(html).addresses == []
    assert "default-src 'none'" in html
    assert not re.search(r"url\(|@import|import\(", html.split("<script>")[0])


@pytest.mark.parametrize("name", ["coco-80", "everyday"])
def test_no_label_stands_over_another(name: str) -> None:
    graph = read_graph(name)
    layout = lay_out(graph)
    apart = np.abs(layout.centre[:, None] - layout.centre[None]) >= (layout.size[:, None] + layout.size[None]) / 2
    assert (apart.any(-1) | np.eye(len(graph.labels), dtype=bool)).all()
    extent = np.ptp(layout.centre, axis=0)
    assert 0.5 < extent[0] / extent[1] < 3.0
    assert layout.size.prod(-1).sum() > 0.1 * extent.prod()  # dense enough to read as a whole
    again = lay_out(graph)
    assert np.array_equal(again.centre, layout.centre)


@pytest.mark.parametrize("edges", [0, 1])
@pytest.mark.parametrize("count", [1, 2, 9])
def test_small_and_empty_graphs(count: int, edges: int) -> None:
    labels = LabelSet(tuple(Label(f"label {i}") for i in range(count)))
    graph = CategoryGraph(labels, (Edge(0, 1, "is_a", 1.0, "llm"),) if edges and count > 1 else ())
    assert np.isfinite(lay_out(graph).centre).all()
    assert len(json.loads(elements(page(graph, title="")).scripts[1])["labels"]) == count


def test_a_page_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError):
        write_page(tmp_path / "file" / "graph.html", hostile(), title="graph")
