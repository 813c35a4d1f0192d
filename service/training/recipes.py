"""Recipes: what is trained, on what, for how long. A recipe is a function; `RECIPES` is the table of them.

Numbers that measurements chose say so; the rest is the custom of the field.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """One training run. Sizes are in pixels of the image, codec steps are means of the luma quantisation table."""

    name: str
    target: Literal["postprocess", "joint"]
    scale: int
    channels: int
    blocks: int
    steps: int
    crop: int = 160
    batch: int = 12
    learning_rate: float = 1e-3
    warmup_steps: int = 200
    ema_decay: float = 0.999
    step_range: tuple[float, float] = (1.5, 110.0)
    foreign_share: float = 0.2
    grey_share: float = 0.05
    full_chroma_share: float = 0.1
    validate_every: int = 500
    rate_weight: float = 0.6  # of the description's loss; 0.5 to 0.7 measured best around a plain downscale
    pull_weight: float = 0.5
    description_channels: int = 32
    description_blocks: int = 3
    loss: Literal["charbonnier", "log-error"] = "charbonnier"  # of post-processing alone
    frozen_description: bool = False  # of a joint run: only post-processing learns, behind the description as it is

    def __post_init__(self) -> None:
        if self.crop % 32:
            raise ValueError(f"crop must be a multiple of 32, got {self.crop}")
        if self.steps < 1:
            raise ValueError(f"steps must be at least 1, got {self.steps}")
        if self.scale not in (1, 2):
            raise ValueError(f"scale must be 1 or 2, got {self.scale}")


def postprocess_1() -> TrainConfig:
    """Post-processing at full size: removes the artefacts of our streams and of other encoders' JPEGs."""
    return TrainConfig(name="postprocess-1", target="postprocess", scale=1, channels=48, blocks=6, steps=8800)


def postprocess_2() -> TrainConfig:
    """Post-processing at scale 2: removes artefacts and doubles the size."""
    return TrainConfig(
        name="postprocess-2",
        target="postprocess",
        scale=2,
        channels=48,
        blocks=6,
        steps=4000,
        step_range=(4.0, 100.0),
        foreign_share=0.0,
    )


def joint_2() -> TrainConfig:
    """Description and post-processing at scale 2 together; start it from a finished `postprocess-2`."""
    return TrainConfig(
        name="joint-2",
        target="joint",
        scale=2,
        channels=48,
        blocks=6,
        steps=1800,
        learning_rate=3e-4,
        warmup_steps=100,
        step_range=(4.0, 100.0),
        full_chroma_share=0.0,
        validate_every=150,
    )


def best_1() -> TrainConfig:
    """Post-processing at full size, as large as the time to restore allows; start it from `postprocess-1`."""
    return replace(
        postprocess_1(), name="best-1", channels=64, blocks=8, steps=4000, learning_rate=5e-4, loss="log-error"
    )


def best_2() -> TrainConfig:
    """Post-processing at scale 2 behind a learned description, which stays; start it from `joint-2`."""
    return replace(
        joint_2(),
        name="best-2",
        channels=64,
        blocks=8,
        steps=3000,
        learning_rate=5e-4,
        loss="log-error",
        frozen_description=True,
        validate_every=250,
    )


def best_joint_2() -> TrainConfig:
    """Description and post-processing at scale 2, each for the other; start it from `best-2`."""
    return replace(joint_2(), name="best-joint-2", channels=64, blocks=8, steps=800, learning_rate=2e-4)


def smoke() -> TrainConfig:
    """A run of seconds, to see that training works on a machine."""
    return TrainConfig(
        name="smoke",
        target="postprocess",
        scale=1,
        channels=16,
        blocks=1,
        steps=60,
        crop=64,
        batch=4,
        learning_rate=2e-3,
        warmup_steps=5,
        ema_decay=0.9,
        validate_every=30,
        step_range=(20.0, 60.0),
    )


RECIPES: dict[str, Callable[[], TrainConfig]] = {
    "postprocess-1": postprocess_1,
    "postprocess-2": postprocess_2,
    "joint-2": joint_2,
    "best-1": best_1,
    "best-2": best_2,
    "best-joint-2": best_joint_2,
    "smoke": smoke,
}
