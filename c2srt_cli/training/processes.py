"""The processes of ``torchrun``: which one this is, and what they settle together."""

import os

import torch
from torch import nn


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


def any_of(here: bool, device: torch.device) -> bool:
    """Whether something holds in any process."""
    if world() == 1:
        return here
    flag = torch.tensor(float(here), device=device)
    torch.distributed.all_reduce(flag)
    return bool(flag > 0)


def mean_gradients(parameters: list[nn.Parameter]) -> None:
    """Average gradients over the processes, a parameter without one counting as zero."""
    if world() == 1:
        return
    for parameter in parameters:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
        torch.distributed.all_reduce(parameter.grad)
        parameter.grad /= world()
