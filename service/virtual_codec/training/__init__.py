"""Training: recipes, data, the loop, checkpoints, export. Only the command line imports this package.

To add a recipe: a function and a row in `virtual_codec.training.recipes.RECIPES`.
"""

from __future__ import annotations

from dataclasses import replace

from virtual_codec.errors import BadOption
from virtual_codec.training.options import RunOptions, TrainReport, TrainRequest
from virtual_codec.training.recipes import RECIPES

__all__ = ["RunOptions", "TrainReport", "TrainRequest", "train"]


def train(request: TrainRequest) -> TrainReport:
    """Run a recipe, or resume it. Raises `BadOption`, `BadTrainingData` or `BadModel`."""
    if request.recipe not in RECIPES:
        raise BadOption(f"no recipe {request.recipe!r}; have {', '.join(RECIPES)}")
    config = RECIPES[request.recipe]()
    if request.steps is not None:
        config = replace(config, steps=request.steps)
    from virtual_codec.training import targets  # loads torch

    return targets.train_recipe(config, request)
