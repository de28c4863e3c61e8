"""A graph as one HTML file to pan, zoom and search, without a network."""

import json
from importlib.resources import files
from pathlib import Path

from c2srt_cli.artifacts import output_file
from c2srt_cli.graph.category_graph import RELATIONS, CategoryGraph
from c2srt_cli.graph.layout import lay_out

#: Of more labels a page shows one label's neighbourhood at a time: all of them on one map would be dust.
MAPPED = 2_000
LIBRARY, DATA = "/*LIBRARY*/", '"DATA"'


def write_page(path: Path, graph: CategoryGraph, *, title: str) -> None:
    """Write the page of ``graph``: everything is in it, cytoscape.js (MIT) included; ``FILE#label`` opens on a label.

    Labels are data in it: none can become markup or code.

    Raises:
        InputError: it cannot be written there.
    """
    with output_file(path, "--html") as temporary:
        temporary.write_text(page(graph, title=title), encoding="utf-8")


def page(graph: CategoryGraph, *, title: str) -> str:
    """The page's HTML."""
    data = {
        "title": title,
        "relations": RELATIONS,
        "labels": _places(graph) if len(graph.labels) <= MAPPED else [[name] for name in graph.labels.names],
        "edges": [[edge.source, edge.target, RELATIONS.index(edge.relation), edge.strength] for edge in graph.edges],
    }
    assets = files("c2srt_cli.graph") / "assets"
    html = (assets / "page.html").read_text(encoding="utf-8")
    html = html.replace(LIBRARY, (assets / "cytoscape.min.js").read_text(encoding="utf-8"))
    # last, so that nothing in a label is taken for a place to fill; without <, no label ends the script it stands in
    return html.replace(DATA, json.dumps(data, separators=(",", ":")).replace("<", "\\u003c"))


def _places(graph: CategoryGraph) -> list[list[object]]:
    """Of each label its name, centre, size, height of letters and group."""
    layout = lay_out(graph)
    return [
        [name, *(round(float(value), 1) for value in (*centre, *size, font)), group]
        for name, centre, size, font, group in zip(
            graph.labels.names, layout.centre, layout.size, layout.font, layout.group, strict=True
        )
    ]
