from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from photos import file_limit

from c2srt_cli.errors import InputError
from c2srt_cli.tagging.journal import Journal, begun_options
from c2srt_cli.tagging.record import FailedImage, Tag, TaggedImage

LABELS = ("cat", 'dog "quoted"\n', "写真 📷")
OPTIONS: dict[str, Any] = {"runtime": {"batch": 2}, "templates": ("a {}",), "threshold": None, "slope": 0.1}
Result = TaggedImage | FailedImage


def single(value: float) -> float:
    return float(np.float32(value))


def results() -> list[list[tuple[Result, str]]]:
    """Batches with every kind of result."""
    tags = tuple(Tag(label, single(0.1 * i - 0.05), 1 / 3, single(1 / 7)) for i, label in enumerate(LABELS))
    return [
        [(TaggedImage("a.jpg", tags), "1:2"), (FailedImage("b/é 📷.jpg", "corrupt", 'a "detail"\n'), "")],
        [(TaggedImage('commit"}\n', ()), "3:4")],
        [
            (TaggedImage("c.jpg", (Tag("cat", -0.0, None, None),), (single(1e-30), single(-1.0), single(0.3))), "5:6"),
            (TaggedImage("a.jpg", tags[:1]), "7:8"),
        ],
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


def committed(batches: int) -> dict[str, tuple[Result, str]]:
    return {result.path: (result, stamp) for batch in results()[:batches] for result, stamp in batch}


def recovered(path: Path) -> dict[str, tuple[Result, str]]:
    with Journal(path, OPTIONS, LABELS) as journal:
        names = list(journal.entries)
        return {
            name: (result, journal.entries[name].stamp) for name, result in zip(names, journal.read(names), strict=True)
        }


def test_round_trip(tmp_path: Path) -> None:
    write(tmp_path / "j")
    assert recovered(tmp_path / "j") == committed(3)
    with Journal(tmp_path / "j", OPTIONS, LABELS) as journal:
        names = ["c.jpg", "a.jpg", "c.jpg"]
        assert list(journal.read(names)) == [committed(3)[name][0] for name in names]


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


def test_other_options_are_named(tmp_path: Path) -> None:
    write(tmp_path / "j")
    before = (tmp_path / "j").read_bytes()
    with pytest.raises(InputError) as refused:
        Journal(tmp_path / "j", OPTIONS | {"runtime": {"batch": 3}, "slope": 0.2}, LABELS)
    assert refused.value.problems == ("runtime.batch: 2 there, 3 now", "slope: 0.1 there, 0.2 now")
    assert (tmp_path / "j").read_bytes() == before


@pytest.mark.parametrize("content", [b"a file of the user\n", b"{}\n", b"[1]\n", b'{"journal": 99, "options": {}}\n'])
def test_what_is_no_journal_is_left_alone(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "j").write_bytes(content)
    assert begun_options(tmp_path / "j") is None
    with pytest.raises(InputError, match="not a journal"):
        Journal(tmp_path / "j", OPTIONS, LABELS)
    assert (tmp_path / "j").read_bytes() == content


def test_begun_options(tmp_path: Path) -> None:
    assert begun_options(tmp_path / "j") is None
    write(tmp_path / "j")
    assert begun_options(tmp_path / "j") == OPTIONS | {"templates": ["a {}"]}
    (tmp_path / "j").write_bytes((tmp_path / "j").read_bytes()[:20])
    assert begun_options(tmp_path / "j") is None


def test_a_full_disk_loses_the_batch_alone(tmp_path: Path) -> None:
    sizes = write(tmp_path / "whole")
    with file_limit(sizes[1] + 10), pytest.raises(OSError, match="large"):
        write(tmp_path / "j")
    assert recovered(tmp_path / "j") == committed(1)
