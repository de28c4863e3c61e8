"""Devices, pipes, descriptors and links to them: written to, or refused, never replaced by a file."""

import os
import socket
import stat
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from c2srt_cli.artifacts import atomic_write, is_stream, open_stream, output_file
from c2srt_cli.errors import InputError


def write(path: Path, text: str = "content") -> None:
    with output_file(path) as temporary:
        temporary.write_text(text)


@contextmanager
def reader(pipe: Path) -> Iterator[list[bytes]]:
    """Somebody who reads a pipe to its end; what they have read is there after the block."""
    read: list[bytes] = []
    descriptor = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    os.set_blocking(descriptor, True)

    def go() -> None:
        with os.fdopen(descriptor, "rb") as file:
            read.append(file.read())

    thread = threading.Thread(target=go)
    try:
        yield read
    finally:
        thread.start()
        thread.join()


def test_what_is_a_stream(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("pipe")
    (tmp_path / "out").symlink_to("/dev/stdout")
    (tmp_path / "null").symlink_to("/dev/null")
    (tmp_path / "nowhere").symlink_to("missing")
    streams = {"pipe", "link", "out", "null"}
    names = {path.name for path in tmp_path.iterdir()}
    assert {name for name in (*names, "missing") if is_stream(tmp_path / name)} == streams
    assert is_stream(Path("/dev/null"))
    assert is_stream(Path("/dev/fd/1"))
    assert is_stream(Path("/proc/self/fd/2"))
    assert not is_stream(tmp_path)


@pytest.mark.parametrize("name", ["pipe", "link"])
def test_a_pipe_is_written_to(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("pipe")
    with reader(tmp_path / "pipe") as read:
        write(tmp_path / name)
    assert read == [b"content"]
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)
    assert (tmp_path / "link").is_symlink()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "pipe"]


def test_a_pipe_without_a_reader_is_no_place_to_wait(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="a pipe that nobody reads"):
        write(tmp_path / "pipe")


def test_a_reader_that_goes_is_no_fault_of_a_disk(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    read = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    with pytest.raises(BrokenPipeError), open_stream(tmp_path / "pipe") as stream:
        os.close(read)
        stream.write(bytes(1 << 20))


@pytest.mark.parametrize("form", ["/dev/fd/{}", "/proc/self/fd/{}", "link"])
def test_an_open_descriptor_is_written_to_where_it_stands(tmp_path: Path, form: str) -> None:
    with (tmp_path / "file").open("w+b") as file:
        file.write(b"before, ")
        file.flush()
        path = Path(form.format(file.fileno()))
        if form == "link":
            path = tmp_path / "link"
            path.symlink_to(f"/proc/self/fd/{file.fileno()}")
        inode = os.fstat(file.fileno()).st_ino
        write(path)
        file.write(b", after")
    assert (tmp_path / "file").read_bytes() == b"before, content, after"
    assert (tmp_path / "file").stat().st_ino == inode


def test_a_descriptor_that_is_not_open(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be written"):
        write(Path("/dev/fd/987"))
    assert list(tmp_path.iterdir()) == []


def test_devices_stay(tmp_path: Path) -> None:
    before = Path("/dev/null").stat()
    (tmp_path / "null").symlink_to("/dev/null")
    for path in (Path("/dev/null"), tmp_path / "null"):
        write(path)
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)
    assert Path("/dev/null").stat().st_ino == before.st_ino
    assert (tmp_path / "null").is_symlink()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no device that is always full")
def test_a_full_device() -> None:
    with pytest.raises(InputError, match="No space left") as full:
        write(Path("/dev/full"))
    assert "make room" in (full.value.hint or "")


def test_a_socket_is_refused() -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as folder, socket.socket(socket.AF_UNIX) as server:  # names are short
        server.bind(path := f"{folder}/socket")
        assert is_stream(Path(path))
        with pytest.raises(InputError, match="a socket"):
            write(Path(path))
        assert stat.S_ISSOCK(Path(path).stat().st_mode)


def test_nothing_is_written_where_the_content_fails(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with reader(tmp_path / "pipe") as read:
        with pytest.raises(ZeroDivisionError), atomic_write(tmp_path / "pipe") as temporary:
            temporary.write_text("half")
            raise ZeroDivisionError
        with open_stream(tmp_path / "pipe"):
            pass
    assert read == [b""]
