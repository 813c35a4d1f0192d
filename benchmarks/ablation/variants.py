"""Variants of the ablation, all with the same post-processing network and the same number of its steps.

VARIANTS  name -> description, kinds of steps, terms of the loss
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final, Literal, final

from torch import Tensor, nn
from torch.nn import functional

from virtual_codec.networks import shrink
from virtual_codec.training.config import TrainConfig
from virtual_codec.training.recipes import RECIPES
from virtual_codec.training.schedule import Phase, Schedule, StepKind

Filter = Callable[[Tensor], Tensor]

FILTERS: Final[Mapping[str, Filter]] = {
    "area": lambda image: functional.avg_pool2d(image, 2),
    "bicubic": lambda image: functional.interpolate(image, scale_factor=0.5, mode="bicubic", antialias=True),
    "lanczos": shrink,
}
ANCHOR: Final = "lanczos"  # fixed downscale with which all others are compared
BASE: Final = "base"  # run from which every trained variant starts


@dataclass(frozen=True, kw_only=True)
class Budget:
    """Steps of post-processing: in the base run, which all variants share, and in each variant."""

    base: int
    more: int


@final
class FixedDescription(nn.Module):
    """Plain downscale that replaces the description network."""

    def __init__(self, filter_name: str) -> None:
        super().__init__()
        self._filter = FILTERS[filter_name]

    def forward(self, image: Tensor, _condition: Tensor) -> Tensor:
        """[B, 3, 2h, 2w] -> [B, 3, h, w], not clipped."""
        return self._filter(image)


@dataclass(frozen=True, kw_only=True)
class Variant:
    """Variant of the training. `share` is the share of the description's gradient through the virtual codec.

    With `run` nothing is trained: the networks are those of a finished run of that recipe.
    """

    label: str
    run: str | None = None
    filter: Literal["area", "bicubic", "lanczos"] | None = None
    route: Literal["none", "post", "joint", "single pass"] = "joint"
    share: float = 0.0
    rate_weight: float = 0.6
    pull_weight: float = 0.5

    def described(self) -> nn.Module | None:
        """Fixed description module, or None for a network."""
        return FixedDescription(self.filter) if self.filter else None

    def config(self, name: str, budget: Budget) -> TrainConfig | None:
        """Training configuration of the variant, or None if it is not trained."""
        if self.route == "none" or self.run:
            return None
        opening, cycle, rounds = _schedule(self, budget.more)
        schedule = Schedule(opening=opening, cycle=cycle, virtual_share=self.share)
        steps = sum(phase.steps for phase in opening) + rounds * sum(phase.steps for phase in cycle)
        return replace(
            reduced(name),
            steps=steps,
            learning_rate=5e-4,
            schedule=schedule,
            rate_weight=self.rate_weight,
            pull_weight=self.pull_weight,
            validate_every=max(1, steps // 5),
        )


VARIANTS: Final[dict[str, Variant]] = {
    "lanczos-plain": Variant(label="Lanczos, JPEG, bicubic", filter="lanczos", route="none"),
    "bicubic-plain": Variant(label="bicubic, JPEG, bicubic", filter="bicubic", route="none"),
    "area-plain": Variant(label="area, JPEG, bicubic", filter="area", route="none"),
    "lanczos": Variant(label="Lanczos, post-processing", filter="lanczos", route="post"),
    "smooth": Variant(label="learned through the smooth JPEG"),
    "virtual": Variant(label="learned through the virtual codec", share=1.0),
    "area": Variant(label="area, post-processing", filter="area", route="post"),
    "smooth-no-rate": Variant(label="smooth JPEG, no rate term", rate_weight=0.0),
    "mixed": Variant(label="learned through both, half and half", share=0.5),
    "virtual-no-rate": Variant(label="virtual codec, no rate term", share=1.0, rate_weight=0.0),
    "virtual-single-pass": Variant(label="virtual codec, one pass, no alternation", share=1.0, route="single pass"),
    "bicubic": Variant(label="bicubic, post-processing", filter="bicubic", route="post"),
    "virtual-bare": Variant(label="virtual codec, no rate, no pull", share=1.0, rate_weight=0.0, pull_weight=0.0),
}

# Networks of the default model, from the folders of their runs.
FULL_SIZE: Final[dict[str, Variant]] = {
    "full-lanczos": Variant(label="Lanczos, `lanczos-2`", filter="lanczos", run="lanczos-2"),
    "full-area": Variant(label="area, `lanczos-2`", filter="area", run="lanczos-2"),
    "full-bicubic": Variant(label="bicubic, `lanczos-2`", filter="bicubic", run="lanczos-2"),
    "full-learned": Variant(label="learned, `wider-2`", run="wider-2"),
    "full-lanczos-joint": Variant(label="Lanczos, post-processing of `wider-2`", filter="lanczos", run="wider-2"),
}


def base_config(budget: Budget) -> TrainConfig:
    """Configuration of the base: post-processing behind Lanczos, from random weights."""
    schedule = Schedule(cycle=(Phase(kind="postprocess", steps=1),))
    every = max(1, budget.base // 4)
    return replace(reduced(BASE), steps=budget.base, schedule=schedule, validate_every=every)


def reduced(name: str) -> TrainConfig:
    """Configuration of `virtual-2`, reduced for a dozen runs on one CPU core."""
    return replace(
        RECIPES["virtual-2"](),
        name=name,
        channels=32,
        blocks=3,
        description_channels=24,
        description_blocks=2,
        crop=96,
        batch=8,
        learning_rate=1e-3,
        warmup_steps=50,
        ema_decay=0.995,
    )


def _schedule(variant: Variant, more: int) -> tuple[tuple[Phase, ...], tuple[Phase, ...], int]:
    """Opening, cycle and number of rounds with `more` steps of post-processing in all."""

    def phase(kind: StepKind, steps: int) -> Phase:
        return Phase(kind=kind, steps=steps)

    if variant.route == "post":
        return (), (phase("postprocess", 1),), more
    if variant.route == "single pass":
        once = (phase("virtual_codec", more), phase("description", more))
        return once, (phase("postprocess", more),), 1
    if variant.share == 0:
        return (), (phase("joint", 1),), more
    return (phase("virtual_codec", max(1, more // 5)),), (phase("virtual_codec", 2), phase("joint", 1)), more
