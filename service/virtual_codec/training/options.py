"""Options of a training run, in a module that does not load torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

CHECKPOINT: Final = "checkpoint.safetensors"


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """Device, limits and output of a training run, the same for all recipes.

    `time_limit_s` limits this session. With `paced_by_time` it limits the whole run: the learning rate follows the time
    trained over all sessions instead of the steps, and the run ends at the limit. `codec` selects the codec of the
    crops: "host" is the real codec on the CPU, "device" is `device_codec`, and "auto" chooses by the device. With
    `bfloat16` the networks run in that precision under autocast; weights and losses are float32. `compiled` wraps the
    networks in torch.compile. `tensorboard` writes events beside log.csv.
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
    """Arguments of `vcodec train`. `steps`, `batch` and `crop` (pixels) replace the recipe's numbers."""

    recipe: str
    data: Path
    run: RunOptions
    steps: int | None = None
    batch: int | None = None
    crop: int | None = None
    start_from: Path | None = None


@dataclass(frozen=True, kw_only=True)
class TrainReport:
    """Progress of a run after a session.

    `interrupted` is True if a signal ended the session before the last step. `has_diverged` is True if the validation
    score fell too far below its best; the weights are then those of `best_step`.
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
