"""Recipes of the published networks and algorithm, at full width and reduced for two processor cores."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from virtual_codec.training.config import TrainConfig
from virtual_codec.training.schedule import Phase, Schedule

_ROUNDS: Final = 4
_IMAGE_WEIGHT: Final = 0.01  # weight of the SSIM term, which keeps the published description an image


def paper_jpeg_q5() -> TrainConfig:
    """Published networks and algorithm around JPEG of quality 5, grey."""
    return _published("paper-jpeg-q5", "jpeg", 5)


def paper_jpeg_q10() -> TrainConfig:
    """Published networks and algorithm around JPEG of quality 10, grey."""
    return _published("paper-jpeg-q10", "jpeg", 10)


def paper_jpeg_q20() -> TrainConfig:
    """Published networks and algorithm around JPEG of quality 20, grey."""
    return _published("paper-jpeg-q20", "jpeg", 20)


def paper_jpeg2000_r20() -> TrainConfig:
    """Published networks around JPEG 2000 at a ratio of 20, 0.1 bits per pixel of the image, grey."""
    return _published("paper-jpeg2000-r20", "jpeg2000", 20)


def paper_jpeg2000_r40() -> TrainConfig:
    """Published networks around JPEG 2000 at a ratio of 40, 0.05 bits per pixel of the image, grey."""
    return _published("paper-jpeg2000-r40", "jpeg2000", 40)


def paper_jpeg_q10_small() -> TrainConfig:
    """`paper-jpeg-q10` a quarter as wide on smaller crops: for two processor cores."""
    return _with_reduced_width(paper_jpeg_q10())


def paper_jpeg2000_r20_small() -> TrainConfig:
    """`paper-jpeg2000-r20` a quarter as wide on smaller crops: for two processor cores."""
    return _with_reduced_width(paper_jpeg2000_r20())


def _published(name: str, codec: str, setting: int) -> TrainConfig:
    """Recipe with the published width, crops and learning rate. The numbers of rounds and steps are our choice."""
    plain = TrainConfig(
        name=name,
        target="paper",
        scale=2,
        channels=128,
        blocks=0,
        steps=1,
        crop=160,
        batch=16,
        learning_rate=1e-4,
        warmup_steps=1,
        decay="none",
        ema_decay=0.0,
        schedule=Schedule(cycle=(Phase(kind="start", steps=1),), codec=codec, setting=setting),
    )
    return _with_rounds(plain, start=1000, postprocess=2000, virtual_codec=1000, description=1000)


def _with_reduced_width(published: TrainConfig) -> TrainConfig:
    small = replace(published, name=f"{published.name}-small", channels=32, crop=96, batch=8, learning_rate=5e-4)
    return _with_rounds(small, start=200, postprocess=400, virtual_codec=200, description=200)


def _with_rounds(
    config: TrainConfig, *, start: int, postprocess: int, virtual_codec: int, description: int
) -> TrainConfig:
    """Recipe of `_ROUNDS` rounds of steps (b), (c) and (d), and a final (b) for the last description."""
    assert config.schedule is not None
    cycle = (
        Phase(kind="postprocess", steps=postprocess),
        Phase(kind="virtual_codec", steps=virtual_codec),
        Phase(kind="description", steps=description),
    )
    schedule = replace(
        config.schedule,
        opening=(Phase(kind="start", steps=start),),
        cycle=cycle,
        image_weight=_IMAGE_WEIGHT,
    )
    steps = start + _ROUNDS * sum(phase.steps for phase in cycle) + postprocess
    return replace(config, steps=steps, validate_every=start, schedule=schedule)
