import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from c2srt_cli.datasets import open_images
from c2srt_cli.errors import InputError
from c2srt_cli.graph.build import build_graph
from c2srt_cli.graph.category_graph import read_graph
from c2srt_cli.graph.options import BuildOptions
from c2srt_cli.graph.shipped import shipped
from c2srt_cli.labels import read_labels
from c2srt_cli.progress import Progress

FOLDER = Path(__file__).parents[2] / "graphs"
UNSEEN = Path(open_images.__file__).with_name("open_images_unseen.txt")
WHOLE = ("coco-80", "corel5k-374", "everyday", "nus-wide-1006", "voc-20")
NAMES = tuple(sorted((*WHOLE, "open-images-400")))


def asked(name: str, out: Path) -> BuildOptions:
    """What graphs/README.md builds it with."""
    (labels,) = FOLDER.glob(f"labels/{name}.*")
    targets = FOLDER / f"labels/{name}-targets.txt"
    some: dict[str, Any] = {} if name in WHOLE else {"targets": targets, "all_candidates": True}
    return BuildOptions(labels, out, neighbours=12, replay=FOLDER / f"replies/{name}.jsonl", **some)


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
    result = build_graph(asked(name, out), embed, Progress())  # type: ignore[arg-type]
    assert not result.failed
    assert out.read_bytes() == (FOLDER / f"{name}.json").read_bytes()


@pytest.mark.parametrize("name", NAMES)
def test_they_hold_the_strongest_of_the_replies(name: str) -> None:
    graph = read_graph(name)
    options = asked(name, Path("graph.json"))
    labels = read_labels(options.labels)
    assert graph.labels == labels
    lines = (FOLDER / f"replies/{name}.jsonl").read_text().splitlines()
    answers = [answer for line in lines for answer in json.loads(json.loads(line)["reply"])["targets"]]
    wanted = {label.name for label in read_labels(options.targets)} if options.targets else set(labels.names)
    targets = [answer["target"] for answer in answers]
    assert sorted(targets) == [i for i, label in enumerate(labels) if {label.id, label.name} & wanted]
    expected = Counter(
        (answer["target"], strength)
        for answer in answers
        for strength in sorted((source["strength"] for source in answer["sources"]), reverse=True)[:12]
    )
    assert Counter((edge.target, edge.strength) for edge in graph.edges) == expected
    (source,) = graph.provenance["sources"]
    assert source["targets"] == len(targets)
    assert (source["source"], source["model"], source["failed"]) == ("llm", "claude (answered offline)", {})


def test_open_images_labels_hear_of_seen_ones_only() -> None:
    """A graph for a published division: the 400 unseen labels by MID, each with five sources or more, all annotated."""
    graph = read_graph("open-images-400")
    unseen = set(UNSEEN.read_text().split())
    sources = Counter(graph.labels.labels[edge.target].id for edge in graph.edges)
    assert unseen < sources.keys()
    assert len(sources) == 460  # 60 seen ones, for the gain to be fitted on
    assert min(sources.values()) >= 5
    assert not {graph.labels.labels[edge.source].id for edge in graph.edges} & unseen
    assert len(graph.labels) == 7586
    assert graph.provenance["coverage"] == round(460 / 7586, 4)
