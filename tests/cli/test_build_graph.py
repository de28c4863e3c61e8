"""``c2srt build-graph`` as the user types it."""

import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import Run
from llm_server import KEY, PLACES, Server, echoed, serving

from c2srt_cli.graph.category_graph import CategoryGraph, Edge, read_graph, write_graph
from c2srt_cli.labels import Label, LabelSet

#: What may pass, and is asked for again after a while.
WAITED_FOR = ("outage", "wait", "error with 200", "page")


@pytest.fixture(autouse=True)
def _no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as server:
        yield server


@pytest.fixture
def line(server: Server, tmp_path: Path) -> tuple[object, ...]:
    """A whole command line that asks the server; options may follow."""
    labels = tmp_path / "labels.txt"
    labels.write_text("".join(f"thing {i}\n" for i in range(50)))
    return ("build-graph", "-l", labels, "-o", tmp_path / "g.json", "--base-url", server.url)


def test_ask_then_replay(c2srt: Run, line: tuple[object, ...], server: Server, tmp_path: Path) -> None:
    code, out, err = c2srt(*line)
    assert (code, out) == (0, "")
    assert "50 labels" in err
    assert server.headers[0]["authorization"] == "Bearer none"
    replies = tmp_path / "g.json.replies.jsonl"
    assert len(replies.read_text().splitlines()) == 3
    assert c2srt(*line[:3], "-o", tmp_path / "h.json", "--replay", replies)[0] == 0
    assert (tmp_path / "h.json").read_bytes() == (tmp_path / "g.json").read_bytes()


@pytest.mark.parametrize("where", [place for place in PLACES if place not in WAITED_FOR])
def test_a_key_that_the_server_sends_back_is_on_no_screen_and_in_no_file(  # noqa: PLR0917
    c2srt: Run, line: tuple[object, ...], server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    server.raw = lambda _number, _body: echoed(KEY, where)
    server.models = [f"{KEY}-model", "x"]
    done = c2srt("--debug", *line, "--concurrency", 1)
    assert server.headers[0]["authorization"] == f"Bearer {KEY}"
    assert done.code in (4, 5), done
    texts = [done.out, done.err, *(path.read_bytes().decode() for path in tmp_path.rglob("*") if path.is_file())]
    for text in texts:
        assert KEY not in text
        assert KEY not in text.encode().decode("unicode_escape", errors="replace")
    assert any("…" in text or r"\u2026" in text for text in texts)


def test_replay_needs_neither_openai_nor_torch_nor_key(line: tuple[object, ...], c2srt: Run, tmp_path: Path) -> None:
    assert c2srt(*line)[0] == 0
    code = (
        "import sys, socket\nsocket.socket.connect = None\n"
        "for name in ('openai', 'torch', 'httpx2'): sys.modules[name] = None\n"
        "from c2srt_cli.cli import main\nmain()"
    )
    replies = tmp_path / "g.json.replies.jsonl"
    arguments = [*map(str, line[:3]), "-o", str(tmp_path / "h.json"), "--replay", str(replies)]
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "h.json").read_bytes() == (tmp_path / "g.json").read_bytes()


def test_dry_run_asks_nothing(c2srt: Run, line: tuple[object, ...], server: Server, tmp_path: Path) -> None:
    code, out, _ = c2srt(*line, "--dry-run")
    assert code == 0
    assert not server.requests
    assert not (tmp_path / "g.json").exists()
    fields = dict(map(_field, out.splitlines()))
    assert fields["requests"] == "3"
    assert fields["labels to ask about"] == "50"
    assert "(gpt-4o by genai-prices" in fields["price"]
    assert "not known for llama" in c2srt(*line, "--dry-run", "--model", "llama")[1]


def _field(row: str) -> tuple[str, str]:
    name, _, value = row.partition("  ")
    return name.strip(), value.strip()


def test_labels_without_an_answer_exit_5(c2srt: Run, line: tuple[object, ...], server: Server) -> None:
    server.fault = lambda _, body: "prose" if '"targets":[0,' in body["messages"][1]["content"] else None
    code, _, err = c2srt(*line)
    assert code == 5
    assert "no complete answer for thing 0: is not answered" in err
    assert c2srt(*line, "--allow-failures")[0] == 0
    server.fault = lambda _number, _body: None
    assert c2srt(*line)[0] == 0


def test_a_wrong_key_exits_4_and_is_not_shown(
    c2srt: Run, line: tuple[object, ...], server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.fault = lambda _number, _body: "key"
    (tmp_path / "key").write_text(f"{KEY}\n")
    for debug in ("", "1"):
        monkeypatch.setenv("C2SRT_DEBUG", debug)
        code, out, err = c2srt(*line, "--api-key-file", tmp_path / "key")
        assert code == 4
        assert "does not accept the API key" in err
        assert KEY not in out + err
    assert server.headers[0]["authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((), (2, "there is no API key")),
        (("--api-key-file", "nowhere"), (3, "the API key cannot be read")),
        (("--source", "lm"), (2, "did you mean llm?")),
        (("--source", "cooccurrence"), (2, "--annotations FILE")),
        (("--source", "random"), (2, "--like GRAPH")),
        (("--source", "embedding", "--replay", "x"), (2, "only the source llm has replies")),
        (("--replay", "nowhere.jsonl"), (3, "no such file")),
        (("--extend", "nowhere"), (3, "neither a graph file nor the name")),
        (("--unseen", "UNSEEN"), (3, "'thinks 1' is no label, did you mean 'thing 1'?")),
    ],
)
def test_what_cannot_be(
    c2srt: Run, line: tuple[object, ...], tmp_path: Path, options: tuple[str, ...], said: tuple[int, str]
) -> None:
    code, words = said
    (tmp_path / "unseen.txt").write_text("thinks 1\n")
    named = [str(tmp_path / "unseen.txt") if option == "UNSEEN" else option for option in options]
    done = c2srt(*line[:5], *named)
    assert done[0] == code
    assert words in " ".join(done[2].split())
    assert not (tmp_path / "g.json").exists()


@pytest.mark.usefixtures("tiny")
def test_sources_without_a_language_model(c2srt: Run, line: tuple[object, ...], tiny: str, tmp_path: Path) -> None:
    annotations = tmp_path / "a.csv"
    rows = [f"{i}.jpg,thing {45 + 2 * (i % 2)};thing {46 + 2 * (i % 2)};thing {i % 5}" for i in range(100)]
    annotations.write_text("\n".join(["path,labels", *rows]) + "\n")
    (tmp_path / "unseen.txt").write_text("".join(f"thing {i}\n" for i in range(45)))
    options = ("--source", "embedding+cooccurrence", "--annotations", annotations, "--backbone", tiny)
    code, _, err = c2srt(*line[:5], *options, "--unseen", tmp_path / "unseen.txt", "--neighbours", 4)
    assert code == 0, err
    graph = read_graph(tmp_path / "g.json")
    assert {edge.origin for edge in graph.edges} == {"embedding", "cooccurrence"}
    together = {i for e in graph.edges if e.origin == "cooccurrence" for i in (e.source, e.target)}
    assert together == set(range(45, 49))  # nothing is learnt of unseen labels, annotated or not
    wide = (*line[:3], "-o", tmp_path / "wide.json", *options, "--neighbours", 100)
    assert c2srt(*wide)[0] == 0
    there, kept = (
        Counter(e.target for e in g.edges if e.source >= 45) for g in (read_graph(tmp_path / "wide.json"), graph)
    )
    assert all(kept[target] >= min(there[target], 3) for target in range(45))
    assert max(there.values()) >= 3
    sources = [source["source"] for source in graph.provenance["sources"]]
    assert sources == ["embedding", "cooccurrence"]
    assert graph.provenance["sources"][0]["backbone"] == tiny
    code, _, err = c2srt(*line[:3], "-o", tmp_path / "r.json", "--source", "random", "--like", tmp_path / "g.json")
    assert code == 0, err
    shuffled = read_graph(tmp_path / "r.json")
    assert [e.target for e in shuffled.edges] == [e.target for e in graph.edges]
    assert [e.strength for e in shuffled.edges] == [e.strength for e in graph.edges]


def test_random_has_the_degrees_of_the_other_graph_and_says_where_it_cannot(
    c2srt: Run, line: tuple[object, ...], tmp_path: Path
) -> None:
    names = LabelSet(tuple(Label(f"thing {i}") for i in range(50)))
    edges = tuple(Edge(s, t, "is_a", 0.5, "llm") for t in range(20) for s in range(30, 30 + t))  # up to 19 sources
    write_graph(tmp_path / "like.json", CategoryGraph(names, edges))
    shape = Counter(edge.target for edge in edges)
    command = (*line[:5], "--source", "random", "--like", tmp_path / "like.json")
    for options in ((), ("--neighbours", 3)):
        code, _, err = c2srt(*command, *options)
        assert code == 0, err
        graph = read_graph(tmp_path / "g.json")
        assert Counter(edge.target for edge in graph.edges) == shape
        assert "neighbours" not in graph.provenance
    assert "left out" not in err
    (tmp_path / "labels.txt").write_text("".join(f"thing {i}\n" for i in range(40)))
    code, _, err = c2srt(*command)
    assert code == 0
    lost = sum(edge.source >= 40 for edge in edges)
    assert f"{lost} of the {len(edges)} edges of {tmp_path / 'like.json'} are of other labels: left out" in err
    (tmp_path / "labels.txt").write_text("something else\nthing 1\n")
    (tmp_path / "g.json").unlink()
    code, _, err = c2srt(*command)
    assert code == 3
    assert f"none of its {len(edges)} edges is between two of the labels" in " ".join(err.split())
    assert not (tmp_path / "g.json").exists()


def test_cooccurrence_from_a_folder_of_annotations(c2srt: Run, line: tuple[object, ...], tmp_path: Path) -> None:
    """What `prepare` wrote: test photographs and unseen labels say nothing."""
    rows = [f"{i}.jpg,thing 0;thing {1 + i % 2};thing 9,train" for i in range(20)]
    rows += [f"t{i}.jpg,thing 5;thing 6,test" for i in range(20)] + [f"n{i}.jpg,thing 7,train" for i in range(20)]
    (tmp_path / "photos.csv").write_text("\n".join(["path,labels,split", *rows]) + "\n")
    (tmp_path / "unseen.txt").write_text("thing 9\n")
    done = c2srt("prepare", "table", tmp_path / "photos.csv", "-o", tmp_path / "a", "--unseen", tmp_path / "unseen.txt")
    assert done[0] == 0, done[2]
    assert f"next: c2srt embed --annotations {tmp_path / 'a'} --for label-propagation --out embeddings" in done[2]
    code, _, err = c2srt(*line[:5], "--source", "cooccurrence", "--annotations", tmp_path / "a")
    assert code == 0, err
    found = {(edge.source, edge.target) for edge in read_graph(tmp_path / "g.json").edges}
    assert found == {(0, 1), (0, 2), (1, 0), (2, 0)}


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom c2srt_cli.cli import main\nsys.argv = ['c2srt', 'build-graph', '--help']\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "print([n for n in ('torch', 'openai', 'numpy', 'networkx') if n in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == "[]\n"
    assert all(option in done.stdout for option in ("--replay", "--max-cost", "--base-url", "--source"))
