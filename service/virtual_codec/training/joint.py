"""Joint training of description and post-processing, through the real codec."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, final

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from virtual_codec.codecs import JpegSettings
from virtual_codec.networks import DescriptionNet, build, plain_description
from virtual_codec.networks.differentiable import smooth_jpeg, with_forward
from virtual_codec.training.coding import (
    code_descriptions,
    condition_of_settings,
    levels_of_descriptions,
    subsampled_of,
    tables_of,
)
from virtual_codec.training.config import TrainConfig
from virtual_codec.training.crops import training_crop, validation_crops
from virtual_codec.training.data import Pictures
from virtual_codec.training.losses import LOSSES, mean_psnr, squared_error
from virtual_codec.training.samples import Batch, default_settings, draw_settings, plain_batch, prefetched, to_tensor


@final
class JointNetworks(nn.Module):
    """Description and post-processing networks of one scale.

    `reference` is a copy of the initial post-processing network. It gives the error that costs are relative to. A
    reference that learns would reward a network for bad results on plain descriptions.
    """

    def __init__(self, config: TrainConfig) -> None:
        super().__init__()
        self.description = DescriptionNet(
            channels=config.description_channels, blocks=config.description_blocks, scale=config.scale
        )
        self.description.requires_grad_(not config.frozen_description)
        self.postprocess = build(*config.postprocess_network)
        self.reference = build(*config.postprocess_network)
        self.reference.requires_grad_(False)
        self.begin()

    def begin(self) -> None:
        """Copy the post-processing network into the reference, after the run's initial weights are loaded."""
        self.reference.load_state_dict(self.postprocess.state_dict())


@dataclass(frozen=True, kw_only=True)
class JointBatch(Batch):
    """Batch with encoder settings. `decoded` and `plain_bits` [B] are those of the plain descriptions."""

    settings: Any  # a tuple of JpegSettings, or the settings of another DescriptionCodec
    plain_bits: Tensor


@final
class JointLoss:
    """Rate-distortion cost of both networks, relative to a plain description coded with the same settings.

    The cost is D / D0 + rate_weight * R / R0 + pull_weight * P / D0. D is the squared error of the restored picture,
    plus its colour drift times `drift_weight`. R is the number of bits. D0 and R0 are those of the plain description,
    restored by the reference network, so that all qualities have equal weight. P is the squared distance between the
    description and the plain one; it keeps the description a picture of the image. The derivative of the quantiser is
    that of the trellis at scale 2, and that of rounding at scale 1, where rounding measured better
    (`virtual_codec.networks.differentiable`).

    On an ordinary `Batch`, and with a frozen description, only post-processing learns, by the recipe's loss. `codec`
    codes the descriptions. Its settings are those of the batches.
    """

    def __init__(self, config: TrainConfig, codec: DescriptionCodec | None = None) -> None:
        self._config = config
        self._codec = codec or RealCodec()
        self._relative_bits: Tensor | None = None

    @property
    def figures(self) -> dict[str, float]:
        """Bits of the last batch's descriptions, relative to those of plain ones."""
        return {} if self._relative_bits is None else {"bits": float(self._relative_bits)}

    def __call__(self, network: nn.Module, batch: Batch) -> Tensor:
        """Loss of `JointNetworks` on a batch."""
        assert isinstance(network, JointNetworks)
        if not isinstance(batch, JointBatch):
            return self._restoration_loss(network, batch.decoded, batch)
        if self._config.frozen_description:
            return self._postprocess_only_loss(network, batch)
        with torch.no_grad():
            plain: Tensor = network.reference(batch.decoded, batch.condition)
            plain_error = squared_error(plain.float(), batch.image, self._config.drift_weight) + 1e-5
        described: Tensor = network.description(batch.image, batch.condition).float()
        described = with_forward(described, described.clamp(0, 1))
        decoded, bits, rate = self._codec.code_differentiably(
            described, batch.settings, follows_trellis=self._config.scale == 2
        )
        self._relative_bits = (bits / batch.plain_bits.to(bits.device)).mean().detach()
        restored: Tensor = network.postprocess(decoded, batch.condition)
        error = squared_error(restored.float(), batch.image, self._config.drift_weight)
        pull = (described - plain_description(batch.image, self._config.scale)).square().mean(dim=(1, 2, 3))
        cost = (error + self._config.pull_weight * pull) / plain_error
        return (cost + self._config.rate_weight * rate / batch.plain_bits.to(rate.device)).mean()

    def _postprocess_only_loss(self, network: JointNetworks, batch: JointBatch) -> Tensor:
        with torch.no_grad():
            described: Tensor = network.description(batch.image, batch.condition).float().clamp(0, 1)
            decoded, _ = self._codec.code(described, batch.settings)
        return self._restoration_loss(network, decoded.to(batch.image.device), batch)

    def _restoration_loss(self, network: JointNetworks, decoded: Tensor, batch: Batch) -> Tensor:
        restored: Tensor = network.postprocess(decoded, batch.condition)
        return LOSSES[self._config.loss](restored.float(), batch.image, self._config.drift_weight)


class DescriptionCodec(Protocol):
    """Codec of descriptions [B, 3, h, w] in [0, 1], with its own type of settings."""

    def code(self, pictures: Tensor, settings: Any) -> tuple[Tensor, Tensor]:
        """Decoded pictures and bits [B]. No gradient."""

    def code_differentiably(
        self, pictures: Tensor, settings: Any, *, follows_trellis: bool
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Decoded pictures, bits [B] and rate [B]. The rate equals the bits; it and the pictures have derivatives."""


@final
class RealCodec:
    """Real encoder and decoder on the CPU, one picture after another."""

    def code(self, pictures: Tensor, settings: tuple[JpegSettings, ...]) -> tuple[Tensor, Tensor]:
        """Decoded pictures and bits of `code_descriptions`."""
        return code_descriptions(pictures, settings)

    def code_differentiably(
        self, pictures: Tensor, settings: tuple[JpegSettings, ...], *, follows_trellis: bool
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Decoded pictures and bits of `code_descriptions`, with the derivative of `smooth_codec`."""
        real, bits = code_descriptions(pictures, settings)
        smooth, rate = smooth_codec(pictures, settings, follows_trellis=follows_trellis)
        return with_forward(smooth, real.to(pictures.device)), bits, rate * (bits.to(rate.device) / rate).detach()


def smooth_codec(
    described: Tensor, settings: tuple[JpegSettings, ...], *, follows_trellis: bool
) -> tuple[Tensor, Tensor]:
    """Differentiable model of the real codec on descriptions [B, 3, h, w]: decoded pictures, and rates [B]."""
    levels = levels_of_descriptions(described, settings) if follows_trellis else None
    with torch.autocast(described.device.type, enabled=False):
        tables = tables_of(settings).to(described.device)
        return smooth_jpeg(described, tables, subsampled=subsampled_of(settings), levels=levels)


def joint_batches(pictures: Pictures, config: TrainConfig, seed: int, start: int) -> Iterator[Batch]:
    """Batches from step `start` on; every `plain_every`th is an ordinary one. Each depends on seed and step alone."""

    def make(step: int) -> Batch:
        random = np.random.default_rng((seed, step))
        if config.plain_every and step % config.plain_every == 0:
            return plain_batch(random, pictures, config)
        images = [training_crop(random, pictures, config) for _ in range(config.batch)]
        return joint_batch(to_tensor(images), [draw_settings(random, config) for _ in images], scale=config.scale)

    return prefetched(make, start, config.steps)


def joint_batch(images: Tensor, settings: list[JpegSettings], *, scale: int = 2) -> JointBatch:
    """Batch of originals with their coded plain descriptions."""
    decoded, bits = code_descriptions(plain_description(images, scale).clamp(0, 1), tuple(settings))
    return JointBatch(
        decoded=decoded,
        image=images,
        condition=torch.from_numpy(np.stack([condition_of_settings(each) for each in settings])),
        settings=tuple(settings),
        plain_bits=bits,
    )


@final
class JointValidation:
    """PSNR and relative size of held-out crops at three codec steps, with the learned and the plain description.

    `bfloat16` runs the networks under autocast in that precision.
    """

    def __init__(
        self, pictures: Pictures, config: TrainConfig, device: str, *, most: int = 48, bfloat16: bool = True
    ) -> None:
        self._device = device
        self._bfloat16 = bfloat16
        self._scale = config.scale
        images = to_tensor(validation_crops(pictures, config, most))
        self.batches = {
            step: joint_batch(images, [default_settings(step, config)] * len(images), scale=config.scale)
            for step in (10.0, 30.0, 60.0)
        }

    def __call__(self, network: nn.Module) -> dict[str, float]:
        """PSNR in dB with either description, and the ratio of the learned one's bits to the plain one's."""
        measured = {}
        for step, batch in self.batches.items():
            described, _, restored, bits = self.chain(network, batch)
            plain = self._restored(network, batch.decoded, batch)
            measured[f"plain_{step:g}"] = mean_psnr(plain, batch.image)
            measured[f"learned_{step:g}"] = mean_psnr(restored, batch.image)
            measured[f"bits_{step:g}"] = float((bits / batch.plain_bits).log().mean().exp())
            measured[f"thumbnail_{step:g}"] = mean_psnr(
                described.cpu(),
                functional.interpolate(batch.image, scale_factor=1 / self._scale, mode="bilinear", antialias=True),
            )
        return measured

    def score_db(self, figures: Mapping[str, float]) -> float:
        """PSNR in dB with the learned description, mean over the codec steps."""
        return sum(figures[f"learned_{step:g}"] for step in self.batches) / len(self.batches)

    def rows(self, network: nn.Module) -> list[Tensor]:
        """Rows of a sample sheet at the coarsest step: originals, descriptions, decoded, restored."""
        batch = self.batches[60.0]
        return [batch.image, *self.chain(network, batch)[:3]]

    def chain(self, network: nn.Module, batch: JointBatch) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Description (on the device), decoded picture, restored picture and bits of a batch."""
        vector = batch.condition.to(self._device)
        with torch.autocast(torch.device(self._device).type, torch.bfloat16, enabled=self._bfloat16):
            described: Tensor = network.get_submodule("description")(batch.image.to(self._device), vector)
        described = described.float().clamp(0, 1)
        decoded, bits = code_descriptions(described, batch.settings)
        return described, decoded, self._restored(network, decoded, batch), bits

    def _restored(self, network: nn.Module, decoded: Tensor, batch: JointBatch) -> Tensor:
        with torch.autocast(torch.device(self._device).type, torch.bfloat16, enabled=self._bfloat16):
            restored: Tensor = network.get_submodule("postprocess")(
                decoded.to(self._device), batch.condition.to(self._device)
            )
        return restored.float().cpu()
