"""Kill embed and tag at random moments, resume them, and compare what they leave with what an unbroken run leaves.

``python tools/soak.py [--kills 10] [--photos 1000] [--seed 0]`` runs both commands side by side, as processes of their
own on generated photographs with a tiny random model. Exits with 1 when any file of any payload differs by a byte.
"""

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parent.parent


@dataclass
class Command:
    """One command under test.

    Attributes:
        name: ``embed`` or ``tag``.
        arguments: What follows ``c2srt``, for a folder to write to.
        working: Whether work has begun there and is not finished.
        done: How far it is, in words.
    """

    name: str
    arguments: Callable[[Path], Sequence[str]]
    working: Callable[[Path], bool]
    done: Callable[[Path], str]


@dataclass
class Soak:
    """Runs of one command in folders of their own.

    Attributes:
        command: What runs.
        folder: Where.
        environment: Of the processes.
        random: Decides when they are killed.
        start_up: Seconds until an unbroken run begins to work.
        work: Seconds that it works.
        expected: Every file that it leaves.
        lines: What happened, a line a kill.
        failures: Kills after which something differed.
    """

    command: Command
    folder: Path
    environment: dict[str, str]
    random: random.Random
    start_up: float = 0.0
    work: float = 0.0
    expected: dict[str, bytes] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)
    failures: int = 0

    def run(self, kills: int) -> None:
        """One unbroken run, then ``kills`` broken and resumed ones."""
        out = self.folder / "whole"
        began = time.monotonic()
        process = self._start(out)
        self._wait(process, out, working=True)
        self.start_up = time.monotonic() - began
        self._wait(process, out, working=False)
        self.work = time.monotonic() - began - self.start_up
        self._finish(process, out)
        self.expected = payload(out)
        self._say(
            f"{self.command.name}: an unbroken run starts for {self.start_up:.1f} s, works for {self.work:.1f} s, "
            f"and leaves {len(self.expected)} files"
        )
        for number in range(1, kills + 1):
            # one in five before the work begins
            self._kill(number, early=number % 5 == 0)
            shutil.rmtree(self.folder / f"{number}")

    def _kill(self, number: int, *, early: bool) -> None:
        out = self.folder / f"{number}"
        share = 1.0
        while True:
            process = self._start(out)
            if not early:
                self._wait(process, out, working=True)
            delay = self.random.uniform(0.05, share * (self.start_up if early else self.work))
            time.sleep(delay)
            hit = process.poll() is None and self.command.working(out) != early
            process.kill()
            process.wait()
            if hit:
                break
            shutil.rmtree(out)  # this run was quicker than the first one
            share *= 0.8
        moment = f"{delay:.2f} s into {'its start' if early else 'the work'}, {self.command.done(out)}"
        began = time.monotonic()
        self._finish(self._start(out), out)
        found = payload(out)
        differing = sorted(name for name in found.keys() | self.expected if found.get(name) != self.expected.get(name))
        self.failures += bool(differing)
        verdict = f"DIFFERS: {', '.join(differing)}" if differing else f"{len(found)} files identical"
        self._say(
            f"{self.command.name} {number}: killed {moment}; resumed in {time.monotonic() - began:.1f} s: {verdict}"
        )

    def _start(self, out: Path) -> subprocess.Popen[bytes]:
        out.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "c2srt_cli", *self.command.arguments(out)]
        with (self.folder / "log").open("ab") as log:
            return subprocess.Popen(command, env=self.environment, stdout=log, stderr=log, cwd=ROOT)  # noqa: S603

    def _wait(self, process: subprocess.Popen[bytes], out: Path, *, working: bool) -> None:
        while self.command.working(out) != working and process.poll() is None:
            time.sleep(0.002)

    def _finish(self, process: subprocess.Popen[bytes], out: Path) -> None:
        if process.wait() != 0:
            raise SystemExit(f"{self.command.name} failed in {out}:\n{(self.folder / 'log').read_text()[-2000:]}")

    def _say(self, line: str) -> None:
        self.lines.append(line)
        print(line, flush=True)


def payload(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, temporary and lock files included, with its bytes."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def commands(photos: Path, labels: Path, model: str) -> list[Command]:
    """The commands under test, with every option that decides their values."""
    common = ["--backbone", model, "--precision", "float32", "--batch-size", "2", "--workers", "1", "--allow-failures"]

    def shards(out: Path) -> str:
        return f"{len(list((out / 'e').glob('shard-*.safetensors')))} shards saved"

    def journal(out: Path) -> str:
        path = out / ".tags.jsonl.journal"
        return f"{path.read_bytes().count(b'commit') if path.exists() else 0} batches saved"

    return [
        Command(
            "embed",
            lambda out: ["embed", str(photos), "--labels", str(labels), "--out", str(out / "e"), *common],
            lambda out: (out / "e/unfinished.json").exists(),
            shards,
        ),
        Command(
            "tag",
            lambda out: ["tag", str(photos), "--labels", str(labels), "--out", str(out / "tags.jsonl"), *common],
            lambda out: (out / ".tags.jsonl.journal").exists(),
            journal,
        ),
    ]


def write_inputs(folder: Path, count: int) -> tuple[Path, Path, str]:
    """Photographs, labels and a model below ``folder``."""
    sys.path.insert(0, str(ROOT / "tests"))
    import numpy as np
    from PIL import Image
    from tiny import write_tiny_model

    rng = np.random.default_rng(0)
    photos = folder / "photos"
    photos.mkdir()
    for number in range(count):
        content = Image.fromarray(rng.integers(0, 256, (6, 8, 3), np.uint8))
        content.resize((400, 300), Image.Resampling.BICUBIC).save(photos / f"p{number:04}.jpg")
    (photos / "p0100.jpg").write_bytes(b"no photograph")
    labels = folder / "labels.txt"
    labels.write_text("".join(f"thing {number}\n" for number in range(200)))
    return photos, labels, write_tiny_model(folder / "model")


def main() -> None:
    """Parse the command line, soak both commands, print a summary."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--kills", type=int, default=10, help="of each command (10)")
    parser.add_argument("--photos", type=int, default=1000, help="photographs (1000: four shards)")
    parser.add_argument("--seed", type=int, default=0, help="of the moments (0)")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="c2srt-soak-") as name:
        folder = Path(name)
        inputs = write_inputs(folder, asked.photos)
        environment = {**os.environ, "C2SRT_HOME": str(folder / "home"), "OMP_NUM_THREADS": "1"}
        soaks = []
        for number, command in enumerate(commands(*inputs)):
            own = folder / command.name
            own.mkdir()
            soaks.append(Soak(command, own, environment, random.Random(2 * asked.seed + number)))  # noqa: S311
        began = time.monotonic()
        with ThreadPoolExecutor(len(soaks)) as pool:
            list(pool.map(lambda soak: soak.run(asked.kills), soaks))
    failures = sum(soak.failures for soak in soaks)
    print(
        f"{asked.kills} kills of each of {len(soaks)} commands in {time.monotonic() - began:.0f} s: "
        + (f"{failures} left something else than an unbroken run" if failures else "all identical to an unbroken run")
    )
    sys.exit(bool(failures))


if __name__ == "__main__":
    main()
