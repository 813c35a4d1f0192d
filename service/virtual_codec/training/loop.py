"""The training loop: what is to learn, its batches, its checkpoints, until the steps or the time are used up."""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import FrameType
from typing import Final, Protocol, Self, TypeVar, final

import torch
from torch import Tensor, nn
from tqdm import tqdm

from virtual_codec.training.checkpoint import CHECKPOINT, Progress, load_checkpoint, save_checkpoint
from virtual_codec.training.config import TrainConfig
from virtual_codec.training.diary import LOG, Diary, figures_of
from virtual_codec.training.growth import grown
from virtual_codec.training.parallel import Team

__all__ = [
    "LOG",
    "Interrupt",
    "LoopOptions",
    "OnDevice",
    "RunningMean",
    "averaged",
    "learning_rate",
    "run",
    "take_over",
]

_RECENT: Final = 100


class OnDevice(Protocol):
    """A batch: what a step learns from."""

    def to(self, device: torch.device, /) -> Self:
        """The same on a device."""


BatchT = TypeVar("BatchT", bound=OnDevice)


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


@dataclass(frozen=True, kw_only=True)
class LoopOptions:
    """Where and how a recipe runs. `time_limit_s` bounds this sitting, not the whole run.

    `bfloat16` is for what the networks compute, weights and losses are float32; `compiled` puts torch.compile in front.
    """

    out: Path
    seed: int = 0
    device: str = "cpu"
    resume: bool = False
    time_limit_s: float | None = None
    initial: Mapping[str, Tensor] | None = None
    show_progress: bool = True
    save_every_s: float = 120.0
    bfloat16: bool = True
    compiled: bool = False
    tensorboard: bool = False
    team: Team = field(default_factory=Team)
    interrupt: Interrupt = field(default_factory=Interrupt)


@final
class RunningMean:
    """The mean loss since the last validation, and of the last hundred steps. It survives in checkpoints."""

    def __init__(self, *, total: float = 0.0, count: int = 0) -> None:
        self.total = total
        self.count = count
        self._recent: list[float] = []

    @property
    def mean(self) -> float:
        """Since the last `clear`."""
        return self.total / max(1, self.count)

    @property
    def recent(self) -> float:
        """Of the last hundred steps."""
        return sum(self._recent) / max(1, len(self._recent))

    def add(self, loss: float) -> None:
        """Take in a step's loss."""
        self.total += loss
        self.count += 1
        self._recent = [*self._recent[1 - _RECENT :], loss]

    def clear(self) -> None:
        """Begin anew."""
        self.total, self.count = 0.0, 0


def run(
    config: TrainConfig,
    options: LoopOptions,
    network: nn.Module,
    batches: Callable[[int], Iterator[BatchT]],
    loss_of: Callable[[nn.Module, BatchT], Tensor],
    validate: Callable[[nn.Module], dict[str, float]],
) -> Progress:
    """Train `network` in place and leave its averaged weights in it; returns where the run stands.

    `batches(step)` gives batches from a step on; `validate` measures the averaged network. A loss may freeze parts of
    the network for a step: what gets no gradient does not move. SIGINT and SIGTERM end it between two steps.
    """
    with options.interrupt.watching():
        return _run(config, options, network, batches, loss_of, validate)


def learning_rate(config: TrainConfig, step: int) -> float:
    """Linear warm-up, then a half cosine down to a fiftieth, or nothing where the recipe's decay is none."""
    if step < config.warmup_steps:
        return config.learning_rate * (step + 1) / config.warmup_steps
    if config.decay == "none":
        return config.learning_rate
    done = (step - config.warmup_steps) / max(1, config.steps - config.warmup_steps)
    return config.learning_rate * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * done)))


def take_over(network: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Take over what fits: a body moves between scales, a head does not; a smaller network is grown into."""
    network.load_state_dict(grown(network.state_dict(), weights))


@contextmanager
def averaged(network: nn.Module, average: Mapping[str, Tensor]) -> Iterator[None]:
    """The network with its averaged weights, evaluating, for the time of the block."""
    current = {name: value.detach().clone() for name, value in network.state_dict().items()}
    network.load_state_dict(average)
    network.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        network.load_state_dict(current)
        network.train()


def compile_parts(network: nn.Module) -> None:
    """Put torch.compile in front of a network, or of each network of a holder, which is never called itself."""
    is_holder = type(network).forward is nn.Module().forward.__func__  # type: ignore[attr-defined]
    for part in network.children() if is_holder else [network]:
        part.compile()


def _run(
    config: TrainConfig,
    options: LoopOptions,
    network: nn.Module,
    batches: Callable[[int], Iterator[BatchT]],
    loss_of: Callable[[nn.Module, BatchT], Tensor],
    validate: Callable[[nn.Module], dict[str, float]],
) -> Progress:
    device, team = torch.device(options.device), options.team
    network.to(device)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    learning = [parameter for parameter in network.parameters() if parameter.requires_grad]
    optimizer = torch.optim.Adam(learning, lr=config.learning_rate, betas=(0.9, 0.99))
    average = {name: value.detach().clone() for name, value in network.state_dict().items()}
    before = Progress(recipe=config.name, seed=options.seed, step=0, seconds=0.0)
    path = options.out / CHECKPOINT
    if options.resume and path.exists():
        before = load_checkpoint(path, network, average, optimizer)
    elif options.initial is not None:
        take_over(network, options.initial)
    team.as_first(network.state_dict().values())
    if before.step == 0:
        average = {name: value.detach().clone() for name, value in network.state_dict().items()}
    if options.compiled:
        compile_parts(network)
    started = saved = time.monotonic()
    step, losses = before.step, RunningMean(total=before.loss_total, count=before.loss_count)

    def now() -> Progress:
        seconds = round(before.seconds + time.monotonic() - started, 1)
        return replace(before, step=step, seconds=seconds, loss_total=losses.total, loss_count=losses.count)

    def is_over() -> bool:
        late = options.time_limit_s is not None and time.monotonic() - started > options.time_limit_s
        return team.any_of(late or options.interrupt.requested, device)

    diary = Diary(options.out, step=step, tensorboard=options.tensorboard) if team.is_first else None
    shown = options.show_progress and team.is_first
    bar = tqdm(total=config.steps, initial=step, desc=config.name, disable=not shown, mininterval=5)
    source = batches(step)
    with bar:
        while step < config.steps and not is_over():
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(config, step)
            batch = next(source).to(device)
            with torch.autocast(device.type, torch.bfloat16, enabled=options.bfloat16):
                loss = loss_of(network, batch)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            team.average_gradients(learning)
            torch.nn.utils.clip_grad_norm_(learning, 1.0)
            optimizer.step()
            step += 1
            decay = min(config.ema_decay, step / (step + 10))
            with torch.no_grad():
                for name, value in network.state_dict().items():
                    average[name].lerp_(value, 1 - decay)
            losses.add(loss.item())
            bar.update()
            if step % 20 == 0:
                figures = {"loss": losses.recent, **figures_of(loss_of)}
                bar.set_postfix({name: f"{value:.4f}" for name, value in figures.items()}, refresh=False)
            if diary is not None and (step % config.validate_every == 0 or step == config.steps):
                with averaged(network, average):
                    diary.measured(step, now().seconds, losses.mean, validate(network))
                    diary.showed(step, validate, network)
            if step % config.validate_every == 0:
                losses.clear()
            if team.is_first and time.monotonic() - saved > options.save_every_s:
                save_checkpoint(options.out, now(), network, average, optimizer)
                saved = time.monotonic()
    if diary is not None:
        save_checkpoint(options.out, now(), network, average, optimizer)
        diary.close()
    network.load_state_dict(average)
    return now()
