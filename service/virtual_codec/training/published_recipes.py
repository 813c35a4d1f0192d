"""Recipes of the published networks and algorithm, at full width and reduced to what two processor cores can do."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from virtual_codec.training.alternation import Alternation, Phase
from virtual_codec.training.config import TrainConfig

_ROUNDS: Final = 4
_IMAGE_WEIGHT: Final = 0.01  # of the SSIM term that keeps the published description an image


def paper_jpeg_q5() -> TrainConfig:
    """The published networks and algorithm around JPEG of quality 5, grey."""
    return _published("paper-jpeg-q5", "jpeg", 5)


def paper_jpeg_q10() -> TrainConfig:
    """The published networks and algorithm around JPEG of quality 10, grey."""
    return _published("paper-jpeg-q10", "jpeg", 10)


def paper_jpeg_q20() -> TrainConfig:
    """The published networks and algorithm around JPEG of quality 20, grey."""
    return _published("paper-jpeg-q20", "jpeg", 20)


def paper_jpeg2000_r20() -> TrainConfig:
    """The same around JPEG 2000 at a twentieth of the description's bytes, 0.1 bits per pixel of the image."""
    return _published("paper-jpeg2000-r20", "jpeg2000", 20)


def paper_jpeg2000_r40() -> TrainConfig:
    """The same around JPEG 2000 at a fortieth of the description's bytes, 0.05 bits per pixel of the image."""
    return _published("paper-jpeg2000-r40", "jpeg2000", 40)


def paper_jpeg_q10_small() -> TrainConfig:
    """`paper-jpeg-q10` a quarter as wide on smaller crops: for two processor cores."""
    return _reduced(paper_jpeg_q10())


def paper_jpeg2000_r20_small() -> TrainConfig:
    """`paper-jpeg2000-r20` a quarter as wide on smaller crops: for two processor cores."""
    return _reduced(paper_jpeg2000_r20())


def _published(name: str, codec: str, setting: int) -> TrainConfig:
    """Width, crops and learning rate as that line of work has them; rounds and their lengths are our choice."""
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
        alternation=Alternation(cycle=(Phase(move="start", steps=1),), codec=codec, setting=setting),
    )
    return _rounds(plain, start=1000, postprocess=2000, virtual_codec=1000, description=1000)


def _reduced(published: TrainConfig) -> TrainConfig:
    small = replace(published, name=f"{published.name}-small", channels=32, crop=96, batch=8, learning_rate=5e-4)
    return _rounds(small, start=200, postprocess=400, virtual_codec=200, description=200)


def _rounds(config: TrainConfig, *, start: int, postprocess: int, virtual_codec: int, description: int) -> TrainConfig:
    """`_ROUNDS` rounds of steps (b), (c) and (d), and (b) once more, for the last description."""
    assert config.alternation is not None
    cycle = (
        Phase(move="postprocess", steps=postprocess),
        Phase(move="virtual_codec", steps=virtual_codec),
        Phase(move="description", steps=description),
    )
    alternation = replace(
        config.alternation,
        opening=(Phase(move="start", steps=start),),
        cycle=cycle,
        image_weight=_IMAGE_WEIGHT,
    )
    steps = start + _ROUNDS * sum(phase.steps for phase in cycle) + postprocess
    return replace(config, steps=steps, validate_every=start, alternation=alternation)
