"""Workers of a cluster, as far as that needs no Ray."""

import importlib.util
import pickle
import time
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from functools import partial
from typing import Any

import pytest

from c2srt_cli import __version__, cluster
from c2srt_cli.cluster import Cluster, joined
from c2srt_cli.errors import InputError, ServiceError, UsageError


def node(cpu: float, gpu: float = 0, *, alive: bool = True) -> dict[str, Any]:
    """A machine as Ray lists it."""
    resources = {"CPU": cpu, "memory": 1e9} | ({"GPU": gpu} if gpu else {})
    return {"Alive": alive, "Resources": resources}


LAPTOP, BOX = node(2), node(64, 8)


@pytest.mark.parametrize(
    ("nodes", "cores", "device", "expected"),
    [
        ([LAPTOP], None, None, (2, 0, 1)),
        ([LAPTOP], 1, None, (1, 0, 2)),
        ([node(96)], None, None, (8, 0, 12)),
        ([BOX], None, None, (8, 1, 8)),
        ([BOX, BOX, LAPTOP], None, "cuda", (8, 1, 16)),
        ([node(8, 4)], None, None, (2, 1, 4)),
        ([node(8, 4)], 4, None, (4, 1, 2)),
        ([BOX], None, "cpu", (8, 0, 8)),
        ([BOX, LAPTOP], None, "cpu", (2, 0, 33)),
        ([node(64, alive=False), node(0), LAPTOP], None, None, (2, 0, 1)),
        ([node(2, 4)], None, None, (1, 1, 2)),
    ],
)
def test_workers_share_the_machines(
    nodes: list[dict[str, Any]], cores: int | None, device: str | None, expected: tuple[int, int, int]
) -> None:
    made = cluster._room("auto", nodes, cores, device)
    assert (made.cores, made.gpus, made.workers) == expected


@pytest.mark.parametrize(("cores", "device", "lacks"), [(3, None, "3 cores"), (None, "cuda", "1 core and a GPU")])
def test_no_machine_has_room(cores: int | None, device: str | None, lacks: str) -> None:
    with pytest.raises(UsageError, match=f"no machine of the cluster has {lacks}"):
        cluster._room("auto", [LAPTOP], cores, device)


def test_description() -> None:
    assert Cluster("auto", 8, 1, 16).describe() == "16 workers on the cluster, 8 cores and a GPU each"
    assert Cluster("auto", 1, 0, 1).describe() == "1 worker on the cluster, 1 core each"


def test_without_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(UsageError, match="not installed") as error, joined("auto"):
        pass
    assert error.value.hint == "pip install 'c2srt[ray]'"
    with joined(None) as nothing:
        assert nothing is None


class TestOutcomes:
    @pytest.mark.parametrize(("host", "where"), [("box7", "box7: a.png"), ("head", "a.png")])
    def test_an_error_comes_out_as_it_was(self, monkeypatch: pytest.MonkeyPatch, host: str, where: str) -> None:
        """With the machine that it met, where that is another one."""

        def work() -> int:
            raise InputError("is damaged", where="a.png", hint="restore it", problems=["one", "two"])

        monkeypatch.setattr("socket.gethostname", lambda: host)
        outcome = cluster._attempt(work, __version__)
        monkeypatch.setattr("socket.gethostname", lambda: "head")
        with pytest.raises(InputError) as raised:
            cluster._outcome(outcome)
        error = raised.value
        assert (error.what, error.where, error.hint) == ("is damaged", where, "restore it")
        assert error.problems == ("one", "two")
        assert "in work" in error.__notes__[0]

    def test_what_cannot_be_sent(self) -> None:
        class Local(Exception):
            pass

        def work() -> int:
            raise Local("a bug")

        with pytest.raises(RuntimeError, match="a bug"):
            cluster._outcome(cluster._attempt(work, __version__))
        with pytest.raises((AttributeError, pickle.PicklingError), match="pickle"):
            cluster._outcome(cluster._attempt(lambda: lambda: 1, __version__))

    def test_another_version(self) -> None:
        with pytest.raises(UsageError, match=r"has c2srt .*, not 0\.0\.1"):
            cluster._outcome(cluster._attempt(lambda: 1, "0.0.1"))

    def test_a_worker_makes_once_what_it_works_with(self) -> None:
        made = []

        def make() -> Any:
            made.append(1)
            return lambda number: number * number

        worker = cluster._Worker(make, __version__)
        assert [cluster._outcome(worker({"item": [item]})["outcome"][0]) for item in (3, 5)] == [9, 25]
        assert made == [1]

    def test_what_cannot_be_made_is_the_outcome(self) -> None:
        def make() -> Any:
            raise InputError("there is no such model")

        (outcome,) = cluster._Worker(make, __version__)({"item": [1]})["outcome"]
        assert isinstance(pickle.loads(outcome)[1], InputError)


class Lossy(Cluster):
    """Loses its workers again and again, after items of these numbers."""

    def _tried(self, make: Any, items: Sequence[int], stopped: Any) -> Iterator[tuple[int, bytes]]:
        for item in items[: TRIED.pop(0)]:
            yield item, cluster._attempt(partial(make(), item), __version__)
        if not stopped():
            raise ServiceError("a machine has gone")


TRIED: list[int] = []


@pytest.mark.parametrize(("done", "survives"), [([2, 0, 0, 1, 0, 1], True), ([1, 0, 0, 0, 4], False)])
def test_a_machine_that_goes_costs_what_it_was_at(done: list[int], survives: bool) -> None:
    """What is left is tried again, as often as some of it gets done."""
    TRIED[:] = done
    found: list[tuple[int, int]] = []
    with nullcontext() if survives else pytest.raises(ServiceError):
        found += Lossy("auto", 1, 0, 1).each(lambda: lambda item: item * item, [2, 3, 5, 7], stopped=lambda: not TRIED)
    assert found == ([(2, 4), (3, 9), (5, 25), (7, 49)] if survives else [(2, 4)])


def test_waiting_can_be_ended() -> None:
    def slow() -> Iterator[int]:
        yield 1
        time.sleep(0.05)
        yield 2
        raise InputError("lost")

    seen: list[int | None] = []
    with pytest.raises(InputError, match="lost"):
        seen.extend(cluster._polled(slow(), 0.01))
    assert [batch for batch in seen if batch is not None] == [1, 2]
    assert None in seen
