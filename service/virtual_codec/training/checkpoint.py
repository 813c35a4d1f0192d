"""Checkpoints of a run: weights, averages, optimiser state and progress in one safetensors file."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from virtual_codec.errors import BadModel
from virtual_codec.training.options import CHECKPOINT

__all__ = [
    "BEST",
    "CHECKPOINT",
    "Progress",
    "load_average",
    "load_checkpoint",
    "read_progress",
    "save_best",
    "save_checkpoint",
    "tensors_under",
]

BEST: Final = "best.safetensors"  # averaged weights of the best validation


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Progress of a run. `seconds` is the time spent training over all its sessions.

    `loss_total` and `loss_count` belong to the steps since the last validation. `best_db` is the best validation score
    so far, or None before the first, and `best_step` its step. `has_diverged` is True if validation fell too far below
    `best_db`. The run is then over, and the averaged weights are those of `best_step`.
    """

    recipe: str
    seed: int
    step: int
    seconds: float
    loss_total: float = 0.0
    loss_count: int = 0
    best_db: float | None = None
    best_step: int = 0
    has_diverged: bool = False


def save_checkpoint(
    folder: Path,
    progress: Progress,
    network: nn.Module,
    average: Mapping[str, Tensor],
    optimizer: torch.optim.Adam,
) -> None:
    """Write `folder`/checkpoint.safetensors atomically."""
    tensors = {f"network.{name}": value for name, value in network.state_dict().items()}
    tensors |= {f"average.{name}": value for name, value in average.items()}
    for name, parameter in network.named_parameters():
        for key, value in optimizer.state.get(parameter, {}).items():
            tensors[f"adam.{key}.{name}"] = torch.as_tensor(value)
    metadata = {"progress": json.dumps(progress.__dict__)}
    partial = folder / f"{CHECKPOINT}.partial"
    save_file({name: value.detach().contiguous().cpu() for name, value in tensors.items()}, partial, metadata)
    os.replace(partial, folder / CHECKPOINT)


def save_best(folder: Path, progress: Progress, average: Mapping[str, Tensor]) -> None:
    """Write the averaged weights to `folder`/best.safetensors atomically."""
    tensors = {f"average.{name}": value.detach().contiguous().cpu() for name, value in average.items()}
    partial = folder / f"{BEST}.partial"
    save_file(tensors, partial, {"progress": json.dumps(progress.__dict__)})
    os.replace(partial, folder / BEST)


def load_checkpoint(
    path: Path, network: nn.Module, average: dict[str, Tensor], optimizer: torch.optim.Adam
) -> Progress:
    """Load a checkpoint into network, average and optimiser, in place. Raises `BadModel` if it does not fit them."""
    try:
        with safe_open(path, framework="pt") as file:
            progress = Progress(**json.loads(file.metadata()["progress"]))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # no mapping
        network.load_state_dict(tensors_under("network.", tensors))
        average.update(tensors_under("average.", tensors))
        for name, parameter in network.named_parameters():
            if f"adam.step.{name}" not in tensors:  # a parameter that never had a gradient
                continue
            state = {key: tensors[f"adam.{key}.{name}"] for key in ("step", "exp_avg", "exp_avg_sq")}
            is_fused = bool(optimizer.defaults.get("fused"))  # a fused Adam counts its steps on the device
            optimizer.state[parameter] = {
                key: value.to(parameter.device) if key != "step" or is_fused else value for key, value in state.items()
            }
    except (KeyError, RuntimeError, SafetensorError, TypeError, ValueError) as error:
        raise BadModel(f"{path} is not a checkpoint of this recipe: {error}") from error
    return progress


def load_average(path: Path) -> dict[str, Tensor]:
    """Averaged weights of a checkpoint. Raises `BadModel` if the file is not one."""
    try:
        with safe_open(path, framework="pt") as file:
            return tensors_under("average.", {name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise BadModel(f"{path} is not a checkpoint: {error}") from error


def read_progress(path: Path) -> Progress:
    """Progress of the run that wrote a checkpoint. Raises `BadModel` if the file is not one."""
    try:
        with safe_open(path, framework="pt") as file:
            return Progress(**json.loads(file.metadata()["progress"]))
    except (OSError, KeyError, TypeError, ValueError, SafetensorError) as error:
        raise BadModel(f"{path} is not a checkpoint: {error}") from error


def tensors_under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors whose names begin with a prefix, without that prefix."""
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
