"""What a training run is told: networks, data, schedule."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from virtual_codec.training.alternation import Alternation


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
