import errno
import os
import stat
from pathlib import Path

import lesser_file_system
import pytest

from c2srt_cli.artifacts import atomic_write, flush, lacking, sync_folder


@pytest.fixture(autouse=True)
def _nothing_remembered() -> None:
    lacking()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("folders-inval", "flush folders to the disk"),
        ("folders-io", "flush folders to the disk"),
        ("folders-notsup", "flush folders to the disk"),
        ("no-fsync", "flush files to the disk or flush folders to the disk"),
        ("fsync-nosys", "flush files to the disk or flush folders to the disk"),
        ("no-modes", "set the mode of files"),
        ("modes-notsup", "set the mode of files"),
    ],
)
def test_a_file_is_written_all_the_same(tmp_path: Path, name: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").write_text("old")
    (tmp_path / "a").chmod(0o604)
    lesser_file_system.play(monkeypatch, tmp_path, name)
    for text in ("new", "newer"):
        with atomic_write(tmp_path / "a") as temporary:
            temporary.write_text(text)
    assert (tmp_path / "a").read_text() == "newer"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    line = lacking()
    assert line.startswith(f"the file system of {tmp_path} cannot {said}: ")
    assert lacking() == "", "said once"


def test_every_lack_and_what_follows_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").write_text("old")
    (tmp_path / "a").chmod(0o604)
    for name in ("no-fsync", "no-modes", "no-replacing"):
        lesser_file_system.play(monkeypatch, tmp_path, name)
    with atomic_write(tmp_path / "a"):
        pass
    assert lacking() == (
        f"the file system of {tmp_path} cannot flush files to the disk, set the mode of files, replace files or flush "
        "folders to the disk: after a power cut run the same command again, they have that of new ones, if a run is "
        "killed run it again"
    )


@pytest.mark.parametrize("error", [errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_disk_that_has_lost_a_file_says_so(tmp_path: Path, error: int, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").write_text("old")

    def fail(_: int) -> None:
        raise OSError(error, os.strerror(error))

    monkeypatch.setattr(os, "fsync", fail)
    with (tmp_path / "a").open("rb") as file, pytest.raises(OSError, match=os.strerror(error)):
        flush(file.fileno(), tmp_path)
    with pytest.raises(OSError, match=os.strerror(error)), atomic_write(tmp_path / "a"):
        pass
    assert (tmp_path / "a").read_text() == "old"
    assert lacking() == ""


def test_a_folder_that_is_not_opened_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lesser_file_system.play(monkeypatch, tmp_path, "folders-not-opened")
    sync_folder(tmp_path)
    assert lacking() == ""


def test_a_mode_that_is_right_is_not_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with atomic_write(tmp_path / "a"):
        pass
    lesser_file_system.play(monkeypatch, tmp_path, "no-modes")
    with atomic_write(tmp_path / "a"):
        pass
    assert lacking() == ""


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_a_new_file_has_the_mode_that_any_would(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        (tmp_path / "plain").touch()
        with atomic_write(tmp_path / "ours"):
            pass
    finally:
        os.umask(before)
    modes = {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert modes == {0o666 & ~umask}
