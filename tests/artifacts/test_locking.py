import subprocess
import sys
from pathlib import Path

import lesser_file_system
import pytest

from c2srt_cli.artifacts import lacking, lock
from c2srt_cli.errors import InputError, UsageError

HOLD = (
    "import sys, pathlib; from c2srt_cli.artifacts import lock\n"
    "with lock(pathlib.Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"
)


def test_one_at_a_time_until_its_holder_dies(tmp_path: Path) -> None:
    path = tmp_path / "new" / ".lock"
    command = [sys.executable, "-c", HOLD, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(UsageError, match="another c2srt is writing here"), lock(path):
            pass
        other.kill()
    with lock(path):
        pass
    assert list(path.parent.iterdir()) == []


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    with pytest.raises(InputError, match="cannot be written"), lock(tmp_path / "a/b/.lock"):
        pass


@pytest.mark.parametrize("name", [name for name in lesser_file_system.FAULTS if "lock" in name])
def test_where_there_are_no_locks_a_file_stands_for_one(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lacking()
    monkeypatch.setattr("c2srt_cli.artifacts.locking.LEASE", 1.0)
    lesser_file_system.play(monkeypatch, tmp_path, name)
    path = tmp_path / ".lock"
    with lock(path):
        assert {entry.name.split(".")[2] for entry in tmp_path.iterdir() if "lease" in entry.name} == {"lease"}
        with pytest.raises(UsageError, match="another c2srt is writing here"), lock(path):
            pass
    assert list(tmp_path.iterdir()) == []
    with lock(path):
        pass
    assert list(tmp_path.iterdir()) == []
    assert lacking() == f"the file system of {tmp_path} cannot lock files: start no second c2srt there"


def test_a_fault_that_is_no_lack_of_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import errno
    import fcntl

    def refuse(*_: object) -> None:
        raise OSError(errno.EBADF, "Bad file descriptor")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(InputError, match="Bad file descriptor"), lock(tmp_path / ".lock"):
        pass
