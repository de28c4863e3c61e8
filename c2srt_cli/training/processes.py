"""The processes of ``torchrun``: which one this is, and what they settle together."""

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel


def join() -> None:
    """Join the others, where this is one process of `torchrun`."""
    if "RANK" in os.environ and not torch.distributed.is_initialized():
        # training may be on either, whatever the machine has
        torch.distributed.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo")


def rank() -> int:
    """Number of this process, 0 where there is only one."""
    return torch.distributed.get_rank() if torch.distributed.is_initialized() else 0


def world() -> int:
    """How many there are."""
    return torch.distributed.get_world_size() if torch.distributed.is_initialized() else 1


def own_device(device: str) -> str:
    """This process's own GPU, where several processes share a machine."""
    return f"cuda:{os.environ.get('LOCAL_RANK', '0')}" if device == "cuda" and world() > 1 else device


def any_of(here: bool) -> bool:
    """Whether something holds in any process; no GPU is waited for."""
    if world() == 1:
        return here
    flag = torch.tensor(float(here))
    torch.distributed.all_reduce(flag)
    return bool(flag > 0)


def parallel(module: nn.Module) -> nn.Module:
    """The same, its gradients averaged over the processes; a parameter that a step does not use has none, as in one."""
    if world() == 1:
        return module
    # torch warns, from every process, where the first batch happens to use all of them
    module.register_parameter("never_used", nn.Parameter(torch.zeros(1, device=next(module.parameters()).device)))
    return DistributedDataParallel(module, find_unused_parameters=True)


def shares(count: int) -> list[int]:
    """How many images of a batch each process reads."""
    return [len(range(number, count, world())) for number in range(world())]


def numbers_of_all(own: np.ndarray, most: int) -> list[np.ndarray]:
    """The numbers of images that each process could read, ``(n,)`` each.

    Args:
        own: Those of this process.
        most: How many a process has at most.
    """
    if world() == 1:
        return [own]
    padded = torch.full((most,), -1)
    padded[: len(own)] = torch.from_numpy(own)
    parts = [torch.empty_like(padded) for _ in range(world())]
    torch.distributed.all_gather(parts, padded)
    return [part[part >= 0].numpy() for part in parts]


def gathered(rows: Tensor, counts: Sequence[int]) -> Tensor:
    """Rows of all processes, one after the other, with a gradient.

    Each process then has the loss of the whole batch, and the gradient that flows back to its own rows is that of all
    these losses together: averaged over the processes (`parallel`) it is that of one.

    Args:
        rows: This process's own, ``(n, ...)``; more than its count are left out.
        counts: Of every process.
    """
    if world() == 1:
        return rows
    own = rows[: counts[rank()]]
    padded = torch.cat([own, own.new_zeros(max(counts) - len(own), *own.shape[1:])])
    found: Tensor = _Gather.apply(padded)
    return torch.cat([part[:count] for part, count in zip(found, counts, strict=True)])


class _Gather(torch.autograd.Function):
    """``(n, ...)`` of each process to ``(processes, n, ...)``."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:  # noqa: ARG004
        parts = [torch.empty_like(rows) for _ in range(world())]
        torch.distributed.all_gather(parts, rows.contiguous())
        return torch.stack(parts)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:  # noqa: ARG004
        whole = grad.contiguous().clone()
        torch.distributed.all_reduce(whole)
        return whole[rank()]


def objects_of_all(own: Any) -> list[Any]:
    """What every process has, in the order of their numbers."""
    if world() == 1:
        return [own]
    found: list[Any] = [None] * world()
    torch.distributed.all_gather_object(found, own)
    return found
