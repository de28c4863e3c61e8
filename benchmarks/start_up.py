"""Processor time of ``c2srt --help`` against that of importing the library of its command line alone."""

import resource
import subprocess
import sys

RUNS = 5


def seconds(*arguments: str) -> float:
    """Least processor time of a few runs."""
    spent = []
    for _ in range(RUNS):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, *arguments], capture_output=True, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(spent)


def main() -> None:
    """Print both and their ratio."""
    ours = seconds("-m", "c2srt_cli", "--help")
    peer = seconds("-c", "import typer, rich.console")
    print(f"c2srt --help {ours:.2f} s, import of typer and rich {peer:.2f} s, ratio {ours / peer:.2f}")


if __name__ == "__main__":
    main()
