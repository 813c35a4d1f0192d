"""Training: recipes, data, the loop, checkpoints, export. Only the command line imports this package.

A new recipe is one function and one row in `virtual_codec.training.recipes.RECIPES`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from virtual_codec.errors import BadOption
from virtual_codec.training.recipes import RECIPES


@dataclass(frozen=True, kw_only=True)
class TrainRequest:
    """What `vcodec train` was asked for. `steps` replaces the recipe's own number.

    `bfloat16` is for what the networks compute; `compiled` puts torch.compile in front of them; `tensorboard` writes
    events beside log.csv.
    """

    recipe: str
    data: Path
    out: Path
    seed: int = 0
    device: str = "cpu"
    threads: int | None = None
    resume: bool = False
    time_limit_s: float | None = None
    steps: int | None = None
    start_from: Path | None = None
    show_progress: bool = True
    bfloat16: bool = True
    compiled: bool = False
    tensorboard: bool = False
    save_every_s: float = 120.0


@dataclass(frozen=True, kw_only=True)
class TrainReport:
    """Where a run stands after this sitting; `interrupted` when a signal ended that before the last step."""

    recipe: str
    step: int
    steps: int
    seconds: float
    interrupted: bool = False


def train(request: TrainRequest) -> TrainReport:
    """Run a recipe, or go on with it. Raises `BadOption`, `BadTrainingData` or `BadModel`."""
    if request.recipe not in RECIPES:
        raise BadOption(f"no recipe {request.recipe!r}; have {', '.join(RECIPES)}")
    config = RECIPES[request.recipe]()
    if request.steps is not None:
        config = replace(config, steps=request.steps)
    from virtual_codec.training import _stages  # loads torch

    return _stages.run_stage(config, request)
