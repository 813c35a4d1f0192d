"""Published learning algorithm: alternating training of three grey networks around a standard codec at one setting.

    (a) image ──► description ──► real codec ──► decoded                    `describe`, `through_real_codec`
    (b) decoded ──► post-processing ──► towards the image                   `postprocess_step`
    (c) description ──► virtual codec ──► towards the restored picture of (b)   `virtual_codec_step`
    (d) image ──► description ──► frozen virtual codec ──► towards the image, and the description a picture
                                                                            `description_step`

and again from (a). Quantisation has no useful derivative: the virtual codec of (c) imitates codec and post-processing
together, and (d) takes its gradient through it. Step (a) is repeated for each batch. This is equivalent to describing
all images once a round, because the description network is frozen during (b) and (c).

Zhao, Bai, Wang, Zhao, "Learning a Virtual Codec Based on Deep Convolutional Neural Network to Compress Image"
(arXiv 1712.05969).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, final

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

from virtual_codec.networks import PaperDescriptionNet, PaperRestorationNet
from virtual_codec.networks.differentiable import with_forward
from virtual_codec.training.config import TrainConfig
from virtual_codec.training.crops import training_crop
from virtual_codec.training.data import Pictures
from virtual_codec.training.losses import mean_psnr
from virtual_codec.training.plain_codecs import through_plain
from virtual_codec.training.samples import prefetched
from virtual_codec.training.schedule import TRAINED_NETWORKS, Schedule, StepKind
from virtual_codec.training.ssim import ssim


@final
class PublishedNetworks(nn.Module):
    """Three networks of one codec setting."""

    def __init__(self, *, width: int) -> None:
        super().__init__()
        self.description = PaperDescriptionNet(width=width)
        self.postprocess = PaperRestorationNet(width=width)
        self.virtual_codec = PaperRestorationNet(width=width)


@dataclass(frozen=True, kw_only=True)
class GreyBatch:
    """Batch of originals [B, 1, h, w] in [0, 1], and the kind of step that it is made for."""

    image: Tensor
    step_kind: StepKind

    def to(self, device: torch.device) -> GreyBatch:
        """Copy of the batch on a device."""
        return GreyBatch(image=self.image.to(device, non_blocking=True), step_kind=self.step_kind)


@final
class AlternatingLoss:
    """Loss of the step kind of a batch; only the network that the step trains gets gradients."""

    def __init__(self, schedule: Schedule) -> None:
        self._schedule = schedule

    def __call__(self, network: nn.Module, batch: GreyBatch) -> Tensor:
        """Loss of `PublishedNetworks` on a batch."""
        assert isinstance(network, PublishedNetworks)
        freeze_other_networks(network, batch.step_kind)
        return _STEP_LOSSES[batch.step_kind](network, batch.image, self._schedule)


def freeze_other_networks(network: nn.Module, kind: StepKind) -> None:
    """Freeze all networks but those that a step of a kind trains."""
    for name, part in network.named_children():
        part.requires_grad_(name in TRAINED_NETWORKS[kind])


def describe(network: PublishedNetworks, image: Tensor) -> Tensor:
    """Step (a): description clipped to [0, 1]. Gradients pass the clipping, so that samples can return to the range."""
    described: Tensor = network.description(image).float()
    return with_forward(described, described.clamp(0, 1))


def through_real_codec(description: Tensor, codec: str, setting: int) -> tuple[Tensor, Tensor]:
    """Step (a): decoded pictures [B, 1, h, w] and bits [B] of descriptions, by the real codec. No gradient."""
    pictures = (description.detach().float() * 255).round().clamp(0, 255).byte().cpu().numpy()[:, 0]
    results = [through_plain(codec, setting, np.ascontiguousarray(picture)) for picture in pictures]
    decoded = torch.from_numpy(np.stack([shown for shown, _ in results]))[:, None].float() / 255
    return decoded.to(description.device), torch.tensor([8.0 * size for _, size in results])


def bicubic_half(image: Tensor) -> Tensor:
    """Image at half size, bicubic and antialiased: the plain description of the published algorithm."""
    return functional.interpolate(image, scale_factor=0.5, mode="bicubic", antialias=True).clamp(0, 1)


def start_step(network: PublishedNetworks, image: Tensor, _schedule: Schedule) -> Tensor:
    """Loss before the first round: the description network learns a plain downscale."""
    return functional.mse_loss(describe(network, image), bicubic_half(image))


def postprocess_step(network: PublishedNetworks, image: Tensor, schedule: Schedule) -> Tensor:
    """Loss of step (b): post-processing of the decoded picture against the image."""
    with torch.no_grad():
        described = describe(network, image)
    decoded, _ = through_real_codec(described, schedule.codec, schedule.setting)
    restored: Tensor = network.postprocess(decoded)
    return functional.mse_loss(restored.float(), image)


def virtual_codec_step(network: PublishedNetworks, image: Tensor, schedule: Schedule) -> Tensor:
    """Loss of step (c): virtual codec on the description against the restored picture."""
    with torch.no_grad():
        described = describe(network, image)
        decoded, _ = through_real_codec(described, schedule.codec, schedule.setting)
        restored: Tensor = network.postprocess(decoded)
    imitated: Tensor = network.virtual_codec(described)
    return functional.mse_loss(imitated.float(), restored.float())


def description_step(network: PublishedNetworks, image: Tensor, schedule: Schedule) -> Tensor:
    """Loss of step (d): frozen virtual codec against the image; the SSIM term keeps the description a picture."""
    described = describe(network, image)
    imitated: Tensor = network.virtual_codec(described)
    similarity = ssim(described, bicubic_half(image))
    return functional.mse_loss(imitated.float(), image) + schedule.image_weight * (1 - similarity)


def grey_batches(pictures: Pictures, config: TrainConfig, seed: int, start: int) -> Iterator[GreyBatch]:
    """Batches from step `start` on; each depends on seed and step alone."""
    schedule = config.schedule
    assert schedule is not None

    def make(step: int) -> GreyBatch:
        random = np.random.default_rng((seed, step))
        crops = [training_crop(random, pictures, config) for _ in range(config.batch)]
        return GreyBatch(image=grey_tensor(crops), step_kind=schedule.step_kind_at(step))

    return prefetched(make, start, config.steps)


def grey_tensor(crops: list[np.ndarray[tuple[int, ...], np.dtype[np.uint8]]]) -> Tensor:
    """Luma [B, 1, h, w] in [0, 1] of byte pictures [h, w, 3]."""
    luma = np.stack([np.asarray(Image.fromarray(crop).convert("L")) for crop in crops])
    return torch.from_numpy(luma)[:, None].float() / 255


@final
class AlternatingValidation:
    """PSNR of held-out crops through the real chain, the plain one and the virtual codec."""

    def __init__(self, pictures: Pictures, config: TrainConfig, device: str) -> None:
        assert config.schedule is not None
        self._codec, self._setting = config.schedule.codec, config.schedule.setting
        self._device = device
        self._image = grey_tensor(pictures.held_out_crops(config.crop, most=48))
        decoded, bits = through_real_codec(bicubic_half(self._image), self._codec, self._setting)
        enlarged = functional.interpolate(decoded, scale_factor=2, mode="bicubic", align_corners=False)
        self._plain_psnr, self._plain_bits = mean_psnr(enlarged, self._image), bits

    def __call__(self, network: nn.Module) -> dict[str, float]:
        """PSNR in dB, ratio of the bits to those of the plain downscale, SSIM of the description with it."""
        assert isinstance(network, PublishedNetworks)
        described, _, bits, restored = self._chain(network)
        imitated = network.virtual_codec(described.to(self._device)).float().cpu()
        return {
            "plain": self._plain_psnr,
            "restored": mean_psnr(restored, self._image),
            "imitated": mean_psnr(imitated, self._image),
            "fidelity": mean_psnr(imitated, restored.clamp(0, 1)),
            "bits": float((bits / self._plain_bits).log().mean().exp()),
            "ssim": float(ssim(described, bicubic_half(self._image))),
        }

    def rows(self, network: nn.Module) -> list[Tensor]:
        """Rows of a sample sheet: originals, descriptions, decoded, restored."""
        assert isinstance(network, PublishedNetworks)
        described, decoded, _, restored = self._chain(network)
        return [self._image, described, decoded, restored]

    def _chain(self, network: PublishedNetworks) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        described = describe(network, self._image.to(self._device)).cpu()
        decoded, bits = through_real_codec(described, self._codec, self._setting)
        restored = network.postprocess(decoded.to(self._device)).float().cpu()
        return described, decoded, bits, restored


_StepLoss = Callable[[PublishedNetworks, Tensor, Schedule], Tensor]

_STEP_LOSSES: Final[Mapping[StepKind, _StepLoss]] = {
    "start": start_step,
    "postprocess": postprocess_step,
    "virtual_codec": virtual_codec_step,
    "description": description_step,
}
