"""The examples of docs/python.md, run in their order as a reader would."""

import re
from collections.abc import Iterator
from pathlib import Path
from shutil import copyfile

import pytest
from tiny_runs import write_dense_graph, write_embedded

from c2srt_cli.demo import demo_photographs

PAGE = Path(__file__).parent.parent / "docs" / "python.md"


def examples() -> Iterator[tuple[str, str]]:
    """Code, and what stands behind it as its output."""
    for match in re.finditer(r"```python\n(.*?)```\n(?:\n```text\n(.*?)```)?", PAGE.read_text(encoding="utf-8"), re.S):
        yield match[1], match[2] or ""


def test_every_example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "photos").mkdir()
    photographs = {path.name: path for path in demo_photographs()}
    for name, there in (("cup.png", "coffee.png"), ("cat.png", "chelsea.png")):
        copyfile(photographs[there], tmp_path / "photos" / name)
    made = write_embedded(tmp_path / "tiny", photos=12, train=8, labels=5, seen=4)
    (tmp_path / "tiny" / "a").rename(tmp_path / "A")
    write_dense_graph(tmp_path / "G.json", made.labels)
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    found = list(examples())
    assert len(found) >= 5
    for code, expected in found:
        exec(compile(code, str(PAGE), "exec"), names)
        printed = capsys.readouterr().out
        if expected:
            assert printed == expected
    assert printed.split() == ["ZSL", "4", "True", "GZSL", "4", "True"]
