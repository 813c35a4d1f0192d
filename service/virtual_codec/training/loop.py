"""Training loop: optimiser steps, validation and checkpoints, until the last step or the time limit."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final, Generic, Protocol, Self, TypeVar, final, runtime_checkable

import torch
from torch import Tensor, nn
from tqdm import tqdm

from virtual_codec.training.average import averaged_model, set_averaged_steps, set_averaged_weights
from virtual_codec.training.checkpoint import (
    BEST,
    CHECKPOINT,
    Progress,
    load_average,
    load_checkpoint,
    save_best,
    save_checkpoint,
)
from virtual_codec.training.config import TrainConfig
from virtual_codec.training.growth import grown_state
from virtual_codec.training.interrupt import Interrupt
from virtual_codec.training.options import RunOptions
from virtual_codec.training.process_group import ProcessGroup
from virtual_codec.training.run_log import RunLog, reported_figures
from virtual_codec.training.running_mean import RunningMean

_FETCH_INTERVAL: Final = 20  # steps, for the progress bar
DIVERGENCE_DB: Final = 0.5  # fall of the score below its best that ends a run; joint training at scale 2 can diverge


class TrainingBatch(Protocol):
    """Batch of one optimiser step."""

    def to(self, device: torch.device, /) -> Self:
        """Copy of the batch on a device."""


BatchT = TypeVar("BatchT", bound=TrainingBatch)


@runtime_checkable
class HasScore(Protocol):
    """Validation with a score in dB, which selects the best weights and detects divergence."""

    def score_db(self, figures: Mapping[str, float]) -> float:
        """Score of measured figures; higher is better."""


@runtime_checkable
class HasReference(Protocol):
    """Network that keeps a copy of its initial weights."""

    def begin(self) -> None:
        """Copy the initial weights. Called after they are loaded."""


@dataclass(frozen=True, kw_only=True)
class TrainingTask(Generic[BatchT]):
    """Network to train, with its batches, loss and validation.

    `batches(step)` yields the batches from a step on. `loss` may freeze parts of the network for a step, because
    parameters without a gradient do not change. `validate` measures the averaged network.
    """

    network: nn.Module
    batches: Callable[[int], Iterator[BatchT]]
    loss: Callable[[nn.Module, BatchT], Tensor]
    validate: Callable[[nn.Module], dict[str, float]]


def run(
    config: TrainConfig,
    options: RunOptions,
    task: TrainingTask[BatchT],
    *,
    initial: Mapping[str, Tensor] | None = None,
    processes: ProcessGroup | None = None,
    interrupt: Interrupt | None = None,
) -> Progress:
    """Train a task's network, load its averaged weights into it, and return the progress of the run.

    `initial` weights are loaded if the run does not resume from a checkpoint. SIGINT and SIGTERM end the run between
    two steps. The run also ends if the validation score falls by more than `DIVERGENCE_DB` below its best. The averaged
    weights are then those of the best validation.
    """
    interrupt = interrupt or Interrupt()
    with interrupt.watching():
        session = _Session(config, options, task, processes or ProcessGroup(), interrupt)
        session.restore(initial)
        return session.train()


def learning_rate(config: TrainConfig, step: int, share_of_time: float | None = None) -> float:
    """Learning rate of a step: linear warm-up, then a half cosine down to a fiftieth, or constant without decay.

    The cosine follows the steps, or `share_of_time`: the share of the run's time that has passed, 0 to 1.
    """
    if step < config.warmup_steps and share_of_time is None:
        return config.learning_rate * (step + 1) / config.warmup_steps
    if config.decay == "none":
        return config.learning_rate
    if share_of_time is None:
        done = (step - config.warmup_steps) / max(1, config.steps - config.warmup_steps)
    else:
        done = min(1.0, share_of_time)
    rising = min(1.0, (step + 1) / max(1, config.warmup_steps))
    return rising * config.learning_rate * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * done)))


def load_matching_weights(network: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Load weights of the same name and shape into a network, or grow it from a smaller one; leave its others."""
    network.load_state_dict(grown_state(network.state_dict(), weights))


def compile_parts(network: nn.Module) -> None:
    """Compile a network with torch.compile, or each child of a module without a forward method."""
    is_holder = type(network).forward is nn.Module().forward.__func__  # type: ignore[attr-defined]
    for part in network.children() if is_holder else [network]:
        part.compile()


@final
class _Session(Generic[BatchT]):
    """State of a run from its start or resumption until it stops."""

    def __init__(
        self,
        config: TrainConfig,
        options: RunOptions,
        task: TrainingTask[BatchT],
        processes: ProcessGroup,
        interrupt: Interrupt,
    ) -> None:
        self._config, self._options, self._task = config, options, task
        self._processes, self._interrupt = processes, interrupt
        self._device = torch.device(options.device)
        self._network = task.network
        self._network.to(self._device)
        self._network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._trained_parameters = [each for each in self._network.parameters() if each.requires_grad]
        is_fused = self._device.type == "cuda"
        self._optimizer = torch.optim.Adam(
            self._trained_parameters, lr=config.learning_rate, betas=(0.9, 0.99), fused=is_fused
        )
        self._average = averaged_model(self._network, config.ema_decay)
        self._earlier_progress = Progress(recipe=config.name, seed=options.seed, step=0, seconds=0.0)
        self._step = 0
        self._losses = RunningMean()
        self._pending_losses: list[Tensor] = []
        self._validated_step = 0
        self._started = time.monotonic()

    def restore(self, initial: Mapping[str, Tensor] | None) -> None:
        """Load the checkpoint of a resumed run, or the initial weights of a new one."""
        path = self._options.out / CHECKPOINT
        if self._options.resume and path.exists():
            average = dict(self._average.module.state_dict())
            self._earlier_progress = load_checkpoint(path, self._network, average, self._optimizer)
            set_averaged_weights(self._average, average)
        elif initial is not None:
            load_matching_weights(self._network, initial)
        self._processes.broadcast_from_first(self._network.state_dict().values())
        if self._earlier_progress.step == 0:
            if isinstance(self._network, HasReference):
                self._network.begin()
            set_averaged_weights(self._average, self._network.state_dict())
        self._step = self._earlier_progress.step
        set_averaged_steps(self._average, self._step)
        self._losses = RunningMean(total=self._earlier_progress.loss_total, count=self._earlier_progress.loss_count)

    def train(self) -> Progress:
        """Make the remaining steps, or as many as the time limit allows."""
        config, options = self._config, self._options
        if options.compiled:
            compile_parts(self._network)
        is_first = self._processes.is_first
        log = RunLog(options.out, step=self._step, tensorboard=options.tensorboard) if is_first else None
        self._started = saved = time.monotonic()
        shown = options.show_progress and is_first
        total = None if options.paced_by_time else config.steps
        bar = tqdm(total=total, initial=self._step, desc=config.name, disable=not shown, mininterval=5)
        source = self._task.batches(self._step)
        with bar:
            while self._step < config.steps and not self._is_over():
                self._pending_losses.append(self._make_step(next(source)))
                bar.update()
                if self._step % _FETCH_INTERVAL == 0:
                    self._fetch_losses()
                    figures = {"loss": self._losses.recent, **reported_figures(self._task.loss)}
                    bar.set_postfix({name: f"{value:.4f}" for name, value in figures.items()}, refresh=False)
                self._validate(log)
                if is_first and time.monotonic() - saved > options.save_every_s:
                    self._save()
                    saved = time.monotonic()
        if options.paced_by_time and self._validated_step != self._step:  # the time limit came before a validation
            self._validate(log, is_last=True)
        if log is not None:
            self._save()
            log.close()
        self._network.load_state_dict(self._average.module.state_dict())
        return self._progress()

    def _make_step(self, batch: BatchT) -> Tensor:
        """Make a step and return its loss. A device may still be computing it."""
        for group in self._optimizer.param_groups:
            group["lr"] = learning_rate(self._config, self._step, self._share_of_time())
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._options.bfloat16):
            loss = self._task.loss(self._network, batch.to(self._device))
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self._processes.average_gradients(self._trained_parameters)
        torch.nn.utils.clip_grad_norm_(self._trained_parameters, 1.0)
        self._optimizer.step()
        self._step += 1
        self._average.update_parameters(self._network)
        return loss.detach()

    def _fetch_losses(self) -> None:
        """Add the pending losses to the running mean, many at once: a wait for each would leave a device idle."""
        if self._pending_losses:
            for loss in torch.stack(self._pending_losses).tolist():
                self._losses.add(loss)
            self._pending_losses.clear()

    def _share_of_time(self) -> float | None:
        """Share of the time limit that has passed, for a run that is paced by time; None for others."""
        limit = self._options.time_limit_s if self._options.paced_by_time else None
        return None if limit is None else (self._earlier_progress.seconds + time.monotonic() - self._started) / limit

    def _validate(self, log: RunLog | None, *, is_last: bool = False) -> None:
        is_due = self._step % self._config.validate_every == 0
        is_last = is_last or self._step == self._config.steps
        if is_due or is_last:
            self._fetch_losses()
            self._validated_step = self._step
        if log is not None and (is_due or is_last):
            with torch.no_grad():
                network = self._average.module
                figures = self._task.validate(network)
                log.add_validation(self._step, self._progress().seconds, self._losses.mean, figures)
                log.add_samples(self._step, self._task.validate, network)
                self._keep_best(figures)
        if is_due:
            self._losses.clear()

    def _keep_best(self, figures: Mapping[str, float]) -> None:
        """Save the weights if they are the best so far, or load the best ones if these have diverged."""
        validate: object = self._task.validate
        if not isinstance(validate, HasScore):
            return
        score, best = validate.score_db(figures), self._earlier_progress.best_db
        if best is None or score > best:
            self._earlier_progress = replace(self._earlier_progress, best_db=score, best_step=self._step)
            save_best(self._options.out, self._progress(), self._average.module.state_dict())
        elif not score >= best - DIVERGENCE_DB:  # written so that NaN counts as divergence
            self._earlier_progress = replace(self._earlier_progress, has_diverged=True)
            set_averaged_weights(self._average, load_average(self._options.out / BEST))

    def _is_over(self) -> bool:
        limit, share = self._options.time_limit_s, self._share_of_time()
        is_late = limit is not None and time.monotonic() - self._started > limit
        if share is not None:
            is_late = share >= 1
        is_over = is_late or self._interrupt.requested or self._earlier_progress.has_diverged
        return self._processes.any_of(is_over, self._device)

    def _progress(self) -> Progress:
        seconds = round(self._earlier_progress.seconds + time.monotonic() - self._started, 1)
        losses = self._losses
        return replace(
            self._earlier_progress, step=self._step, seconds=seconds, loss_total=losses.total, loss_count=losses.count
        )

    def _save(self) -> None:
        self._fetch_losses()
        average = self._average.module.state_dict()
        save_checkpoint(self._options.out, self._progress(), self._network, average, self._optimizer)
