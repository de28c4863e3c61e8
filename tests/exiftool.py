"""ExifTool as a second opinion on metadata: one process for all tests, since each start takes a quarter of a second."""

import atexit
import json
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import IO, Any

import pytest

needs_exiftool = pytest.mark.skipif(
    shutil.which("exiftool") is None, reason="exiftool is not installed (Debian: libimage-exiftool-perl)"
)


@cache
def _process() -> "subprocess.Popen[str]":
    process = subprocess.Popen(
        ["exiftool", "-stay_open", "True", "-@", "-"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
    )

    def stop() -> None:
        with process:
            _pipe(process.stdin).write("-stay_open\nFalse\n")

    atexit.register(stop)
    return process


def _pipe(stream: IO[str] | None) -> IO[str]:
    assert stream is not None
    return stream


def exiftool(*arguments: str | Path) -> str:
    """What exiftool prints."""
    process = _process()
    _pipe(process.stdin).write("\n".join(map(str, [*arguments, "-execute"])) + "\n")
    _pipe(process.stdin).flush()
    lines = []
    while (line := _pipe(process.stdout).readline()) not in ("{ready}\n", ""):
        lines.append(line)
    return "".join(lines)


def read_tags(path: Path) -> dict[str, Any]:
    """What exiftool reads, lists as lists, without what belongs to the file system."""
    found = json.loads(exiftool("-j", "-G1", "-struct", "-a", path))[0]
    return {key: value for key, value in found.items() if not key.startswith(("System:", "ExifTool:", "SourceFile"))}


def write_tags(path: Path, *arguments: str) -> None:
    """Let exiftool change a file, or make one."""
    answer = exiftool("-m", "-overwrite_original", *arguments, path)
    assert " 1 image files updated" in f" {answer.strip()}" or "1 image files created" in answer, answer
