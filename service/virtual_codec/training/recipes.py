"""Recipes of training runs. A recipe is a function that returns a `TrainConfig`; `RECIPES` lists them by name."""

from __future__ import annotations

import inspect
from collections.abc import Callable

from virtual_codec.training.codec_recipes import codecs_1
from virtual_codec.training.config import TrainConfig
from virtual_codec.training.jpeg_recipes import (
    drawings_1,
    drawings_2,
    drawings_3,
    drawings_4,
    joint_1,
    joint_2,
    lanczos_2,
    postprocess_1,
    postprocess_2,
    smoke,
    softer_1,
    softer_2,
    virtual_2,
    wider_2,
)
from virtual_codec.training.larger_recipes import best_1, best_2, best_joint_2, large_1, large_2
from virtual_codec.training.published_recipes import (
    paper_jpeg2000_r20,
    paper_jpeg2000_r20_small,
    paper_jpeg2000_r40,
    paper_jpeg_q5,
    paper_jpeg_q10,
    paper_jpeg_q10_small,
    paper_jpeg_q20,
)


def summary_of(recipe: Callable[[], TrainConfig]) -> str:
    """First line of a recipe's docstring."""
    return (inspect.getdoc(recipe) or "").partition("\n")[0]


def documentation_of(recipe: Callable[[], TrainConfig]) -> str:
    """Docstring of a recipe as one paragraph."""
    return " ".join((inspect.getdoc(recipe) or "").split())


RECIPES: dict[str, Callable[[], TrainConfig]] = {
    "postprocess-1": postprocess_1,
    "postprocess-2": postprocess_2,
    "joint-2": joint_2,
    "softer-1": softer_1,
    "softer-2": softer_2,
    "joint-1": joint_1,
    "drawings-1": drawings_1,
    "drawings-2": drawings_2,
    "drawings-3": drawings_3,
    "drawings-4": drawings_4,
    "wider-2": wider_2,
    "lanczos-2": lanczos_2,
    "best-1": best_1,
    "best-2": best_2,
    "best-joint-2": best_joint_2,
    "large-1": large_1,
    "large-2": large_2,
    "virtual-2": virtual_2,
    "codecs-1": codecs_1,
    "paper-jpeg-q5": paper_jpeg_q5,
    "paper-jpeg-q10": paper_jpeg_q10,
    "paper-jpeg-q20": paper_jpeg_q20,
    "paper-jpeg2000-r20": paper_jpeg2000_r20,
    "paper-jpeg2000-r40": paper_jpeg2000_r40,
    "paper-jpeg-q10-small": paper_jpeg_q10_small,
    "paper-jpeg2000-r20-small": paper_jpeg2000_r20_small,
    "smoke": smoke,
}
