"""Files that others write while we do."""

import fcntl
import threading
from pathlib import Path

import pytest

from c2srt_cli.tagging.writers import shared_file
from c2srt_cli.tagging.writers.shared_file import update


def with_ours(old: bytes) -> bytes:
    return old if b"ours" in old else old + b"ours\n"


@pytest.mark.parametrize("there", [True, False])
def test_what_another_program_saves_meanwhile_is_kept(tmp_path: Path, *, there: bool) -> None:
    path = tmp_path / "a"
    if there:
        path.write_bytes(b"old\n")
    calls = []

    def change(old: bytes) -> bytes:
        calls.append(old)
        if len(calls) == 1:  # between our reading and our renaming
            path.write_bytes(old + b"theirs\n")
        return with_ours(old)

    assert update(path, change)
    assert path.read_bytes() == (b"old\n" if there else b"") + b"theirs\nours\n"
    assert len(calls) == 2
    assert [entry.name for entry in tmp_path.iterdir()] == ["a"]


def test_a_file_taken_away_meanwhile_is_not_brought_back_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"old\n")

    def change(old: bytes) -> bytes:
        if old:
            path.unlink()
        return with_ours(old)

    assert update(path, change)
    assert path.read_bytes() == b"ours\n"


def test_a_file_that_is_to_go_stays_when_somebody_has_saved_it(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"ours\n")

    def change(old: bytes) -> bytes:
        if old == b"ours\n":
            path.write_bytes(b"ours\ntheirs\n")
        return old.replace(b"ours\n", b"")

    assert update(path, change)
    assert path.read_bytes() == b"theirs\n"


def test_a_file_that_is_written_all_the_time_is_given_up(tmp_path: Path) -> None:
    path = tmp_path / "a"
    count = 0

    def change(old: bytes) -> bytes:
        nonlocal count
        count += 1
        path.write_bytes(b"%d" % count)
        return old + b"ours"

    with pytest.raises(OSError, match="keep writing it"):
        update(path, change)
    assert path.read_bytes() == b"%d" % count
    assert list(tmp_path.iterdir()) == [path]


def test_two_that_write_at_once_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.touch()

    def append(name: str) -> None:
        for line in (f"{name}{i}\n".encode() for i in range(40)):
            update(path, lambda old, line=line: old + line)  # type: ignore[misc]

    threads = [threading.Thread(target=append, args=(name,)) for name in "xyz"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(path.read_text().split()) == sorted(f"{name}{i}" for name in "xyz" for i in range(40))


def test_a_file_that_another_program_keeps_locked_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_file, "_PAUSE", 0)
    path = tmp_path / "a"
    path.write_bytes(b"old")
    with path.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(OSError, match="locked"):
            update(path, with_ours)
    assert path.read_bytes() == b"old"
    assert update(path, with_ours)


def test_a_lock_on_what_is_no_longer_the_file_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever had it locked has put another in its place, which a third one has locked by now."""
    monkeypatch.setattr(shared_file, "_PAUSE", 0)
    path, new = tmp_path / "a", tmp_path / "b"
    path.write_bytes(b"old")
    new.write_bytes(b"new")
    lock = fcntl.flock
    with new.open("rb") as file:
        lock(file, fcntl.LOCK_EX)

        def replaced_meanwhile(descriptor: int, operation: int) -> None:
            if new.exists():
                new.replace(path)
            lock(descriptor, operation)

        monkeypatch.setattr(fcntl, "flock", replaced_meanwhile)
        with pytest.raises(OSError, match="locked"):
            update(path, with_ours)
    assert path.read_bytes() == b"new"


def test_what_a_killed_run_has_left_beside_the_file_of_a_link_goes(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "link").symlink_to("store/a")
    (tmp_path / "store/a").write_bytes(b"old\n")
    for name in (".a.01234567.c2srt-tmp", ".b.01234567.c2srt-tmp"):
        (tmp_path / "store" / name).touch()
    assert update(tmp_path / "link", with_ours)
    assert sorted(entry.name for entry in (tmp_path / "store").iterdir()) == [".b.01234567.c2srt-tmp", "a"]


def test_a_file_that_would_stay_is_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "a"
    assert not update(path, lambda old: old)
    assert not path.exists()
    assert update(path, lambda old: old, keep_empty=True)
    before = path.stat()
    assert not update(path, lambda old: old, keep_empty=True)
    assert path.stat() == before
