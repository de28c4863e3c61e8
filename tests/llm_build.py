"""A graph built through a server of `llm_server`, and what is in it."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from llm_server import KEY, Server, true_sources

from c2srt_cli.graph.build import BuildResult, build_graph
from c2srt_cli.graph.category_graph import Edge
from c2srt_cli.graph.llm.service import Service
from c2srt_cli.graph.options import BuildOptions, replies_path
from c2srt_cli.labels import LabelSet
from c2srt_cli.progress import Progress


def write_labels(folder: Path, count: int) -> Path:
    path = folder / "labels.txt"
    path.write_text("".join(f"thing {i}\n" for i in range(count)))
    return path


def no_embeddings(_: LabelSet) -> Any:
    raise AssertionError("nothing has to be embedded")


def service(server: Server, **more: Any) -> Service:
    return replace(Service("gpt-4o", server.url, KEY, timeout=30, backoff=0.01), **more)


def build(
    server: Server,
    labels: Path,
    out: Path,
    *,
    progress: Progress | None = None,
    limits: dict[str, Any] | None = None,
    **options: Any,
) -> BuildResult:
    asked = BuildOptions(labels, out, neighbours=100, **options)
    return build_graph(asked, no_embeddings, progress or Progress(), lambda: service(server, **(limits or {})))


def truth(count: int) -> set[Edge]:
    """What the server knows, read from it without any block, prompt or reply."""
    return {
        Edge(s["source"], target, s["relation"], s["strength"], "llm")
        for target in range(count)
        for s in true_sources(target, range(count))
    }


def replay(labels: Path, out: Path) -> BuildResult:
    """Replay what is recorded beside ``out``, which must give its bytes."""
    other = out.with_name("replayed.json")
    options = BuildOptions(labels, other, neighbours=100, replay=replies_path(out))
    result = build_graph(options, no_embeddings, Progress())
    assert other.read_bytes() == out.read_bytes()
    return result
