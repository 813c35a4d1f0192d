"""Recipes: what is trained, on what, for how long. A recipe is a function; `RECIPES` is the table of them.

Numbers that measurements chose say so; the rest is the custom of the field.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, Literal

from service.training.alternation import Alternation, Phase


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """One training run. Sizes are in pixels of the image, codec steps are means of the luma quantisation table."""

    name: str
    target: Literal["postprocess", "joint", "paper", "virtual"]
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
    views: int = 1  # that the finished post-processing takes the mean of; training sees one
    frozen_description: bool = False  # of a joint run: only post-processing learns, behind the description as it is
    plain_every: int = 0  # of a joint run: so often a batch of plain descriptions and other encoders' JPEGs; 0: never
    decay: Literal["cosine", "none"] = "cosine"  # of the learning rate
    scale_jitter: float = 1.0  # crops are taken up to so many times larger, and reduced
    enlargement: float = 1.0  # crops are taken up to so many times smaller, and enlarged
    alternation: Alternation | None = None  # of the targets paper and virtual

    def __post_init__(self) -> None:
        if self.crop % 32:
            raise ValueError(f"crop must be a multiple of 32, got {self.crop}")
        if self.steps < 1:
            raise ValueError(f"steps must be at least 1, got {self.steps}")
        if self.scale not in (1, 2):
            raise ValueError(f"scale must be 1 or 2, got {self.scale}")
        if self.scale_jitter < 1:
            raise ValueError(f"scale_jitter must be at least 1, got {self.scale_jitter}")
        if (self.alternation is None) != (self.target in ("postprocess", "joint")):
            raise ValueError(f"target {self.target} goes with {'no' if self.alternation else 'an'} alternation")


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


def softer_1() -> TrainConfig:
    """`postprocess-1` taught soft pictures too, every PSNR counting alike; start it from `postprocess-1`."""
    return replace(postprocess_1(), name="softer-1", steps=3000, learning_rate=4e-4, loss="log-error", enlargement=2.2)


def softer_2() -> TrainConfig:
    """The post-processing of `joint-2` taught soft pictures too, behind its description; start it from `joint-2`."""
    return replace(
        joint_2(),
        name="softer-2",
        steps=2400,
        learning_rate=4e-4,
        loss="log-error",
        enlargement=2.2,
        frozen_description=True,
        validate_every=400,
    )


def joint_1() -> TrainConfig:
    """Description and post-processing at full size together; start it from a finished `softer-1`.

    Every fourth batch holds plain descriptions and other people's JPEGs, so that they are restored as well as before.
    """
    return TrainConfig(
        name="joint-1",
        target="joint",
        scale=1,
        channels=48,
        blocks=6,
        steps=2400,
        learning_rate=3e-4,
        warmup_steps=100,
        step_range=(1.5, 90.0),
        foreign_share=0.7,
        rate_weight=1.1,  # log squared error per log bits: photographs lie between 0.9 and 1.4
        description_channels=24,
        loss="log-error",
        enlargement=2.2,
        plain_every=4,
        validate_every=300,
    )


def wider_2() -> TrainConfig:
    """`joint-2` with a wider description, less held to the plain one, soft pictures too; start from `softer-2`."""
    return replace(
        joint_2(),
        name="wider-2",
        steps=1500,
        description_channels=48,
        pull_weight=0.2,
        enlargement=2.2,
        validate_every=250,
    )


def lanczos_2() -> TrainConfig:
    """Post-processing behind plain Lanczos, to compare a learned description with; start it from `wider-2`."""
    return replace(postprocess_2(), name="lanczos-2", steps=1500, learning_rate=3e-4, loss="log-error", enlargement=2.2)


def best_1() -> TrainConfig:
    """Post-processing at full size, as large as the time to restore allows; start it from `postprocess-1`."""
    return replace(
        postprocess_1(), name="best-1", channels=64, blocks=8, steps=2400, learning_rate=5e-4, loss="log-error", views=2
    )


def best_2() -> TrainConfig:
    """Post-processing at scale 2 behind a learned description, which stays; start it from `joint-2`."""
    return replace(
        joint_2(),
        name="best-2",
        channels=64,
        blocks=8,
        steps=1600,
        learning_rate=5e-4,
        loss="log-error",
        views=2,
        frozen_description=True,
        validate_every=250,
    )


def best_joint_2() -> TrainConfig:
    """Description and post-processing at scale 2, each for the other; start it from `best-2`."""
    return replace(joint_2(), name="best-joint-2", channels=64, blocks=8, steps=800, learning_rate=2e-4, views=2)


def virtual_2() -> TrainConfig:
    """Description and post-processing at scale 2 together, the gradient through a virtual codec; start as `joint-2`."""
    virtual_codec, pair = Phase(move="virtual_codec", steps=2), Phase(move="pair", steps=1)
    return TrainConfig(
        name="virtual-2",
        target="virtual",
        scale=2,
        channels=48,
        blocks=6,
        steps=200 + 3 * 1800,
        learning_rate=3e-4,
        warmup_steps=100,
        step_range=(4.0, 100.0),
        full_chroma_share=0.0,
        validate_every=300,
        alternation=Alternation(opening=(Phase(move="virtual_codec", steps=200),), cycle=(virtual_codec, pair)),
    )


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


_ROUNDS: Final = 4
_IMAGE_WEIGHT: Final = 0.01  # of the SSIM term that keeps the published description an image


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


RECIPES: dict[str, Callable[[], TrainConfig]] = {
    "postprocess-1": postprocess_1,
    "postprocess-2": postprocess_2,
    "joint-2": joint_2,
    "softer-1": softer_1,
    "softer-2": softer_2,
    "joint-1": joint_1,
    "wider-2": wider_2,
    "lanczos-2": lanczos_2,
    "best-1": best_1,
    "best-2": best_2,
    "best-joint-2": best_joint_2,
    "virtual-2": virtual_2,
    "paper-jpeg-q5": paper_jpeg_q5,
    "paper-jpeg-q10": paper_jpeg_q10,
    "paper-jpeg-q20": paper_jpeg_q20,
    "paper-jpeg2000-r20": paper_jpeg2000_r20,
    "paper-jpeg2000-r40": paper_jpeg2000_r40,
    "paper-jpeg-q10-small": paper_jpeg_q10_small,
    "paper-jpeg2000-r20-small": paper_jpeg2000_r20_small,
    "smoke": smoke,
}
