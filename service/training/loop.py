"""The training loop: one network, its batches, its checkpoints, until the steps or the time are used up."""

from __future__ import annotations

import csv
import math
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType
from typing import Final, final

import torch
from torch import Tensor, nn
from tqdm import tqdm

from service.training.checkpoint import CHECKPOINT, Progress, load_checkpoint, save_checkpoint
from service.training.growth import grown
from service.training.recipes import TrainConfig
from service.training.samples import Batch

_SAVE_EVERY_S: Final = 120.0
LOG: Final = "log.csv"

Loss = Callable[[nn.Module, Batch], Tensor]


@dataclass(frozen=True, kw_only=True)
class LoopOptions:
    """Where and how a recipe runs. `time_limit_s` bounds this sitting, not the whole run."""

    out: Path
    seed: int = 0
    device: str = "cpu"
    resume: bool = False
    time_limit_s: float | None = None
    initial: Mapping[str, Tensor] | None = None
    show_progress: bool = True


@final
class Interrupt:
    """True once a signal asked for the end, so that a run stops between two steps with its checkpoint written."""

    def __init__(self) -> None:
        self.requested = False

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Take over SIGINT and SIGTERM for the time of the block."""
        before = {number: signal.signal(number, self._request) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _request(self, _number: int, _frame: FrameType | None) -> None:
        self.requested = True


def run(
    config: TrainConfig,
    options: LoopOptions,
    network: nn.Module,
    batches: Callable[[int], Iterator[Batch]],
    loss_of: Loss,
    validate: Callable[[nn.Module], dict[str, float]],
) -> Progress:
    """Train `network` in place and leave its averaged weights in it; returns where the run stands.

    `batches(step)` gives batches from a step on; `validate` measures the averaged network.
    """
    device = torch.device(options.device)
    network.to(device)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    learning = [parameter for parameter in network.parameters() if parameter.requires_grad]
    optimizer = torch.optim.Adam(learning, lr=config.learning_rate, betas=(0.9, 0.99))
    average = {name: value.detach().clone() for name, value in network.state_dict().items()}
    progress = Progress(recipe=config.name, seed=options.seed, step=0, seconds=0.0)
    path = options.out / CHECKPOINT
    if options.resume and path.exists():
        progress = load_checkpoint(path, network, average, optimizer)
    elif options.initial is not None:
        take_over(network, options.initial)
        average = {name: value.detach().clone() for name, value in network.state_dict().items()}
    started = time.monotonic()
    saved = started
    step, interrupt = progress.step, Interrupt()

    def now() -> Progress:
        seconds = progress.seconds + time.monotonic() - started
        return Progress(recipe=config.name, seed=progress.seed, step=step, seconds=round(seconds, 1))

    bar = tqdm(total=config.steps, initial=step, desc=config.name, disable=not options.show_progress, mininterval=5)
    source = batches(step)
    losses: list[float] = []
    with interrupt.watching(), bar:
        while step < config.steps and not interrupt.requested:
            if options.time_limit_s is not None and time.monotonic() - started > options.time_limit_s:
                break
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(config, step)
            batch = next(source)
            with torch.autocast(device.type, torch.bfloat16):
                loss = loss_of(network, _to(batch, device))
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(learning, 1.0)
            optimizer.step()
            step += 1
            decay = min(config.ema_decay, step / (step + 10))
            with torch.no_grad():
                for name, value in network.state_dict().items():
                    average[name].lerp_(value, 1 - decay)
            losses.append(loss.item())
            bar.update()
            if step % 20 == 0:
                bar.set_postfix(loss=f"{sum(losses[-100:]) / len(losses[-100:]):.5f}", refresh=False)
            if step % config.validate_every == 0 or step == config.steps:
                measured = _with_average(network, average, validate)
                _log(options.out / LOG, step, now().seconds, sum(losses) / len(losses), measured)
                losses.clear()
            if time.monotonic() - saved > _SAVE_EVERY_S:
                save_checkpoint(options.out, now(), network, average, optimizer)
                saved = time.monotonic()
    save_checkpoint(options.out, now(), network, average, optimizer)
    network.load_state_dict(average)
    return now()


def learning_rate(config: TrainConfig, step: int) -> float:
    """Linear warm-up, then a half cosine down to a fiftieth."""
    if step < config.warmup_steps:
        return config.learning_rate * (step + 1) / config.warmup_steps
    done = (step - config.warmup_steps) / max(1, config.steps - config.warmup_steps)
    return config.learning_rate * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * done)))


def take_over(network: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Take over what fits: a body moves between scales, a head does not; a smaller network is grown into."""
    network.load_state_dict(grown(network.state_dict(), weights))


def _to(batch: Batch, device: torch.device) -> Batch:
    if device.type == "cpu":
        return batch
    return replace(
        batch,
        decoded=batch.decoded.to(device, non_blocking=True),
        image=batch.image.to(device, non_blocking=True),
        condition=batch.condition.to(device, non_blocking=True),
    )


def _with_average(
    network: nn.Module, average: dict[str, Tensor], validate: Callable[[nn.Module], dict[str, float]]
) -> dict[str, float]:
    current = {name: value.detach().clone() for name, value in network.state_dict().items()}
    network.load_state_dict(average)
    network.eval()
    try:
        with torch.no_grad():
            return validate(network)
    finally:
        network.load_state_dict(current)
        network.train()


def _log(path: Path, step: int, seconds: float, loss: float, measured: dict[str, float]) -> None:
    new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.writer(file)
        if new:
            writer.writerow(["step", "seconds", "loss", *measured])
        writer.writerow([step, seconds, f"{loss:.6f}", *(f"{value:.4f}" for value in measured.values())])
