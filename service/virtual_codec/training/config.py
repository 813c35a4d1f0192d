"""Configuration of a training run: networks, data, loss weights and schedule."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal

from virtual_codec.training.schedule import Schedule


@dataclass(frozen=True, kw_only=True)
class UShape:
    """Shape of a U-shaped post-processing network: arguments of `virtual_codec.networks.UShapedPostprocessNet`."""

    widths: str = "48-80-128"
    down: str = "2-1-1"
    up: str = "2-1"


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Configuration of one run. Sizes are in pixels of the image. Codec steps are means of the luma table."""

    name: str
    target: Literal["postprocess", "joint", "paper", "virtual", "codecs"]
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
    drift_weight: float = 0.0  # of the squared error of 16x16 means of colour differences, beside the squared error
    description_channels: int = 32
    description_blocks: int = 3
    loss: Literal["charbonnier", "log-error"] = "charbonnier"  # of post-processing alone
    views: int = 1  # mirrored views that the exported post-processing averages; training uses one
    frozen_description: bool = False  # of a joint run: only post-processing learns
    plain_every: int = 0  # of a joint run: every nth batch holds plain descriptions and foreign JPEGs; 0: none does
    decay: Literal["cosine", "none"] = "cosine"  # of the learning rate
    scale_jitter: float = 1.0  # largest factor by which crops are taken larger, and reduced
    enlargement: float = 1.0  # largest factor by which crops are taken smaller, and enlarged
    drawings_share: float = 0.0  # of the crops: text, interfaces and other drawings, rendered by code
    chroma_dc: float = 1.0  # of our encoder (`codecs.JpegSettings.chroma_dc`)
    u_shape: UShape | None = None  # of post-processing, in place of `channels` and `blocks`
    codecs: tuple[tuple[str, float], ...] = ()  # of the target codecs: rows of `QUALITY_CODECS`, and shares of crops
    schedule: Schedule | None = None  # of the targets paper and virtual
    starts_from: str | None = None  # recipe of the finished run that this one needs to start from

    def __post_init__(self) -> None:
        if self.crop % 32:
            raise ValueError(f"crop must be a multiple of 32, got {self.crop}")
        if self.steps < 1:
            raise ValueError(f"steps must be at least 1, got {self.steps}")
        if self.scale not in (1, 2):
            raise ValueError(f"scale must be 1 or 2, got {self.scale}")
        if self.drift_weight < 0:
            raise ValueError(f"drift_weight must be at least 0, got {self.drift_weight}")
        if self.scale_jitter < 1:
            raise ValueError(f"scale_jitter must be at least 1, got {self.scale_jitter}")
        if not 0 <= self.drawings_share <= 1:
            raise ValueError(f"drawings_share must be between 0 and 1, got {self.drawings_share}")
        if (self.target == "codecs") != bool(self.codecs) or (self.codecs and self.u_shape is None):
            raise ValueError(
                f"target codecs needs codecs and a u_shape, and no other target takes codecs; got {self.target}"
            )
        if (self.schedule is None) != (self.target in ("postprocess", "joint", "codecs")):
            raise ValueError(f"target {self.target} {'takes no' if self.schedule else 'needs a'} schedule")

    @property
    def postprocess_network(self) -> tuple[str, dict[str, int | float | str | bool]]:
        """Row of `virtual_codec.networks.NETWORKS` for post-processing, and its arguments."""
        if self.u_shape is not None:
            from virtual_codec.networks.condition import CODEC_CONDITION_SIZE  # which loads torch

            condition = {"condition": CODEC_CONDITION_SIZE} if self.codecs else {}
            return "u-shaped-postprocess", {"scale": self.scale, **asdict(self.u_shape), **condition}
        return "postprocess", {"scale": self.scale, "channels": self.channels, "blocks": self.blocks}
