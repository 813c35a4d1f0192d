"""Several processes that train one network: `torchrun --nproc-per-node N`, one process a device.

Each makes its share of every batch; gradients are averaged after each step, so that all hold the same weights and the
batch is the recipe's whatever the number of processes. That is all there is to data parallelism here: gradients of
networks that a step does not move stay absent, which wrappers around modules do not like.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor, distributed, nn

from virtual_codec.errors import BadOption


@final
@dataclass(frozen=True, kw_only=True)
class Team:
    """The processes of a run; a run of one process is a team of one."""

    rank: int = 0
    size: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this process writes the checkpoints and logs."""
        return self.rank == 0

    def share(self, batch: int) -> int:
        """How many samples of a batch this process makes. Raises `BadOption` where it cannot be shared evenly."""
        if batch % self.size:
            raise BadOption(f"a batch of {batch} cannot be shared by {self.size} processes; use a divisor of {batch}")
        return batch // self.size

    def seed(self, seed: int) -> int:
        """The seed of this process's samples."""
        return seed + self.rank * 1_000_003

    def average_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replace all gradients there are by their means over the team."""
        if self.size == 1:
            return
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        distributed.all_reduce(flat)
        start = 0
        for gradient in gradients:
            gradient.copy_(flat[start : start + gradient.numel()].view_as(gradient) / self.size)
            start += gradient.numel()

    def any_of(self, wish: bool, device: torch.device) -> bool:
        """Whether any process wishes it: all get the same answer."""
        if self.size == 1:
            return wish
        votes = torch.tensor(float(wish), device=device)
        distributed.all_reduce(votes)
        return bool(votes > 0)

    def as_first(self, tensors: Iterable[Tensor]) -> None:
        """Copy the first process's values into all others'."""
        if self.size > 1:
            for tensor in tensors:
                distributed.broadcast(tensor, 0)


@contextmanager
def team(device: str) -> Iterator[tuple[Team, str]]:
    """The team that torchrun's environment names, and this process's device: `cuda` becomes one of its own."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield Team(), device
        return
    kind = torch.device(device).type
    own = f"cuda:{os.environ.get('LOCAL_RANK', '0')}" if kind == "cuda" else device
    distributed.init_process_group("nccl" if kind == "cuda" else "gloo")
    try:
        yield Team(rank=distributed.get_rank(), size=size), own
    finally:
        distributed.destroy_process_group()
