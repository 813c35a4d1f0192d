"""Data-parallel training of one network by `torchrun --nproc-per-node N`, with one process for each device.

Each process makes its share of every batch, so the whole batch is the recipe's for any number of processes. Gradients
are averaged after each step, so all processes hold the same weights. DistributedDataParallel is not used, because it
does not accept parameters without gradients, which a step with frozen networks has.
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
class ProcessGroup:
    """Processes of a run: rank of this process, and number of processes."""

    rank: int = 0
    size: int = 1

    @property
    def is_first(self) -> bool:
        """True if this process writes the checkpoints and logs."""
        return self.rank == 0

    def share(self, batch: int) -> int:
        """This process's number of samples in a batch. Raises `BadOption` if the batch cannot be shared evenly."""
        if batch % self.size:
            raise BadOption(f"a batch of {batch} cannot be shared by {self.size} processes; use a divisor of {batch}")
        return batch // self.size

    def seed(self, seed: int) -> int:
        """Seed of this process's samples."""
        return seed + self.rank * 1_000_003

    def average_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replace gradients by their means over the processes; parameters without a gradient are skipped."""
        if self.size == 1:
            return
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        distributed.all_reduce(flat)
        start = 0
        for gradient in gradients:
            gradient.copy_(flat[start : start + gradient.numel()].view_as(gradient) / self.size)
            start += gradient.numel()

    def any_of(self, flag: bool, device: torch.device) -> bool:
        """True in all processes if the flag is set in any of them."""
        if self.size == 1:
            return flag
        votes = torch.tensor(float(flag), device=device)
        distributed.all_reduce(votes)
        return bool(votes > 0)

    def broadcast_from_first(self, tensors: Iterable[Tensor]) -> None:
        """Copy the first process's values into those of all others."""
        if self.size > 1:
            for tensor in tensors:
                distributed.broadcast(tensor, 0)


@contextmanager
def process_group(device: str) -> Iterator[tuple[ProcessGroup, str]]:
    """Process group from torchrun's environment variables, and this process's device; `cuda` becomes `cuda:N`."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield ProcessGroup(), device
        return
    kind = torch.device(device).type
    own = f"cuda:{os.environ.get('LOCAL_RANK', '0')}" if kind == "cuda" else device
    distributed.init_process_group("nccl" if kind == "cuda" else "gloo")
    try:
        yield ProcessGroup(rank=distributed.get_rank(), size=size), own
    finally:
        distributed.destroy_process_group()
