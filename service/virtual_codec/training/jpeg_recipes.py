"""Recipes around JPEG: post-processing, descriptions, both together.

A comment marks numbers that measurements chose; the others are customary.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from virtual_codec.training.config import TrainConfig, UShape
from virtual_codec.training.schedule import Phase, Schedule

DRIFT_WEIGHT: Final = 4.0  # took a tenth off the blurred colour error at no cost in PSNR


def postprocess_1() -> TrainConfig:
    """Post-processing at full size: removes the artefacts of this project's streams and of other JPEGs."""
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
        starts_from="postprocess-2",
        target="joint",
        scale=2,
        channels=48,
        blocks=6,
        steps=1800,
        learning_rate=3e-4,
        warmup_steps=100,
        step_range=(4.0, 100.0),
        foreign_share=0.0,
        full_chroma_share=0.0,
        loss="log-error",
        drift_weight=DRIFT_WEIGHT,
        plain_every=4,
        validate_every=150,
    )


def softer_1() -> TrainConfig:
    """Post-processing at full size, also for soft (enlarged) pictures, by log error; start it from `postprocess-1`."""
    return replace(
        postprocess_1(),
        name="softer-1",
        starts_from="postprocess-1",
        steps=3000,
        learning_rate=4e-4,
        loss="log-error",
        enlargement=2.2,
    )


def softer_2() -> TrainConfig:
    """Post-processing at scale 2, also for soft pictures, behind `joint-2`'s description; start it from `joint-2`."""
    return replace(
        joint_2(),
        name="softer-2",
        starts_from="joint-2",
        steps=2400,
        learning_rate=4e-4,
        loss="log-error",
        enlargement=2.2,
        frozen_description=True,
        validate_every=400,
    )


def joint_1() -> TrainConfig:
    """Description and post-processing at full size together; start it from a finished `softer-1`.

    Every fourth batch has plain descriptions and foreign JPEGs, so that these are restored as well as before.
    """
    return TrainConfig(
        name="joint-1",
        starts_from="softer-1",
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
        drift_weight=DRIFT_WEIGHT,
        enlargement=2.2,
        plain_every=4,
        validate_every=300,
    )


def drawings_1() -> TrainConfig:
    """Post-processing at full size for text, screenshots and drawings too; start it from `standard-3`."""
    return replace(
        joint_1(),
        name="drawings-1",
        starts_from="standard-3",
        u_shape=UShape(),
        steps=4000,
        learning_rate=4e-4,
        frozen_description=True,
        drawings_share=0.4,
        full_chroma_share=0.3,  # they need 4:4:4 more often than photographs
        chroma_dc=0.7,
        scale_jitter=1.45,
        validate_every=200,
    )


def drawings_2() -> TrainConfig:
    """Post-processing at scale 2 for text, screenshots and drawings too; start it from `standard-3`."""
    return replace(
        drawings_1(),
        name="drawings-2",
        scale=2,
        step_range=(4.0, 100.0),
        foreign_share=0.0,
        full_chroma_share=0.0,
        description_channels=48,
    )


def drawings_3() -> TrainConfig:
    """Post-processing at full size for drawings, with few photographs; start it from `drawings-1`."""
    return replace(
        drawings_1(),
        name="drawings-3",
        starts_from="drawings-1",
        foreign_share=0.2,  # the encoder names this model; foreign JPEGs are restored by the default one
        grey_share=0.1,
        drawings_share=0.85,
        full_chroma_share=0.5,
    )


def drawings_4() -> TrainConfig:
    """Post-processing at scale 2 for drawings, with few photographs; start it from `drawings-2`."""
    return replace(
        drawings_2(),
        name="drawings-4",
        starts_from="drawings-2",
        grey_share=0.1,
        drawings_share=0.85,
    )


def wider_2() -> TrainConfig:
    """Networks of `joint-2` with a wider description and a weaker pull, and soft pictures; start it from `softer-2`."""
    return replace(
        joint_2(),
        name="wider-2",
        starts_from="softer-2",
        steps=1500,
        description_channels=48,
        pull_weight=0.2,
        enlargement=2.2,
        validate_every=250,
    )


def lanczos_2() -> TrainConfig:
    """Post-processing behind Lanczos downscaling, as a baseline for learned descriptions; start it from `wider-2`."""
    return replace(
        postprocess_2(),
        name="lanczos-2",
        starts_from="wider-2",
        steps=1500,
        learning_rate=3e-4,
        loss="log-error",
        enlargement=2.2,
    )


def virtual_2() -> TrainConfig:
    """Description and post-processing at scale 2, with the gradient of a virtual codec; start from `postprocess-2`."""
    virtual_codec, joint = Phase(kind="virtual_codec", steps=2), Phase(kind="joint", steps=1)
    return TrainConfig(
        name="virtual-2",
        starts_from="postprocess-2",
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
        schedule=Schedule(opening=(Phase(kind="virtual_codec", steps=200),), cycle=(virtual_codec, joint)),
    )


def smoke() -> TrainConfig:
    """Run of some seconds that shows whether training works on a machine. Its network is too small to be useful."""
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
