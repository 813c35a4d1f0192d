"""Recipes for JPEG with larger networks: the largest with an acceptable restoring time, and ones for accelerators."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from virtual_codec.training.config import TrainConfig, UShape
from virtual_codec.training.jpeg_recipes import joint_1, joint_2, postprocess_1

_LARGE_U_SHAPE: Final = UShape(widths="96-160-256", down="2-1-1", up="2-1")  # 3.9 times the operations of standard-3's


def best_1() -> TrainConfig:
    """Post-processing at full size, the largest with an acceptable restoring time; start it from `postprocess-1`."""
    return replace(
        postprocess_1(),
        name="best-1",
        starts_from="postprocess-1",
        channels=64,
        blocks=8,
        steps=2400,
        learning_rate=5e-4,
        loss="log-error",
        views=2,
    )


def best_2() -> TrainConfig:
    """Post-processing at scale 2 behind a learned description, which is frozen; start it from `joint-2`."""
    return replace(
        joint_2(),
        name="best-2",
        starts_from="joint-2",
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
    """Description and post-processing at scale 2, trained jointly; start it from `best-2`."""
    return replace(
        joint_2(),
        name="best-joint-2",
        starts_from="best-2",
        channels=64,
        blocks=8,
        steps=800,
        learning_rate=2e-4,
        views=2,
    )


def large_1() -> TrainConfig:
    """Post-processing for accelerators at full size, behind a model's description; start it from `standard-3`."""
    return replace(
        joint_1(),
        name="large-1",
        starts_from="standard-3",
        u_shape=_LARGE_U_SHAPE,
        steps=20_000,
        crop=192,
        batch=96,
        learning_rate=1e-3,
        warmup_steps=300,
        frozen_description=True,
        chroma_dc=0.7,
        scale_jitter=1.45,
        validate_every=1000,
    )


def large_2() -> TrainConfig:
    """Post-processing for accelerators at scale 2, behind a model's description; start it from `standard-3`."""
    return replace(
        large_1(),
        name="large-2",
        scale=2,
        step_range=(4.0, 100.0),
        foreign_share=0.0,
        full_chroma_share=0.0,
        description_channels=48,
    )
