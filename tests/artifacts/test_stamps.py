import hashlib
import os
import time
from pathlib import Path

import pytest

from c2srt_cli.artifacts import Stamp, file_sha256, file_stamp, still_holds

OLD, NEW = b"old bytes", b"new bytes"


@pytest.fixture
def photograph(tmp_path: Path) -> Path:
    path = tmp_path / "a.jpg"
    path.write_bytes(OLD)
    return path


def read(path: Path) -> Stamp:
    return file_stamp(path)._replace(sha256=hashlib.sha256(path.read_bytes()).hexdigest())


def later(path: Path) -> None:
    """Let the clock that files are stamped with go on."""
    before = path.stat().st_ctime_ns
    while path.stat().st_ctime_ns == before:
        time.sleep(0.001)
        path.touch()


def test_what_was_not_touched_holds_without_being_read(photograph: Path) -> None:
    then = read(photograph)._replace(sha256="of other bytes")
    assert still_holds(photograph, file_stamp(photograph), then) == then


def test_what_was_touched_or_copied_holds_and_is_stamped_anew(photograph: Path) -> None:
    then = read(photograph)
    os.utime(photograph, ns=(1, 1))
    now = file_stamp(photograph)
    assert still_holds(photograph, now, then) == Stamp(9, 1, now.ctime_ns, then.sha256)
    assert still_holds(photograph, now, then._replace(sha256="")) is None


def test_same_size_and_time_does_not_hide_other_bytes(photograph: Path) -> None:
    """What exiftool -P and the like leave."""
    then = read(photograph)
    later(photograph)
    photograph.write_bytes(NEW)
    os.utime(photograph, ns=(then.mtime_ns, then.mtime_ns))
    now = file_stamp(photograph)
    assert now[:2] == then[:2]
    assert still_holds(photograph, now, then) is None


def test_another_size_is_another_file(photograph: Path) -> None:
    then = read(photograph)._replace(size=8)
    assert still_holds(photograph, file_stamp(photograph), then) is None


def test_a_record_without_ctime_is_compared_by_bytes(photograph: Path) -> None:
    then = read(photograph)._replace(ctime_ns=-1)
    assert still_holds(photograph, file_stamp(photograph), then) == read(photograph)
    photograph.write_bytes(NEW)
    assert still_holds(photograph, file_stamp(photograph), then) is None


def test_what_is_gone_has_changed(photograph: Path) -> None:
    then = read(photograph)
    photograph.unlink()
    now = file_stamp(photograph)
    assert now == (-1, -1, -1, "")
    assert still_holds(photograph, now, then) is None
    assert still_holds(photograph, now, now) is None


def test_known_bytes_decide_alone(photograph: Path) -> None:
    then = read(photograph)
    assert still_holds(photograph, Stamp(9, 1, -1, then.sha256), then) == Stamp(9, 1, -1, then.sha256)
    assert still_holds(photograph, then._replace(sha256="other"), then) is None


def test_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    assert file_sha256(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    os.utime(tmp_path / "a", ns=(5, 7))
    assert file_stamp(tmp_path / "a")[:2] == (3, 7)
    assert file_stamp(tmp_path / "b") == (-1, -1, -1, "")
