"""Peak memory of ``c2srt tag`` and ``c2srt embed``: 1,000 against 10,000 images, and 20,000 labels.

Every line is a process of its own. Run: ``python benchmarks/memory.py``.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from workload import write_images, write_labels, write_model


def peak(*arguments: str) -> float:
    """Peak resident MiB of one command of c2srt."""
    code = (
        "import resource, sys; from c2srt_cli.cli import main\n"
        "try: main()\n"
        "except SystemExit as stop: assert not stop.code, stop.code\n"
        "import pathlib; status = pathlib.Path('/proc/self/status')\n"
        # a child's ru_maxrss starts from its parent's; Linux also keeps the peak of the program itself
        "peak = status.read_text().split('VmHWM:')[1].split()[0] if status.exists() else "
        "resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "print('peak', peak, file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(done.stderr)
    unit = 1 if sys.platform == "darwin" else 1024
    return int(done.stderr.rsplit("peak", 1)[1]) * unit / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--work", type=Path, default=Path(tempfile.gettempdir()) / "c2srt-bench", help="where inputs are made"
    )
    parser.add_argument("--arch", default="ViT-B-32-quickgelu")
    options = parser.parse_args()
    work: Path = options.work
    backbone = write_model(work / options.arch, options.arch)
    few, many = work / "small-1000", work / "small-10000"
    for folder, count in ((few, 1000), (many, 10_000)):
        write_images(folder, count, width=320, height=240)
    labels = {count: write_labels(work / f"labels-{count}.txt", count) for count in (1000, 20_000)}

    def tag(source: Path, count: int) -> float:
        out = work / f"memory-{source.name}-{count}.jsonl"
        return peak(
            "tag", str(source), "--labels", str(labels[count]), "--backbone", backbone, "--out", str(out), "--overwrite"
        )

    def embed(source: Path) -> float:
        out = work / f"memory-embeddings-{source.name}"
        return peak("embed", str(source), "--backbone", backbone, "--out", str(out), "--overwrite")

    base = peak("doctor")
    print(f"{'torch imported, nothing loaded':50}{base:8.0f} MiB")
    for name, one, ten in (("tag, 1,000 labels", tag(few, 1000), tag(many, 1000)), ("embed", embed(few), embed(many))):
        print(f"{name + ', 1,000 images':50}{one:8.0f} MiB")
        print(f"{name + ', 10,000 images':50}{ten:8.0f} MiB   x {ten / one:.2f}")
    print(f"{'tag, 20,000 labels, 1,000 images':50}{tag(few, 20_000):8.0f} MiB")


if __name__ == "__main__":
    main()
