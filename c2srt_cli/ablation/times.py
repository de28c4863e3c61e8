"""How long the runs of an ablation were trained, over all their interruptions."""

import csv
import math
from contextlib import suppress
from pathlib import Path

from c2srt_cli.artifacts import atomic_write

TIMES = "times.csv"


def times(folder: Path) -> dict[str, float]:
    """Minutes of training by run; none where the file is damaged, as they decide nothing."""
    path = folder / TIMES
    if not path.exists():
        return {}
    with path.open(encoding="utf-8", newline="") as file, suppress(ValueError, csv.Error):
        found = {name: float(minutes) for name, minutes in list(csv.reader(file))[1:]}
        return {name: minutes for name, minutes in found.items() if math.isfinite(minutes)}
    return {}


def add_time(folder: Path, name: str, minutes: float) -> None:
    """Add to the minutes of a run."""
    found = times(folder)
    found[name] = round(found.get(name, 0.0) + minutes, 4)
    with atomic_write(folder / TIMES) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerows([("run", "minutes"), *found.items()])
