"""The published learning algorithm: three grey networks, a standard codec at one setting, one network moved at a time.

    (a) image ──► description ──► real codec ──► decoded                    `describe`, `through_real_codec`
    (b) decoded ──► post-processing ──► towards the image                   `postprocess_step`
    (c) description ──► virtual codec ──► towards what (b)'s network made   `virtual_codec_step`
    (d) image ──► description ──► frozen virtual codec ──► towards the image, and the description a picture
                                                                            `description_step`

and round again. Quantisation has no derivative; the virtual codec of (c) stands for codec and post-processing
together, and (d) goes back through it. (a) is done afresh for each batch: the description network does not move
during (b) and (c), so that is the same as describing all images once a round, with more crops.
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
from virtual_codec.training.alternation import MOVES, Alternation, Move
from virtual_codec.training.config import TrainConfig
from virtual_codec.training.data import Pictures
from virtual_codec.training.losses import mean_psnr
from virtual_codec.training.plain_codecs import through_plain
from virtual_codec.training.samples import made_ahead
from virtual_codec.training.structure import structural_similarity


@final
class Trio(nn.Module):
    """The three networks of one codec setting, as one thing to train."""

    def __init__(self, *, width: int) -> None:
        super().__init__()
        self.description = PaperDescriptionNet(width=width)
        self.postprocess = PaperRestorationNet(width=width)
        self.virtual_codec = PaperRestorationNet(width=width)


@dataclass(frozen=True, kw_only=True)
class GreyBatch:
    """Originals [B, 1, h, w] in [0, 1], and the step of the algorithm they are for."""

    image: Tensor
    move: Move

    def to(self, device: torch.device) -> GreyBatch:
        """The same on a device."""
        return GreyBatch(image=self.image.to(device, non_blocking=True), move=self.move)


@final
class AlternatingLoss:
    """The loss of whichever step a batch is for; only that step's network gets gradients."""

    def __init__(self, alternation: Alternation) -> None:
        self._alternation = alternation

    def __call__(self, network: nn.Module, batch: GreyBatch) -> Tensor:
        """The loss of a `Trio`."""
        assert isinstance(network, Trio)
        let_move(network, batch.move)
        return _STEPS[batch.move](network, batch.image, self._alternation)


def let_move(network: nn.Module, move: Move) -> None:
    """Freeze all networks but those that a step of the algorithm moves."""
    for name, part in network.named_children():
        part.requires_grad_(name in MOVES[move])


def describe(network: Trio, image: Tensor) -> Tensor:
    """(a) The description, clipped to [0, 1]; the clipping lets gradients pass, so that nothing stays stuck outside."""
    described: Tensor = network.description(image).float()
    return with_forward(described, described.clamp(0, 1))


def through_real_codec(description: Tensor, codec: str, setting: int) -> tuple[Tensor, Tensor]:
    """(a) Each description through the real codec: [B, 1, h, w] -> the same decoded, and bits [B]. No gradient."""
    pictures = (description.detach().float() * 255).round().clamp(0, 255).byte().cpu().numpy()[:, 0]
    results = [through_plain(codec, setting, np.ascontiguousarray(picture)) for picture in pictures]
    decoded = torch.from_numpy(np.stack([shown for shown, _ in results]))[:, None].float() / 255
    return decoded.to(description.device), torch.tensor([8.0 * size for _, size in results])


def plain_description(image: Tensor) -> Tensor:
    """The picture that a description is held to: bicubic at half size, antialiased."""
    return functional.interpolate(image, scale_factor=0.5, mode="bicubic", antialias=True).clamp(0, 1)


def start_step(network: Trio, image: Tensor, _alternation: Alternation) -> Tensor:
    """Before the first round: the description network learns to be a plain downscale."""
    return functional.mse_loss(describe(network, image), plain_description(image))


def postprocess_step(network: Trio, image: Tensor, alternation: Alternation) -> Tensor:
    """(b) From the decoded picture back to the image."""
    with torch.no_grad():
        described = describe(network, image)
    decoded, _ = through_real_codec(described, alternation.codec, alternation.setting)
    restored: Tensor = network.postprocess(decoded)
    return functional.mse_loss(restored.float(), image)


def virtual_codec_step(network: Trio, image: Tensor, alternation: Alternation) -> Tensor:
    """(c) From the description straight to what post-processing makes of it once it is coded."""
    with torch.no_grad():
        described = describe(network, image)
        decoded, _ = through_real_codec(described, alternation.codec, alternation.setting)
        restored: Tensor = network.postprocess(decoded)
    imitated: Tensor = network.virtual_codec(described)
    return functional.mse_loss(imitated.float(), restored.float())


def description_step(network: Trio, image: Tensor, alternation: Alternation) -> Tensor:
    """(d) Through the frozen virtual codec to the image; the SSIM term keeps the description a picture of it."""
    described = describe(network, image)
    imitated: Tensor = network.virtual_codec(described)
    likeness = structural_similarity(described, plain_description(image))
    return functional.mse_loss(imitated.float(), image) + alternation.image_weight * (1 - likeness)


def grey_batches(pictures: Pictures, config: TrainConfig, seed: int, start: int) -> Iterator[GreyBatch]:
    """Batches from step `start` on; each depends on seed and step alone."""
    alternation = config.alternation
    assert alternation is not None

    def make(step: int) -> GreyBatch:
        random = np.random.default_rng((seed, step))
        crops = [
            pictures.crop(random, config.crop, scale_jitter=config.scale_jitter, enlargement=config.enlargement)
            for _ in range(config.batch)
        ]
        return GreyBatch(image=grey_tensor(crops), move=alternation.move_at(step))

    return made_ahead(make, start, config.steps)


def grey_tensor(crops: list[np.ndarray[tuple[int, ...], np.dtype[np.uint8]]]) -> Tensor:
    """[h, w, 3] bytes -> luma [B, 1, h, w] in [0, 1]."""
    luma = np.stack([np.asarray(Image.fromarray(crop).convert("L")) for crop in crops])
    return torch.from_numpy(luma)[:, None].float() / 255


@final
class AlternatingValidation:
    """On held-out crops: the real chain, the plain one, and how well the virtual codec imitates."""

    def __init__(self, pictures: Pictures, config: TrainConfig, device: str) -> None:
        assert config.alternation is not None
        self._codec, self._setting = config.alternation.codec, config.alternation.setting
        self._device = device
        self._image = grey_tensor(pictures.held_out_crops(config.crop, most=48))
        decoded, bits = through_real_codec(plain_description(self._image), self._codec, self._setting)
        enlarged = functional.interpolate(decoded, scale_factor=2, mode="bicubic", align_corners=False)
        self._plain_psnr, self._plain_bits = mean_psnr(enlarged, self._image), bits

    def __call__(self, network: nn.Module) -> dict[str, float]:
        """PSNR in dB, bits over those of the plain downscale, likeness (SSIM) of the description to that."""
        assert isinstance(network, Trio)
        described, _, bits, restored = self._chain(network)
        imitated = network.virtual_codec(described.to(self._device)).float().cpu()
        return {
            "plain": self._plain_psnr,
            "restored": mean_psnr(restored, self._image),
            "imitated": mean_psnr(imitated, self._image),
            "fidelity": mean_psnr(imitated, restored.clamp(0, 1)),
            "bits": float((bits / self._plain_bits).log().mean().exp()),
            "likeness": float(structural_similarity(described, plain_description(self._image))),
        }

    def rows(self, network: nn.Module) -> list[Tensor]:
        """What a sample sheet shows: originals, descriptions, what the decoder shows, restored pictures."""
        assert isinstance(network, Trio)
        described, decoded, _, restored = self._chain(network)
        return [self._image, described, decoded, restored]

    def _chain(self, network: Trio) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        described = describe(network, self._image.to(self._device)).cpu()
        decoded, bits = through_real_codec(described, self._codec, self._setting)
        restored = network.postprocess(decoded.to(self._device)).float().cpu()
        return described, decoded, bits, restored


_Step = Callable[[Trio, Tensor, Alternation], Tensor]

_STEPS: Final[Mapping[Move, _Step]] = {
    "start": start_step,
    "postprocess": postprocess_step,
    "virtual_codec": virtual_codec_step,
    "description": description_step,
}
