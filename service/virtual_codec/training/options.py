"""Options of a training run: values that the command line fills in, without torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

CHECKPOINT: Final = "checkpoint.safetensors"


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """Device, limits and output of a training run, whatever it trains.

    `time_limit_s` bounds this session, not the whole run, unless `paced_by_time`: then the learning rate falls with the
    time trained, over all sessions, and the run ends with it at that limit, whatever number of steps it made. `codec`
    says what codes the crops: the real codec on the processor ("host"), `device_codec` ("device"), or by the device
    ("auto"). `bfloat16` is the networks' precision under autocast;
    weights and losses are float32. `compiled` wraps the networks in torch.compile. `tensorboard` writes events beside
    log.csv.
    """

    out: Path
    seed: int = 0
    device: str = "cpu"
    threads: int | None = None
    resume: bool = False
    time_limit_s: float | None = None
    paced_by_time: bool = False
    codec: Literal["auto", "host", "device"] = "auto"
    show_progress: bool = True
    save_every_s: float = 120.0
    bfloat16: bool = True
    compiled: bool = False
    tensorboard: bool = False


@dataclass(frozen=True, kw_only=True)
class TrainRequest:
    """Arguments of `vcodec train`: a recipe, its images, and how to run it.

    `steps`, `batch` and `crop` replace the recipe's numbers.
    """

    recipe: str
    data: Path
    run: RunOptions
    steps: int | None = None
    batch: int | None = None
    crop: int | None = None
    start_from: Path | None = None


@dataclass(frozen=True, kw_only=True)
class TrainReport:
    """Progress of a run after a session; `interrupted` if a signal ended the session before the last step.

    `has_diverged` is True if validation fell too far below its best; the weights of `best_step` are kept then.
    """

    recipe: str
    step: int
    steps: int
    seconds: float
    interrupted: bool = False
    has_diverged: bool = False
    best_step: int = 0


def has_checkpoint(options: RunOptions) -> bool:
    """True if the run's folder holds a checkpoint."""
    return (options.out / CHECKPOINT).exists()
