"""Training of models: recipes, data, loop, checkpoints and export. Only the command line imports this package.

To add a recipe: a function and a row in `virtual_codec.training.recipes.RECIPES`.
"""

from __future__ import annotations

from dataclasses import replace

from virtual_codec.errors import BadOption
from virtual_codec.training.options import RunOptions, TrainReport, TrainRequest, has_checkpoint
from virtual_codec.training.recipes import RECIPES

__all__ = ["RunOptions", "TrainReport", "TrainRequest", "train"]


def train(request: TrainRequest) -> TrainReport:
    """Train a recipe from its start, or resume it. Raises `BadOption`, `BadTrainingData` or `BadModel`.

    Some recipes start from another run's weights. They need `start_from`, unless they resume from a checkpoint.
    """
    if request.recipe not in RECIPES:
        raise BadOption(f"no recipe {request.recipe!r}; have {', '.join(RECIPES)}")
    config = RECIPES[request.recipe]()
    try:
        config = replace(
            config,
            steps=config.steps if request.steps is None else request.steps,
            batch=config.batch if request.batch is None else request.batch,
            crop=config.crop if request.crop is None else request.crop,
        )
    except ValueError as error:
        raise BadOption(str(error)) from error
    needed = config.starts_from
    if needed is not None and request.start_from is None and not (request.run.resume and has_checkpoint(request.run)):
        raise BadOption(
            f"{request.recipe} needs the weights of a finished run of {needed}: "
            f"give the folder of such a run, or of a model of that name, with --start-from"
        )
    from virtual_codec.training import targets  # loads torch

    return targets.train_recipe(config, request)
