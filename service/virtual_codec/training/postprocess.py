"""Training of post-processing alone: loss on batches of decoded pictures, and validation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, final

import torch
from torch import Tensor, nn

from virtual_codec.networks import enlarge
from virtual_codec.training.config import TrainConfig
from virtual_codec.training.crops import validation_crops
from virtual_codec.training.data import Pictures
from virtual_codec.training.losses import LOSSES, mean_psnr
from virtual_codec.training.samples import Batch, collate, default_settings, shrink_pixels, through_codec

VALIDATION_STEPS: Final = (10.0, 30.0, 60.0)


def postprocess_loss(
    network: nn.Module, batch: Batch, *, loss: str = "charbonnier", drift_weight: float = 0.0
) -> Tensor:
    """Loss of the restored pictures against the originals; `loss` is a row of `LOSSES`."""
    restored: Tensor = network(batch.decoded, batch.condition)
    return LOSSES[loss](restored.float(), batch.image, drift_weight)


@final
class PostprocessValidation:
    """PSNR of held-out crops with the plain filter, and the network's gain over it, at three codec steps.

    `bfloat16` runs the network under autocast in that precision.
    """

    def __init__(self, pictures: Pictures, config: TrainConfig, device: str, *, bfloat16: bool = True) -> None:
        self._scale = config.scale
        self._device = device
        self._bfloat16 = bfloat16
        self._batches: dict[float, Batch] = {}
        crops = validation_crops(pictures, config, most=48)
        for step in VALIDATION_STEPS:
            samples = []
            settings = default_settings(step, config)
            for image in crops:
                decoded, vector, _ = through_codec(shrink_pixels(image, config.scale), settings)
                samples.append((decoded, image, vector))
            self._batches[step] = collate(samples)

    def __call__(self, network: nn.Module) -> dict[str, float]:
        """PSNR and gain in dB, means over the crops."""
        measured = {}
        for step, batch in self._batches.items():
            plain = mean_psnr(enlarge(batch.decoded, self._scale), batch.image)
            measured[f"plain_{step:g}"] = plain
            measured[f"gain_{step:g}"] = mean_psnr(self._restored(network, batch), batch.image) - plain
        return measured

    def score_db(self, figures: Mapping[str, float]) -> float:
        """Gain over the plain filter in dB, mean over the codec steps."""
        return sum(figures[f"gain_{step:g}"] for step in VALIDATION_STEPS) / len(VALIDATION_STEPS)

    def rows(self, network: nn.Module) -> list[Tensor]:
        """Rows of a sample sheet at the coarsest step: originals, decoded, restored."""
        batch = self._batches[VALIDATION_STEPS[-1]]
        return [batch.image, batch.decoded, self._restored(network, batch)]

    def _restored(self, network: nn.Module, batch: Batch) -> Tensor:
        with torch.autocast(torch.device(self._device).type, torch.bfloat16, enabled=self._bfloat16):
            restored: Tensor = network(batch.decoded.to(self._device), batch.condition.to(self._device))
        return restored.float().cpu()
