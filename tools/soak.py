"""Kill every command that writes, at moments spread over its work, run it again, and compare what that leaves.

``python tools/soak.py [--kills 4] [--photos 300] [--only embed,tag-xmp]``: embed, tag in every format, train and
build-graph, on generated photographs with a tiny random model and a language model of its own. A killed and repeated
run must leave what an unbroken one leaves: the same files and folders, temporary ones and locks included, with the
same bytes. Exits with 1 where one does not.
"""

import argparse
import multiprocessing
import os
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
#: What the server of processes has imported before it forks: a command starts in no time.
PRELOAD = ["open_clip", "openai", "pyarrow.parquet", "torch_geometric.data", "c2srt_cli.cli", "c2srt_cli.tagging.tag"]
PRELOAD += ["c2srt_cli.training.prepare", "c2srt_cli.graph.build"]
#: Seconds that the disk takes for a flush: kills are to fall into the writing of files too.
FLUSH = 0.02
#: Labels of the graph, and seconds that its language model takes for a request.
ASKED, THINKS = 60, 0.02


@dataclass
class Soak:
    """Runs of one command, broken and unbroken, in one folder.

    Attributes:
        name: Of the command.
        folder: It holds the inputs, and whatever a run leaves is taken out of it before the next one.
        arguments: What follows ``c2srt``.
        start: Starts a function in a process of its own.
        random: Decides when it is killed.
        inputs: What is there before any run.
        expected: What an unbroken run leaves.
        seconds: How long that takes.
        failures: Kills after which something differed.
    """

    name: str
    folder: Path
    arguments: Sequence[str]
    start: Callable[..., BaseProcess]
    random: random.Random
    inputs: frozenset[str] = frozenset()
    expected: dict[str, bytes | None] = field(default_factory=dict)
    seconds: float = 0.0
    failures: int = 0

    def run(self, kills: int) -> None:
        """Two unbroken runs, which must be equal, then ``kills`` broken and repeated ones."""
        self.inputs = frozenset(listing(self.folder))
        self._finish()
        self.expected = self._left()
        self._clear()
        began = time.monotonic()
        self._finish()
        self.seconds = time.monotonic() - began
        self._compare(f"{self.name}: an unbroken run")
        print(f"{self.name}: it takes {self.seconds:.1f} s and leaves {len(self.expected)} files", flush=True)
        for number in range(kills):
            self._clear()
            self._kill((number + self.random.random()) / kills, f"{self.name} {number + 1}")

    def _kill(self, moment: float, called: str) -> None:
        """Kill a run at a share of its time, repeat it, and compare."""
        while True:
            process = self._process()
            process.join(moment * self.seconds)
            if process.is_alive():
                break
            self._clear()
            moment *= 0.9  # this one was quicker than the first
        process.kill()
        process.join()
        there = len(self._left())
        self._finish()
        self._compare(f"{called}: killed at {moment:.0%} with {there} files there, and repeated")

    def _compare(self, what: str) -> None:
        found, expected = self._left(), self.expected
        differing = sorted(name for name in found.keys() | expected if found.get(name, 0) != expected.get(name, 0))
        self.failures += bool(differing)
        print(f"{what}: {f'DIFFERS: {differing}' if differing else 'identical'}", flush=True)

    def _process(self) -> BaseProcess:
        return self.start(target=command, args=(self.arguments, str(self.folder.with_suffix(".log"))))

    def _finish(self) -> None:
        process = self._process()
        process.join()
        if process.exitcode:
            log = self.folder.with_suffix(".log").read_text()[-2000:]
            raise SystemExit(f"{self.name} ended with {process.exitcode}:\n{log}")

    def _left(self) -> dict[str, bytes | None]:
        return {name: content for name, content in listing(self.folder).items() if name not in self.inputs}

    def _clear(self) -> None:
        for name in self._left():
            path = self.folder / name
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)


def listing(folder: Path) -> dict[str, bytes | None]:
    """Every file and folder below a folder; of files their bytes."""
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


def command(arguments: Sequence[str], log: str) -> None:
    """Run a command line in this process."""
    from c2srt_cli.cli import main

    with open(log, "ab") as file:  # noqa: PTH123
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    flush = os.fsync

    def slow(fd: Any) -> None:
        time.sleep(FLUSH)
        flush(fd)

    os.fsync = slow
    sys.argv = ["c2srt", *arguments]
    main()


def starter() -> Callable[..., BaseProcess]:
    """What starts processes, each forked from one that has imported all."""
    context: Any = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOAD)

    def start(**what: Any) -> BaseProcess:
        process: BaseProcess = context.Process(**what, daemon=True)
        process.start()
        return process

    return start


@contextmanager
def commands(folder: Path, photos: int) -> Iterator[dict[str, Sequence[str]]]:
    """The commands under test by name, each with its inputs in a folder of that name."""
    from llm_build import write_labels
    from llm_server import serving
    from photos import write_photos
    from tiny import write_tiny_model
    from tiny_runs import write_with_graph

    model = write_tiny_model(folder / "model")
    machine = ["--backbone", model, "--precision", "float32", "--batch-size", "2", "--workers", "1", "--allow-failures"]
    found: dict[str, Sequence[str]] = {}

    def photographs(name: str, count: int = photos // 6) -> list[str]:
        """Photographs and labels of a command, as arguments."""
        own = folder / name
        write_photos(own / "photos", count, suffix=".jpg")
        (own / "photos" / "p0001.jpg").write_bytes(b"no photograph")
        return [str(own / "photos"), "--labels", str(write_labels(own, 50))]

    found["embed"] = ["embed", *photographs("embed", photos), "--out", str(folder / "embed/e"), *machine]
    for form in ("jsonl", "csv", "excel", "parquet", "txt", "xmp"):
        name = f"tag-{form}"
        out = [] if form in ("txt", "xmp") else ["--out", str(folder / name / f"tags.{form}")]
        found[name] = ["tag", *photographs(name), *out, "--format", form, *machine]
    given = write_with_graph(folder / "train", photos=40, train=32, labels=24, seen=18)
    training = ["training.epochs=4", "training.batch_size=8", "training.validation=0.2", "training.lr_new=0.01"]
    options = [part for option in training for part in ("--set", option)]
    inputs = ["-e", str(given / "e"), "-a", str(given / "a"), "--graph", str(given / "graph.json")]
    found["train"] = ["train", *inputs, "--out", str(given / "run"), *options]
    with serving() as server:
        # a request at a time: replies stand in the order in which they came
        server.raw = lambda _number, _body: time.sleep(THINKS)
        asked = folder / "build-graph"
        asked.mkdir()
        build = ["build-graph", "--labels", str(write_labels(asked, ASKED)), "--out", str(asked / "graph.json")]
        found["build-graph"] = [*build, "--base-url", server.url, "--concurrency", "1", "--model", "gpt-4o"]
        yield found


def soak(names: Sequence[str], *, kills: int, photos: int, jobs: int, seed: int) -> int:
    """Soak some commands, or all where none is named; the number of kills after which something differed."""
    with tempfile.TemporaryDirectory(prefix="c2srt-soak-") as name, commands(Path(name), photos) as found:
        start = starter()
        soaks = [
            Soak(each, Path(name) / each, found[each], start, random.Random(f"{seed} {each}"))  # noqa: S311
            for each in names or found
        ]
        with ThreadPoolExecutor(jobs) as pool:
            list(pool.map(partial(Soak.run, kills=kills), soaks))
    return sum(one.failures for one in soaks)


def main() -> None:
    """Parse the command line, soak the commands, print a summary."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--kills", type=int, default=4, help="of each command (4)")
    parser.add_argument("--photos", type=int, default=300, help="photographs to embed (300), a sixth to tag")
    parser.add_argument("--jobs", type=int, default=2, help="commands at a time (2)")
    parser.add_argument("--only", default="", help="names of commands, separated by commas (all)")
    parser.add_argument("--seed", type=int, default=0, help="of the moments (0)")
    asked = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="c2srt-soak-") as home:
        # before the first process starts: all of them have it
        os.environ.setdefault("OMP_NUM_THREADS", "1")
        os.environ |= {"C2SRT_HOME": home, "OPENAI_API_KEY": "sk-of-a-soak"}
        names = [name for name in asked.only.split(",") if name]
        failures = soak(names, kills=asked.kills, photos=asked.photos, jobs=asked.jobs, seed=asked.seed)
    verdict = f"{failures} left something else than an unbroken run" if failures else "all identical to unbroken runs"
    print(f"{asked.kills} kills of each in {time.monotonic() - began:.0f} s: {verdict}")
    sys.exit(bool(failures))


if __name__ == "__main__":
    main()
