"""Batches that are cut and coded on a device: crops, settings and coded descriptions never leave its memory.

All samples of a batch have one kind of stream, drawn by the recipe's shares. On one kind of device a batch depends on
the seed and the step alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final, final

import torch
from torch import Tensor

from virtual_codec.codecs import JpegSettings
from virtual_codec.networks import plain_description
from virtual_codec.training.config import TrainConfig
from virtual_codec.training.data import Pictures
from virtual_codec.training.device_codec import (
    CodingSettings,
    DeviceCodec,
    Subsampling,
    foreign_settings,
    own_settings,
)
from virtual_codec.training.device_crops import DeviceCrops, DeviceRandom
from virtual_codec.training.joint import JointBatch
from virtual_codec.training.samples import Batch

_LUMA_WEIGHTS: Final = (0.299, 0.587, 0.114)
_DEFAULT_TRELLIS: Final = JpegSettings(step=1.0).trellis
_SEED_STRIDE: Final = 1_000_003
_FOREIGN_SUBSAMPLINGS: Final[tuple[Subsampling, ...]] = ("420", "420", "444", "422")


@final
class DeviceBatches:
    """Batches of a recipe: plain ones for post-processing, or joint ones."""

    def __init__(self, pictures: Pictures, config: TrainConfig, codec: DeviceCodec, seed: int) -> None:
        self._config, self._seed = config, seed
        self.codec = codec
        self._crops = DeviceCrops(pictures.train, config, codec.device)
        self._random = DeviceRandom(codec.device)

    def plain_from(self, start: int) -> Iterator[Batch]:
        """Batches of plain descriptions from step `start` on."""
        for step in range(start, self._config.steps):
            self._random.seed(self._seed * _SEED_STRIDE + step)
            yield self._plain_batch()

    def joint_from(self, start: int) -> Iterator[Batch]:
        """Batches of a joint run from step `start` on; every `plain_every`th has plain descriptions."""
        every = self._config.plain_every
        for step in range(start, self._config.steps):
            self._random.seed(self._seed * _SEED_STRIDE + step)
            yield self._plain_batch() if every and step % every == 0 else self._joint_batch()

    @torch.no_grad()
    def _joint_batch(self) -> JointBatch:
        config = self._config
        image = self._crops.cut(config.batch, self._random)
        settings = self._own_settings("444" if self._random.draw() < config.full_chroma_share else "420")
        if config.frozen_description:  # the loss of such a run does not use the plain description
            decoded, bits = image, image.new_zeros(len(image))
        else:
            decoded, bits = self.codec.code(plain_description(image, config.scale).clamp(0, 1), settings)
        return JointBatch(
            decoded=decoded, image=image, condition=settings.condition(), settings=settings, plain_bits=bits
        )

    @torch.no_grad()
    def _plain_batch(self) -> Batch:
        config = self._config
        image = self._crops.cut(config.batch, self._random)
        is_grey = self._random.draw() < config.grey_share
        if is_grey:
            weights = image.new_tensor(_LUMA_WEIGHTS).view(1, 3, 1, 1)
            grey = ((image * weights).sum(dim=1, keepdim=True) * 255).round() / 255
            image = grey.expand(-1, 3, -1, -1).contiguous(memory_format=torch.channels_last)
        described = plain_description(image, config.scale).clamp(0, 1)
        if self._random.draw() < config.foreign_share:
            decoded, settings = self._through_foreign((described * 255).round() / 255, is_grey=is_grey)
        else:
            is_full = self._random.draw() < config.full_chroma_share
            settings = self._own_settings("grey" if is_grey else "444" if is_full else "420")
            decoded, _ = self.codec.code(described, settings)
        return Batch(decoded=decoded, image=image, condition=settings.condition())

    def _through_foreign(self, described: Tensor, *, is_grey: bool) -> tuple[Tensor, CodingSettings]:
        """Decoded pictures of libjpeg at qualities 5 to 100, a fifth of them coded twice, and their settings."""
        count = len(described)
        twice = count // 5
        kinds = ("grey",) if is_grey else _FOREIGN_SUBSAMPLINGS
        if twice:
            first = foreign_settings(self._qualities(twice), kinds[int(self._random.draw() * len(kinds))])
            described = torch.cat([self.codec.code(described[:twice], first)[0], described[twice:]])
        settings = foreign_settings(self._qualities(count), kinds[int(self._random.draw() * len(kinds))])
        return self.codec.code(described, settings)[0], settings

    def _qualities(self, count: int) -> Tensor:
        return torch.randint(5, 101, (count,), device=self.codec.device, generator=self._random.on_device)

    def _own_settings(self, subsampling: Subsampling) -> CodingSettings:
        """Settings of our encoder, drawn as `virtual_codec.training.samples.draw_settings` draws them."""
        config, count = self._config, self._config.batch
        low, high = (math.log(step) for step in config.step_range)
        place, trellis, exponent, ratio, masking = torch.rand(
            (5, count), device=self.codec.device, generator=self._random.on_device
        )
        return own_settings(
            torch.exp(low + (high - low) * place.sqrt()),
            subsampling,
            trellis=_DEFAULT_TRELLIS * torch.exp(trellis - 0.5),
            luma_exponent=0.05 + 0.55 * exponent,
            chroma_ratio=0.6 + 0.5 * ratio,
            masking=0.4 * masking,
            luma_dc=0.65 + 0.3 * self._random.draw(),
            chroma_dc=config.chroma_dc,
        )
