"""Servers that call themselves OpenAI-compatible, as public issues and documents show them: `servers.toml`."""

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from llm_build import build, truth, write_labels
from llm_server import Raw, Server, serving, tokens

from c2srt_cli.errors import ServiceError
from c2srt_cli.progress import Progress

ROWS: list[dict[str, Any]] = tomllib.loads(Path(__file__).with_name("servers.toml").read_text())["row"]
PAGE = Path(__file__).parents[3] / "docs/servers.md"
COUNT = 8


def concerns(row: dict[str, Any], number: int, body: dict[str, Any]) -> bool:
    """Whether the row's reply goes to a request."""
    form = body.get("response_format", {}).get("type")
    limits = ("max_completion_tokens", "max_tokens")
    concerned: dict[str, bool] = {
        "always": True,
        "once": number == 0,
        "limit": any(limit in body for limit in limits),
        **{limit: limit in body for limit in limits},
        **{name: form == name for name in ("json_schema", "json_object")},
    }
    return concerned[row["when"]]


def raw(row: dict[str, Any], server: Server, body: dict[str, Any]) -> Raw:
    """The row's reply to a request."""
    answer = server.content(body, None)
    if "message" in row:
        usage = json.loads(row.get("usage", json.dumps({"prompt_tokens": tokens(body), "completion_tokens": 9})))
        choice = {"index": 0, "finish_reason": row.get("finish", "stop"), "message": json.loads(row["message"])}
        row = {**row, "body": json.dumps({"id": "x", "model": "m", "choices": [choice], "usage": usage})}
    text = row["body"].replace("$ANSWER", json.dumps(answer)[1:-1])
    return Raw(row.get("status", 200), text.encode())


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row['server']}: {row['behaviour']}")
def test_what_becomes_of_a_server(row: dict[str, Any], tmp_path: Path) -> None:
    labels, notes = write_labels(tmp_path, COUNT), list[str]()
    with serving() as server:
        server.raw = lambda number, body: raw(row, server, body) if concerns(row, number, body) else None
        limits = {"backoff": 0.001, "tries": 4}
        failed: dict[str, str] = {}
        try:
            result = build(server, labels, tmp_path / "g.json", progress=Progress(note=notes.append), limits=limits)
            code, failed = (5 if result.failed else 0), dict(result.failed)
        except ServiceError as error:
            code, shown = error.exit_code, str(error)
        else:
            shown = "\n".join((*notes, *failed.values()))
            assert set(result.graph.edges) <= truth(COUNT)
    assert code == row.get("exit", 0)
    assert all(words in shown for words in row.get("shows", ())), shown
    if code == 0:
        assert set(result.graph.edges) == truth(COUNT)
        assert row["outcome"] == ("works" if len(server.requests) == 1 or row["when"] == "once" else "falls back")
    if row["outcome"] == "falls back":  # and that is remembered
        asked = len(server.requests)
        with serving() as server:
            server.raw = lambda number, body: raw(row, server, body) if concerns(row, number, body) else None
            build(server, write_labels(tmp_path, 60), tmp_path / "h.json", concurrency=1, limits=limits)
            assert len(server.requests) == asked + 2


def lines() -> list[str]:
    """The table of the page, made from the rows."""
    cells = []
    sources: dict[str, int] = {}
    for row in ROWS:
        number = sources.setdefault(row["source"], len(sources) + 1)
        outcome = f"fails, exit {row['exit']}" if "exit" in row else row["outcome"]
        outcome = ": ".join(filter(None, (outcome, row.get("how"))))
        cells.append((row["server"], f"{row['behaviour']} [{number}]", outcome))
    widths = [max(len(row[i]) for row in cells) for i in range(3)]
    table = [f"| {' | '.join(text.ljust(width) for text, width in zip(row, widths, strict=True))} |" for row in cells]
    head = ("server", "what it does [source]", "what becomes of it")
    title = f"| {' | '.join(text.ljust(width) for text, width in zip(head, widths, strict=True))} |"
    ruler = f"|{'|'.join('-' * (width + 2) for width in widths)}|"
    return [title, ruler, *table, "", *(f"[{number}] {source}" for source, number in sources.items())]


def test_the_page_has_the_table() -> None:
    page = PAGE.read_text(encoding="utf-8")
    table = "\n".join(lines())
    assert table in page, f"docs/servers.md needs this table:\n{table}"
    assert max(map(len, page.splitlines())) <= 100


def test_every_row_has_a_source() -> None:
    for row in ROWS:
        assert re.fullmatch(r"https://(github\.com/[^/]+/[^/]+/(issues|pull)/\d+|[a-z.-]+/[\w/.-]+)", row["source"])
    assert {row["server"] for row in ROWS} >= {"vLLM", "Ollama", "llama.cpp", "Mistral", "OpenRouter"}
    assert {row["outcome"] for row in ROWS} == {"works", "falls back", "fails"}
