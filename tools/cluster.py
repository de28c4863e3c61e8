"""Break `embed` or `tag` on a Ray cluster in every way, run it again, and compare with one process without Ray.

``python tools/cluster.py [embed|tag] [--photos FOLDER] [--count 600] [--part-size 100]``: two machines are played
on this one, each with two cores and a GPU that is none, so that Ray places one worker on each. Needs the extra ``ray``.
Prints what each run took, and exits with 1 where one leaves other bytes.
"""

import argparse
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]

LABELS = "person,dog,boat,street,snow,castle,coffee,bicycle"
ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]


def digests(folder: Path) -> dict[str, str]:
    """Every file and folder below a folder; of files the sha256 of their bytes."""
    found = {}
    for path in folder.rglob("*"):
        found[str(path.relative_to(folder))] = ""
        if path.is_file():
            with path.open("rb") as file:
                found[str(path.relative_to(folder))] = hashlib.file_digest(file, "sha256").hexdigest()
    return found


@dataclass
class Runs:
    """Runs of one command over the same photographs.

    Attributes:
        folder: It holds what they write.
        arguments: What follows ``c2srt``, but for ``--out``.
        expected: What the run without Ray has left.
        failures: Runs that left something else.
    """

    folder: Path
    arguments: list[str]
    expected: dict[str, str]
    failures: int = 0

    def start(self, out: str, *more: str) -> "subprocess.Popen[str]":
        """Start a run."""
        command = [sys.executable, "-m", "c2srt_cli", *self.arguments, "--out", str(self.folder / out), *more]
        return subprocess.Popen(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)  # noqa: S603

    def finish(self, process: "subprocess.Popen[str]") -> float:
        """Wait for a run; the seconds that it took from now."""
        began = time.monotonic()
        said, _ = process.communicate()
        if process.returncode:
            raise SystemExit(f"ended with {process.returncode}:\n{said}")
        print("".join(f"    {line}\n" for line in said.splitlines() if "worker" in line), end="")
        return time.monotonic() - began

    def compare(self, out: str, what: str) -> None:
        """Say whether a run has left what the one without Ray has."""
        found = digests(self.folder / out)
        differing = sorted(name for name in found.keys() | self.expected if found.get(name) != self.expected.get(name))
        self.failures += bool(differing)
        print(f"{what}: {f'DIFFERS: {differing[:5]}' if differing else f'{len(found)} files, identical'}", flush=True)
        shutil.rmtree(self.folder / out)

    @property
    def parts(self) -> int:
        """Parts of what they are compared with."""
        return sum(name.endswith("/manifest.json") for name in self.expected)

    def wait(self, out: str, share: float, process: "subprocess.Popen[str]") -> int:
        """Wait until a run has done this share of the parts; how many those are."""
        done = 0
        while process.poll() is None and done < share * self.parts:
            time.sleep(0.1)
            done = len(list((self.folder / out).glob("part-*/manifest.json")))
        return done


def workers() -> list[psutil.Process]:
    """Processes that encode."""
    every = psutil.process_iter(["cmdline"])
    return [one for one in every if "".join(one.info["cmdline"] or ()).startswith("ray::MapWorker")]


@contextmanager
def machines() -> Iterator[Any]:
    """A cluster of two, of one core each to spare and a GPU that is none."""
    from ray.cluster_utils import Cluster

    size = {"num_cpus": 2, "num_gpus": 1, "object_store_memory": 100 << 20, "include_dashboard": False}
    for _ in range(5):
        with suppress(Exception):  # it gives a busy machine half a minute
            cluster = Cluster(initialize_head=True, head_node_args=size)
            break
    else:
        raise SystemExit("no cluster could be started")
    try:
        cluster.add_node(**{name: value for name, value in size.items() if name != "include_dashboard"})
        yield cluster
    finally:
        cluster.shutdown()


def prove(folder: Path, arguments: list[str]) -> int:
    """All runs; how many left something else than the one without Ray."""
    runs = Runs(folder, arguments, {})
    alone = runs.finish(runs.start("e"))
    runs.expected = digests(folder / "e")
    shutil.rmtree(folder / "e")
    print(f"{arguments[0]}: one process without Ray: {alone:.1f} s, {runs.parts} parts", flush=True)
    with machines() as cluster:
        on = ["--cluster", cluster.address, "--workers", "1"]
        first = runs.finish(runs.start("e", *on))
        runs.compare("e", f"Ray: {first:.1f} s, {first / alone:.2f} times that")

        process = runs.start("e", *on)
        done = runs.wait("e", 0.3, process)
        there = workers()
        there[0].kill()
        print(f"killed one of {len(there)} workers, when {done} parts were done", flush=True)
        done = runs.wait("e", 0.6, process)
        process.kill()
        process.communicate()
        print(f"killed the driver, when {done} parts were done", flush=True)
        runs.finish(runs.start("e", *on))
        runs.compare("e", "run again")

        process = runs.start("e", *on)
        done = runs.wait("e", 0.3, process)
        process.send_signal(signal.SIGINT)
        process.communicate()
        print(f"Ctrl-C, when {done} parts were done: exit {process.returncode}", flush=True)
        process = runs.start("e", *on)
        done = runs.wait("e", 0.6, process)
        cluster.remove_node(next(iter(cluster.worker_nodes)), allow_graceful=False)
        print(f"took one of two machines away, when {done} parts were done", flush=True)
        runs.finish(process)
        runs.compare("e", "by the other one")
    return runs.failures


def main() -> None:
    """Parse the command line, make photographs where none are named, prove."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("command", choices=("embed", "tag"), nargs="?", default="embed")
    parser.add_argument("--photos", type=Path, help="a folder, or embeddings to tag (generated ones)")
    parser.add_argument("--count", type=int, default=600, help="photographs to generate (600)")
    parser.add_argument("--backbone", default="mini", help="as c2srt names it (mini)")
    parser.add_argument("--precision", default="float32", help="of the forward passes (float32)")
    parser.add_argument("--part-size", type=int, default=100, help="photographs of a part (100)")
    asked = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("RAY_worker_niceness", "0")  # or other work here would come before theirs
    os.environ["PYTHONPATH"] = str(ROOT)
    with tempfile.TemporaryDirectory(prefix="c2srt-cluster-") as name:
        photos = asked.photos or Path(name) / "photos"
        if asked.photos is None:
            from photos import write_photos

            write_photos(photos, asked.count, suffix=".jpg")
        labels = ["--labels", LABELS] if asked.command == "tag" else []
        arguments = [asked.command, str(photos), *labels, "--part-size", str(asked.part_size)]
        if not (photos / "manifest.json").exists():  # embeddings are read as they are
            arguments += ["--backbone", asked.backbone, "--precision", asked.precision]
            arguments += ["--batch-size", "8"]  # or each run would measure anew
        failures = prove(Path(name), [*arguments, "--allow-failures"])
    sys.exit(bool(failures))


if __name__ == "__main__":
    main()
