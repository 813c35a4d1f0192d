"""Recipes around other standard codecs than JPEG."""

from __future__ import annotations

from virtual_codec.training.config import TrainConfig, UShape


def codecs_1() -> TrainConfig:
    """Post-processing of AVIF, WebP and JPEG 2000 at full size, one network; start it from a JPEG model's folder."""
    return TrainConfig(
        name="codecs-1",
        starts_from="joint-1",
        target="codecs",
        scale=1,
        channels=48,
        blocks=6,
        u_shape=UShape(),
        codecs=(("avif", 0.55), ("webp", 0.25), ("jpeg2000", 0.2)),
        steps=1400,
        crop=128,
        batch=8,
        learning_rate=7e-4,
        warmup_steps=40,
        ema_decay=0.99,
        loss="log-error",
        drift_weight=4.0,
        enlargement=2.2,
        validate_every=200,
    )
