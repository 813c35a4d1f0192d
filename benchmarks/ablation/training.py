"""Training of the variants, each in its own folder, resumed from its last checkpoint."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.ablation.variants import BASE, VARIANTS, Budget, base_config
from virtual_codec.training.checkpoint import CHECKPOINT, load_average, read_progress, tensors_under
from virtual_codec.training.config import TrainConfig
from virtual_codec.training.data import Pictures
from virtual_codec.training.loop import TrainingTask, run
from virtual_codec.training.options import RunOptions
from virtual_codec.training.virtual import VirtualCodecNetworks, VirtualLoss, VirtualValidation, virtual_batches


def train(name: str, budget: Budget, pictures: Pictures, runs: Path, deadline: float) -> bool:
    """Train or resume a variant, or the base, until `deadline` (monotonic seconds). True if it is finished."""
    config = base_config(budget) if name == BASE else VARIANTS[name].config(name, budget)
    if config is None:
        return True
    folder = runs / name
    folder.mkdir(parents=True, exist_ok=True)
    if (folder / CHECKPOINT).exists() and read_progress(folder / CHECKPOINT).step >= config.steps:
        return True
    options = RunOptions(out=folder, resume=True, time_limit_s=max(0.0, deadline - time.monotonic()), save_every_s=30)
    task = TrainingTask(
        network=networks_of(name, config),
        batches=partial(virtual_batches, pictures, config, 0),
        loss=VirtualLoss(config),
        validate=VirtualValidation(pictures, config, "cpu", most=20),
    )
    progress = run(config, options, task, initial=None if name == BASE else base_weights(runs))
    return progress.step >= config.steps


def networks_of(name: str, config: TrainConfig) -> VirtualCodecNetworks:
    """Networks of a variant with random weights of a fixed seed."""
    torch.manual_seed(0)
    return VirtualCodecNetworks(config, None if name == BASE else VARIANTS[name].described())


def base_weights(runs: Path) -> dict[str, Tensor]:
    """Initial weights of a variant: the base's post-processing, copied into the virtual codec."""
    restoring = tensors_under("postprocess.", load_average(runs / BASE / CHECKPOINT))
    return {f"{role}.{name}": value for role in ("postprocess", "virtual_codec") for name, value in restoring.items()}
