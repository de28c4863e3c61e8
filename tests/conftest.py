"""What all tests share: a home of their own, the tiny model, and the command line."""

import gc
import io
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from buckets import forget
from command_line import Done, Run
from tiny import write_tiny_model

from c2srt_cli.artifacts import buckets
from c2srt_cli.cli import main


@pytest.fixture(scope="session", autouse=True)
def _home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Nothing is read from or written to the user's own cache folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("C2SRT_HOME", str(tmp_path_factory.mktemp("home")))
        yield


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Name of a tiny model with random weights."""
    return write_tiny_model(tmp_path_factory.mktemp("tiny") / "model")


@pytest.fixture
def tiny(tiny_model: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The tiny model's name, in a test that runs on one thread: a model this small loses time on more."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield tiny_model
    torch.set_num_threads(before)


@pytest.fixture
def memory() -> Iterator[Any]:
    """The file system of ``memory://``, empty: a bucket without a server."""
    import fsspec

    system = fsspec.filesystem("memory")
    forget()
    buckets.PROTOCOLS.append("memory")
    yield system
    buckets.PROTOCOLS.remove("memory")
    system.store.clear()
    system.pseudo_dirs[:] = [""]
    forget()


def pytest_collection_finish() -> None:
    """What is imported by now stays: no full collection need look at half a million objects again."""
    gc.freeze()


def pytest_sessionfinish() -> None:
    gc.unfreeze()


@pytest.fixture
def no_collection() -> Iterator[None]:
    """Nothing is freed but what nobody refers to any more."""
    gc.disable()
    yield
    gc.enable()


@pytest.fixture
def c2srt(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command line in this process, through the function that the installed command calls."""
    monkeypatch.setenv("C2SRT_DEBUG", "")

    def run(*arguments: object, stdin: bytes = b"") -> Done:
        monkeypatch.setattr(sys, "argv", ["c2srt", *map(str, arguments)])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        capsys.readouterr()
        code: int | str | None = 0
        try:
            main()
        except SystemExit as end:
            code = end.code
        captured = capsys.readouterr()
        assert isinstance(code, int | None)
        return Done(code or 0, captured.out, captured.err)

    return run
