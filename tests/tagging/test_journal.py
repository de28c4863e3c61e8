import base64
import json
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from photos import file_limit

from c2srt_cli.artifacts import Stamp
from c2srt_cli.errors import InputError
from c2srt_cli.tagging.journal import Header, Journal, read_header
from c2srt_cli.tagging.record import FailedImage, Tag, TaggedImage
from c2srt_cli.tagging.sources import Item

LABELS = ("cat", 'dog "quoted"\n', "写真 📷")
OPTIONS: dict[str, Any] = {
    "root": "/photos",
    "runtime": {"batch": 2, "dtype": "float32"},
    "templates": ("a {}",),
    "threshold": None,
    "slope": 0.1,
}
Result = TaggedImage | FailedImage


def single(value: float) -> float:
    return float(np.float32(value))


def results() -> list[list[tuple[Item, Result]]]:
    """Batches with every kind of result."""
    tags = tuple(Tag(label, single(0.1 * i - 0.05), 1 / 3, single(1 / 7)) for i, label in enumerate(LABELS))
    batches: list[list[Result]] = [
        [TaggedImage("a.jpg", tags), FailedImage("b/é 📷.jpg", "corrupt", 'a "detail"\n')],
        [TaggedImage('commit"}\n', ())],
        [
            TaggedImage("c.jpg", (Tag("cat", -0.0, None, None),), (single(1e-30), single(-1.0), single(0.3))),
            TaggedImage("a.jpg", tags[:1]),
        ],
    ]
    return [
        [(Item(result.path, Stamp(number, 10**18 + place, -1, "5a" * place)), result) for place, result in enumerate(b)]
        for number, b in enumerate(batches)
    ]


def write(path: Path) -> list[int]:
    """Write the batches; the sizes of the file after each."""
    sizes = []
    with Journal(path, OPTIONS, LABELS) as journal:
        sizes.append(path.stat().st_size)
        for batch in results():
            journal.append(batch)
            sizes.append(path.stat().st_size)
    return sizes


def committed(batches: int) -> dict[str, tuple[Result, Stamp]]:
    return {item.name: (result, item.stamp) for batch in results()[:batches] for item, result in batch}


def recovered(path: Path) -> dict[str, tuple[Result, Stamp]]:
    with Journal(path, OPTIONS, LABELS) as journal:
        return {name: (journal[name], entry.stamp) for name, entry in journal.entries.items()}


def test_round_trip(tmp_path: Path) -> None:
    write(tmp_path / "j")
    assert recovered(tmp_path / "j") == committed(3)
    with Journal(tmp_path / "j", OPTIONS, LABELS) as journal:
        names = ["c.jpg", "a.jpg", "c.jpg"]
        assert [journal[name] for name in names] == [committed(3)[name][0] for name in names]


def test_cut_anywhere_keeps_what_was_committed(tmp_path: Path) -> None:
    sizes = write(tmp_path / "whole")
    whole = (tmp_path / "whole").read_bytes()
    path = tmp_path / "cut"
    for size in range(len(whole) + 1):
        path.write_bytes(whole[:size])
        batches = max((n for n, end in enumerate(sizes) if end <= size), default=0)
        assert recovered(path) == committed(batches)
        assert path.stat().st_size == (sizes[batches] if size >= sizes[0] else sizes[0])
        if size % 13 == 0:
            with Journal(path, OPTIONS, LABELS) as journal:
                for batch in results()[batches:]:
                    journal.append(batch)
            assert path.read_bytes() == whole


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cut=st.floats(0, 1), tail=st.binary(max_size=200))
def test_garbage_behind_the_cut_is_never_believed(tmp_path: Path, cut: float, tail: bytes) -> None:
    """As file systems leave it after a power cut: zeros, old blocks."""
    path = tmp_path / "j"
    path.unlink(missing_ok=True)
    sizes = write(path)
    size = sizes[0] + int(cut * (sizes[-1] - sizes[0]))
    path.write_bytes(path.read_bytes()[:size] + tail)
    batches = max(n for n, end in enumerate(sizes) if end <= size)
    found = recovered(path)
    # a tail of random bytes may happen to complete the line that was cut off
    assert found in (committed(batches), committed(min(batches + 1, 3)))


@pytest.mark.parametrize(
    "line", [b"{}", b"[]", b"3", b'{"commit": 1}', b'{"commit": 2}', b'{"commit": "0"}', b'{"stamp": ""}', b"\0\0"]
)
def test_lines_that_nobody_wrote_end_it(tmp_path: Path, line: bytes) -> None:
    sizes = write(tmp_path / "j")
    whole = (tmp_path / "j").read_bytes()
    (tmp_path / "j").write_bytes(whole[: sizes[1]] + line + b"\n" + whole[sizes[1] :])
    assert recovered(tmp_path / "j") == committed(1)


def packed(*scores: float) -> str:
    return base64.b64encode(np.array(scores, "<f4").tobytes()).decode()


@pytest.mark.parametrize(
    "change",
    [
        {"tags": [[3, 0.5, None, None]]},
        {"tags": [[-1, 0.5, None, None]]},
        {"tags": [[0, 0.5, None, None], [0, 0.25, None, None]]},
        {"tags": [["cat", 0.5, None, None]]},
        {"tags": None},
        {"scores": packed(0.5, 1.0)},
        {"scores": packed(0.5, 1.0, float("nan"))},
        {"scores": packed(0.5, 1.0, float("-inf"))},
        {"scores": None},
        {"scores": "?"},
        {"explanation": {"labels": []}},
        {"stamp": [1, 2]},
    ],
)
def test_a_result_that_this_run_cannot_have_had_ends_it(tmp_path: Path, change: dict[str, Any]) -> None:
    options = {**OPTIONS, "all_scores": True, "explain": False}
    good = TaggedImage("a.jpg", (Tag("cat", 0.5, None, None),), (0.5, 0.25, -1.0))
    with Journal(tmp_path / "j", options, LABELS) as journal:
        for name in ("a.jpg", "b.jpg"):
            journal.append([(Item(name, Stamp(1, 2, 3, "5a" * 32)), replace(good, path=name))])
    lines = (tmp_path / "j").read_bytes().splitlines()
    lines[3] = json.dumps(json.loads(lines[3]) | change).encode()
    (tmp_path / "j").write_bytes(b"\n".join(lines) + b"\n")
    with Journal(tmp_path / "j", options, LABELS) as journal:
        assert list(journal.entries) == ["a.jpg"]
        assert journal["a.jpg"] == good


def test_other_options_are_named(tmp_path: Path) -> None:
    write(tmp_path / "j")
    before = (tmp_path / "j").read_bytes()
    with pytest.raises(InputError) as refused:
        Journal(tmp_path / "j", OPTIONS | {"runtime": {"dtype": "bfloat16"}, "slope": 0.2}, LABELS)
    assert refused.value.problems == ("precision: 'float32' there, 'bfloat16' now", "slope: 0.1 there, 0.2 now")
    assert (tmp_path / "j").read_bytes() == before


@pytest.mark.parametrize("content", [b"a file of the user\n", b"{}\n", b"[1]\n", b'{"journal": 99, "options": {}}\n'])
def test_what_is_no_journal_is_left_alone(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "j").write_bytes(content)
    assert read_header(tmp_path / "j") is None
    with pytest.raises(InputError, match="not a journal"):
        Journal(tmp_path / "j", OPTIONS, LABELS)
    assert (tmp_path / "j").read_bytes() == content


def test_another_machine_or_library_goes_on(tmp_path: Path) -> None:
    write(tmp_path / "j")
    elsewhere = OPTIONS | {"root": "/mnt/photos", "torch": "9.0", "runtime": {"batch": 3, "dtype": "float32"}}
    with Journal(tmp_path / "j", elsewhere, LABELS) as journal:
        assert journal.root == Path("/photos")
        assert journal.entries.keys() == committed(3).keys()


def test_header(tmp_path: Path) -> None:
    assert read_header(tmp_path / "j") is None
    write(tmp_path / "j")
    assert read_header(tmp_path / "j") == Header(OPTIONS | {"templates": ["a {}"]}, fresh=False)
    (tmp_path / "j").write_bytes((tmp_path / "j").read_bytes()[:20])
    assert read_header(tmp_path / "j") is None
    Journal(tmp_path / "j", OPTIONS, LABELS, fresh=True).__exit__(None, None, None)
    assert read_header(tmp_path / "j") == Header(OPTIONS | {"templates": ["a {}"]}, fresh=True)


def test_a_full_disk_loses_the_batch_alone(tmp_path: Path) -> None:
    sizes = write(tmp_path / "whole")
    with file_limit(sizes[1] + 10), pytest.raises(OSError, match="large"):
        write(tmp_path / "j")
    assert recovered(tmp_path / "j") == committed(1)


def test_what_reaches_the_disk_when(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every batch is in the file at once, for whoever kills the process; on the disk after a second at the latest."""
    now, synced = [0.0], list[float]()
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setattr(os, "fsync", lambda _: synced.append(now[0]))
    with Journal(tmp_path / "j", OPTIONS, LABELS) as made:
        begun = len(synced)
        for now[0] in (0.5, 0.999, 1.0, 1.5, 2.1):
            made.append(results()[0])
            assert (tmp_path / "j").read_bytes().endswith(b'{"commit": 2}\n')
        assert synced[begun:] == [1.0, 2.1]
