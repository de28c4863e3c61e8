import json
from collections import Counter
from pathlib import Path

import pytest

from c2srt_cli.errors import InputError
from c2srt_cli.graph.build import build_graph
from c2srt_cli.graph.category_graph import read_graph
from c2srt_cli.graph.options import BuildOptions
from c2srt_cli.graph.shipped import shipped
from c2srt_cli.labels import read_labels
from c2srt_cli.progress import Progress

FOLDER = Path(__file__).parents[2] / "graphs"
NAMES = ("coco-80", "corel5k-374", "everyday", "nus-wide-1006", "voc-20")


def test_they_are_all_there() -> None:
    assert tuple(shipped()) == NAMES
    with pytest.raises(InputError, match="neither") as caught:
        read_graph("coco80")
    assert caught.value.hint is not None
    assert "coco-80" in caught.value.hint


@pytest.mark.parametrize("name", NAMES)
def test_replies_give_the_same_bytes(name: str, tmp_path: Path) -> None:
    def embed(_: object) -> None:
        raise AssertionError("nothing is embedded")

    out = tmp_path / "graph.json"
    options = BuildOptions(
        labels=FOLDER / f"labels/{name}.txt", out=out, neighbours=12, replay=FOLDER / f"replies/{name}.jsonl"
    )
    result = build_graph(options, embed, Progress())  # type: ignore[arg-type]
    assert not result.failed
    assert out.read_bytes() == (FOLDER / f"{name}.json").read_bytes()


@pytest.mark.parametrize("name", NAMES)
def test_they_hold_the_strongest_of_the_replies(name: str) -> None:
    graph = read_graph(name)
    names = read_labels(FOLDER / f"labels/{name}.txt").names
    assert graph.labels.names == names
    lines = (FOLDER / f"replies/{name}.jsonl").read_text().splitlines()
    answers = [answer for line in lines for answer in json.loads(json.loads(line)["reply"])["targets"]]
    assert sorted(answer["target"] for answer in answers) == list(range(len(names)))
    expected = Counter(
        (answer["target"], strength)
        for answer in answers
        for strength in sorted((source["strength"] for source in answer["sources"]), reverse=True)[:12]
    )
    assert Counter((edge.target, edge.strength) for edge in graph.edges) == expected
    (source,) = graph.provenance["sources"]
    assert (source["source"], source["model"], source["failed"]) == ("llm", "claude (answered offline)", {})
