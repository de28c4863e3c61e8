"""The machines of a Ray cluster. Ray says which of them does what, and when again; what is done stands on the disk."""

import importlib.util
import logging
import os
import pickle
import queue
import socket
import threading
import traceback
import warnings
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from c2srt_cli import __version__
from c2srt_cli.errors import C2srtError, ServiceError, UsageError, counted

R = TypeVar("R")

#: Times that an item is tried again whose worker was lost: one that takes its worker down must not do so for ever.
TRIES = 3
#: Cores of a worker at most, where nobody says how many.
CORES = 8
AGAIN = "run the same command again: it goes on where this has stopped"


@dataclass(frozen=True)
class Cluster:
    """A cluster that this process has joined.

    Attributes:
        address: As the user gave it.
        cores: Of one worker.
        gpus: Of one worker: 1 or 0.
        workers: How many there is room for now; more are started as machines join.
    """

    address: str
    cores: int
    gpus: int
    workers: int

    def describe(self) -> str:
        """Workers in a few words."""
        each = counted(self.cores, "core") + " and a GPU" * self.gpus
        return f"{counted(self.workers, 'worker')} on the cluster, {each} each"

    def call(self, work: Callable[[], R]) -> R:
        """What a function gives on one of the workers.

        Raises:
            C2srtError: what it raised, or the worker was lost, or has another c2srt.
        """
        import ray

        with self._faults():
            task = ray.remote(num_cpus=self.cores, num_gpus=self.gpus, max_retries=TRIES)(_attempt)
            found: R = _outcome(ray.get(task.remote(work, __version__)))
            return found

    def each(
        self, make: Callable[[], Callable[[int], R]], items: Sequence[int], *, stopped: Callable[[], bool]
    ) -> Generator[tuple[int, R], None, None]:
        """Items and what comes of them, in the order in which they are done.

        Args:
            make: Makes in each worker, with its first item, what is then called for every one.
            items: What it is called for.
            stopped: Ends the iteration, and with it the workers, when true.

        Yields:
            Items with their results.

        Raises:
            C2srtError: what a worker raised, or one and the same item has lost every worker that tried it.
        """
        left, lost = list(items), 0
        while left:
            try:
                for item, outcome in self._tried(make, left, stopped):
                    left.remove(item)
                    lost = 0
                    yield item, _outcome(outcome)
            except ServiceError:  # with its worker Ray may have lost the machine, and the way to what it waits for
                lost += 1
                if lost > TRIES:
                    raise
            else:
                return

    def _tried(
        self, make: Callable[[], Callable[[int], R]], items: Sequence[int], stopped: Callable[[], bool]
    ) -> Iterator[tuple[int, bytes]]:
        """Outcomes of items, until all are there or workers are lost for good."""
        import ray.data

        pool = ray.data.ActorPoolStrategy(
            min_size=1,
            max_size=len(items),
            initial_size=min(max(self.workers, 1), len(items)),
            max_tasks_in_flight_per_actor=1,  # the last items are not to wait for one worker while others are idle
        )
        with warnings.catch_warnings():  # of the one way there is to bound tries, which is to go with 2.64
            warnings.simplefilter("ignore", DeprecationWarning)
            warnings.filterwarnings("ignore", "`ray_remote_args")
            done = ray.data.from_items(list(items), override_num_blocks=len(items)).map_batches(
                _Worker,
                batch_size=1,
                compute=pool,
                num_cpus=self.cores,
                num_gpus=self.gpus or None,
                fn_constructor_args=(make, __version__),
                ray_remote_args_fn=lambda: {"max_task_retries": TRIES},
            )
        with self._faults():
            for batch in _polled(done.iter_batches(batch_size=None, prefetch_batches=0)):
                if stopped():
                    return
                if batch is not None:
                    yield from zip(batch["item"].tolist(), batch["outcome"], strict=True)

    @contextmanager
    def _faults(self) -> Iterator[None]:
        """Ray's errors as ours."""
        from ray.exceptions import RayError

        try:
            yield
        except RayError as error:
            lines = [line for line in str(error).splitlines() if line.strip()]
            raise ServiceError(
                f"the cluster has lost a worker too often ({type(error).__name__})",
                where=self.address,
                problems=lines[-3:],
                hint=AGAIN,
            ) from error


@contextmanager
def joined(address: str | None, *, cores: int | None = None, device: str | None = None) -> Iterator[Cluster | None]:
    """Join a cluster, and leave it; one that this has started ends with it.

    Args:
        address: Of its head, or ``auto``: the one that runs on this machine, or a new one of this machine alone; None
            for none.
        cores: Of a worker; None for all of a machine, at most `CORES`, shared among its GPUs.
        device: Where the workers compute; None takes GPUs where the cluster has some.

    Raises:
        ServiceError: there is no such cluster.
        UsageError: Ray is not installed, or no worker fits on any of its machines.
    """
    if address is None:
        yield None
        return
    if importlib.util.find_spec("ray") is None:
        raise UsageError("needs Ray, which is not installed", where="--cluster", hint="pip install 'c2srt[ray]'")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # as it will be, and warns of until then
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # what is lost is tried again, and said in our words
    import ray
    import ray.data

    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    try:
        ray.init(
            None if address == "auto" else address,
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.CRITICAL,
        )
    except Exception as error:  # of whatever kind
        raise ServiceError(f"cannot be joined: {error}", where=f"--cluster {address}") from error
    try:
        yield _room(address, ray.nodes(), cores, device)
    finally:
        ray.shutdown()


def _room(address: str, nodes: Sequence[dict[str, Any]], cores: int | None, device: str | None) -> Cluster:
    """How large workers are, and how many there is room for."""
    there = [(node["Resources"].get("CPU", 0), node["Resources"].get("GPU", 0)) for node in nodes if node["Alive"]]
    gpus = int(device.startswith("cuda") if device is not None else any(gpu >= 1 for _, gpu in there))
    fit = [(int(cpu), int(gpu)) for cpu, gpu in there if cpu >= (cores or 1) and gpu >= gpus]
    if not fit:
        what = f"{cores or 1} core{'s' * ((cores or 1) != 1)}" + " and a GPU" * gpus
        raise UsageError(
            f"no machine of the cluster has {what}",
            where=f"--cluster {address}",
            hint="choose another --workers or --device",
        )
    cores = cores or min(CORES, *(max(1, cpu // max(1, gpu * gpus)) for cpu, gpu in fit))
    workers = sum(min(cpu // cores, gpu) if gpus else cpu // cores for cpu, gpu in fit)
    return Cluster(address, cores, gpus, workers)


class _Worker(Generic[R]):
    """A process of the cluster; what it works with is made with its first item, whose outcome an error then is."""

    def __init__(self, make: Callable[[], Callable[[int], R]], version: str) -> None:
        self._make, self._version = make, version
        self._work: Callable[[int], R] | None = None

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        def work() -> R:
            self._work = self._work or self._make()
            return self._work(int(batch["item"][0]))

        return {"item": batch["item"], "outcome": [_attempt(work, self._version)]}


def _attempt(work: Callable[[], R], version: str) -> bytes:
    """What a function gives or raises, pickled, with the machine and the traceback: Ray would wrap an error of ours."""
    host = socket.gethostname()
    try:
        if version != __version__:
            raise UsageError(f"has c2srt {__version__}, not {version}", hint="install the same one on all machines")
        return pickle.dumps((work(), None, host, ""))
    except Exception as error:
        trace = traceback.format_exc()
        with suppress(Exception):
            return pickle.dumps((None, error, host, trace))
        return pickle.dumps((None, RuntimeError(repr(error)), host, trace))


def _outcome(found: bytes) -> Any:
    result, error, host, trace = pickle.loads(found)  # noqa: S301 - of a worker of ours
    if error is None:
        return result
    if isinstance(error, C2srtError) and host != socket.gethostname():
        error.where = f"{host}: {error.where}" if error.where else host
    error.add_note(f"in a worker of the cluster:\n{trace}")
    raise error


def _polled(batches: Iterator[Any], seconds: float = 0.2) -> Iterator[Any]:
    """The same, and None where there is none for a while."""
    found: queue.SimpleQueue[tuple[Any, BaseException | None]] = queue.SimpleQueue()

    def pump() -> None:
        try:
            for batch in batches:
                found.put((batch, None))
        except BaseException as error:  # raised where it is waited for
            found.put((None, error))
        else:
            found.put((None, None))

    threading.Thread(target=pump, daemon=True).start()  # which, unlike Ray, Ctrl-C need not wait for
    while True:
        try:
            batch, error = found.get(timeout=seconds)
        except queue.Empty:
            yield None
            continue
        if error is not None:
            raise error
        if batch is None:
            return
        yield batch
