"""Trains what the table asks for, each in a folder of its own, in sittings that go on where the last one stopped."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.ablation.variants import BASE, VARIANTS, Budget, base_config
from virtual_codec.training.checkpoint import CHECKPOINT, load_average, read_progress, under
from virtual_codec.training.config import TrainConfig
from virtual_codec.training.data import Pictures
from virtual_codec.training.loop import LoopOptions, run
from virtual_codec.training.virtual import ColourTrio, VirtualLoss, VirtualValidation, virtual_batches


def train(name: str, budget: Budget, pictures: Pictures, runs: Path, deadline: float) -> bool:
    """Go on with a variant, or the base, until `deadline` (monotonic seconds); whether it is finished."""
    config = base_config(budget) if name == BASE else VARIANTS[name].config(name, budget)
    if config is None:
        return True
    folder = runs / name
    folder.mkdir(parents=True, exist_ok=True)
    if (folder / CHECKPOINT).exists() and read_progress(folder / CHECKPOINT).step >= config.steps:
        return True
    options = LoopOptions(
        out=folder,
        resume=True,
        time_limit_s=max(0.0, deadline - time.monotonic()),
        initial=None if name == BASE else first_weights(runs),
        save_every_s=30,
    )
    network = trio(name, config)
    batches = partial(virtual_batches, pictures, config, 0)
    validate = VirtualValidation(pictures, config, "cpu", most=20)
    progress = run(config, options, network, batches, VirtualLoss(config), validate)
    return progress.step >= config.steps


def trio(name: str, config: TrainConfig) -> ColourTrio:
    """The networks of a variant with fresh weights, always the same."""
    torch.manual_seed(0)
    return ColourTrio(config, None if name == BASE else VARIANTS[name].described())


def first_weights(runs: Path) -> dict[str, Tensor]:
    """What a variant starts from: the base's post-processing, which the virtual codec starts as, too."""
    restoring = under("postprocess.", load_average(runs / BASE / CHECKPOINT))
    return {f"{role}.{name}": value for role in ("postprocess", "virtual_codec") for name, value in restoring.items()}
