"""Which device, dtype and batch size a backbone runs fastest with, measured once per machine.

On a processor it is the thread's own time that counts, not the clock's: other programs take from the latter, and a
short pass, lucky between two of theirs, would win. What is measured while they do is used, and not kept.
"""

import platform
import re
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import torch

from c2srt_cli import artifacts
from c2srt_cli.artifacts.records import all_of, checked, read_record
from c2srt_cli.backbone.linear import linear
from c2srt_cli.backbone.names import home
from c2srt_cli.backbone.registry import Backbone
from c2srt_cli.errors import InputError, UsageError
from c2srt_cli.threads import torch_threads

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
#: bfloat16 must beat float32 by this factor in a product of the tower's MLP to count as native.
NATIVE_GAIN = 1.3
#: A larger batch must be faster than a smaller one by this share.
WORTHWHILE = 0.03
MEASURED = "probe.json"
MAX_BATCH = 256
#: Most rows of a forward pass that are done when asked for.
MAX_ROWS = 4096
#: Share of the time that a thread gets on a processor which has nothing else to do.
IDLE = 0.85
#: No further batch size is tried that would end later than this, seconds.
PATIENCE = 2.5


class Probed(NamedTuple):
    """What a probe has chosen.

    Attributes:
        runtime: How forwards are to run.
        anew: Some of it was measured now, and not read from what was measured before: on a busy machine another
            time may choose otherwise.
    """

    runtime: "Runtime"
    anew: bool


@dataclass(frozen=True, slots=True)
class Runtime:
    """How forwards run; goes into manifests and is reused on resume.

    Attributes:
        device: ``cpu``, ``cuda``, ``cuda:1`` or ``mps``.
        dtype: ``float32``, ``bfloat16`` or ``float16``.
        batch: Rows of every forward.
        threads: Of one forward pass, on the CPU.

    Raises:
        UsageError: a value that is none of these.
    """

    device: str
    dtype: str
    batch: int
    threads: int

    def __post_init__(self) -> None:
        if not re.fullmatch("cpu|mps|cuda(:[0-9]{1,3})?", self.device):
            raise UsageError(f"there is no device {self.device!r}")
        if self.dtype not in DTYPES:
            raise UsageError(f"there is no precision {self.dtype!r}", hint=f"use {', '.join(DTYPES)}")
        if not 1 <= self.batch <= MAX_ROWS or not 1 <= self.threads <= MAX_ROWS:
            raise UsageError(f"batches of {self.batch} on {self.threads} threads: each is from 1 to {MAX_ROWS}")


def recorded_runtime(value: object) -> Runtime | None:
    """The runtime that an unfinished run has written down; None where it is none."""
    try:
        return checked(Annotated[Runtime, all_of(Runtime)], value, "runtime")  # type: ignore[arg-type]
    except InputError:
        return None


def probe(
    backbone: Backbone,
    *,
    device: str = "auto",
    precision: str = "auto",
    batch: int | None = None,
    patch_attention: str | None = None,
) -> Probed:
    """Choose device, dtype and batch size; leaves the backbone where it will run.

    What is measured is kept in ``probe.json`` under `home`, by processor, torch, tower, dtype, stream and threads;
    unless other programs were at work meanwhile: then the next run measures again.

    Args:
        backbone: Its tower is what runs.
        device: ``auto`` takes CUDA, then MPS, then the CPU.
        precision: ``auto`` takes float16 on GPUs; bfloat16 on processors that have it natively, else float32.
        batch: Rows of a forward, or None to measure.
        patch_attention: The local stream that will be asked for.

    Raises:
        UsageError: there is no such device or precision here.
    """
    device = find_device(device)
    threads = 1 if device == "cpu" else torch.get_num_threads()  # passes run side by side, one a core
    with torch_threads(threads):
        return _measure(backbone, device, threads, precision=precision, batch=batch, patch_attention=patch_attention)


def _measure(
    backbone: Backbone, device: str, threads: int, *, precision: str, batch: int | None, patch_attention: str | None
) -> Probed:
    tower = backbone.tower
    shape = [
        type(tower).__name__,
        tower.depth,
        tower.width(0),
        tower.width(tower.depth),
        backbone.image_size,
        backbone.dim,
    ]
    machine = [_processor(device), torch.__version__, threads, shape]
    anew = False
    if precision == "auto":
        key = [*machine, "dtype"]
        precision = _remembered(key)
        if precision not in DTYPES:
            anew = device == "cpu"  # on others nothing is measured for it
            with _Load(device) as load:
                precision = native_precision(device, tower.width(0))
            if not load.busy:
                _remember(key, precision)
    if precision not in DTYPES:
        raise UsageError(f"there is no precision {precision!r}", hint=f"use auto, {', '.join(DTYPES)}")
    backbone.to(device, DTYPES[precision])
    if batch is None:
        key = [*machine, "batch", precision, patch_attention]
        batch = _remembered(key)
        if not isinstance(batch, int) or not 1 <= batch <= MAX_BATCH:
            with _Load(device) as load:
                batch, anew = _batch(backbone, device, patch_attention), True
            if not load.busy:
                _remember(key, batch)
    if batch < 1:
        raise UsageError("a batch has at least one row", where=f"batch {batch}")
    return Probed(Runtime(device=device, dtype=precision, batch=batch, threads=threads), anew)


def find_device(asked: str) -> str:
    """A device that is here: ``auto`` takes CUDA, then MPS, then the CPU.

    Raises:
        UsageError: there is no such device.
    """
    present = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if asked == "auto":
        return next(name for name, there in present.items() if there)
    kind, _, number = asked.partition(":")
    if not present.get(kind, False) or (number and not number.isdecimal()):
        raise UsageError(
            f"there is no device {asked!r} here", hint=f"use {' or '.join(name for name in present if present[name])}"
        )
    return asked


def native_precision(device: str, width: int = 768) -> str:
    """float16 on GPUs; on a CPU, bfloat16 where a product at the MLP's shape gains by it."""
    if device != "cpu":
        return "float16"
    seconds = {}
    for dtype in (torch.float32, torch.bfloat16):
        x = torch.ones(1576, width, dtype=dtype)  # the tokens of eight images of ViT-B/16
        weight = torch.ones(4 * width, width, dtype=dtype)
        with torch.inference_mode():
            linear(x, weight, None)
            seconds[dtype] = min(_seconds(partial(linear, x, weight, None), device) for _ in range(3))
    return "bfloat16" if seconds[torch.float32] > NATIVE_GAIN * seconds[torch.bfloat16] else "float32"


def _batch(backbone: Backbone, device: str, patch_attention: str | None) -> int:
    """The fastest batch size per image; the smaller one where it hardly matters."""
    best, best_seconds, spent = 0, float("inf"), 0.0
    started = time.perf_counter()
    for rows in (4, 8, 16, 32) if device == "cpu" else (8, 16, 32, 64, 128, 256):
        try:
            if best == 0:
                spent += _forward(backbone, device, rows, patch_attention)  # loads kernels, lays out weights
            seconds = _forward(backbone, device, rows, patch_attention)
            spent += seconds
            if seconds < 0.2:
                again = _forward(backbone, device, rows, patch_attention)
                spent, seconds = spent + again, min(seconds, again)
        except torch.OutOfMemoryError:
            break
        if seconds / rows < best_seconds * (1 - WORTHWHILE):
            best, best_seconds = rows, seconds / rows
        if spent + 2 * seconds > PATIENCE or time.perf_counter() - started > 2 * PATIENCE:
            break
    return best or 1


@torch.inference_mode()
def _forward(backbone: Backbone, device: str, rows: int, patch_attention: str | None) -> float:
    size, depth = backbone.image_size, backbone.tower.depth
    pixels = torch.randint(0, 256, (rows, size, size, 3), dtype=torch.uint8, device=device)

    def once() -> None:
        tokens = backbone.early_stages(
            pixels, depth, patch_attention=patch_attention, streams="both" if patch_attention else "global"
        )
        backbone.late_stages(tokens, depth, patch_attention=patch_attention)
        if device != "cpu":
            getattr(torch, device.partition(":")[0]).synchronize()

    return _seconds(once, device)


class _Load:
    """Whether a processor does other work while something is measured.

    Args:
        device: Anything but ``cpu`` is not looked at.

    Attributes:
        busy: The thread got less than `IDLE` of the time.
    """

    def __init__(self, device: str) -> None:
        self._device, self.busy = device, False

    def __enter__(self) -> "_Load":
        self._started = time.perf_counter(), time.thread_time()
        return self

    def __exit__(self, *_: object) -> None:
        wall, own = (
            now - then for now, then in zip((time.perf_counter(), time.thread_time()), self._started, strict=True)
        )
        self.busy = self._device == "cpu" and own < IDLE * wall


def _seconds(work: Callable[[], object], device: str) -> float:
    clock = time.thread_time if device == "cpu" else time.perf_counter
    started = clock()
    work()
    return clock() - started


def _processor(device: str) -> str:
    if device.startswith("cuda"):
        return torch.cuda.get_device_name(device)
    name = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        name = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration, UnicodeDecodeError):
        pass
    return f"{device} {name} {torch.backends.cpu.get_cpu_capability()}"


def _remembered(key: list[Any]) -> Any:
    """What was measured before under ``key``; None for nothing, or where the file cannot be used."""
    try:
        return read_record(home() / MEASURED, dict[str, str | int])[artifacts.fingerprint(key)]
    except (InputError, KeyError):
        return None


def _remember(key: list[Any], value: str | int) -> None:
    """Keep a measured value. A home that cannot be written to costs a measurement per run, not the run."""
    path = home() / MEASURED
    try:
        known = read_record(path, dict[str, str | int])
    except InputError:
        known = {}
    with suppress(OSError):
        artifacts.write_json(path, {**known, artifacts.fingerprint(key): value})
