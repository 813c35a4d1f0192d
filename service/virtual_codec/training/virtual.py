"""The modern virtual codec: colour, every quality, kept fresh, with the real codec going forward and a rate to pay.

    description ─┬─► real codec ─► decoded ─► post-processing ─► restored       the values
                 ├─► virtual codec, told of the tables ─► restored              the derivative, or a share of it
                 └─► smooth model of JPEG ─► bits, scaled to the real size      the rate's derivative

The loss is `virtual_codec.training.joint`'s. The virtual codec moves in steps of its own, several to each step of the
pair, so that it has seen the descriptions that it is asked about.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import final

import numpy as np
import torch
from torch import Tensor, nn

from virtual_codec.networks import DescriptionNet, PostprocessNet, shrink
from virtual_codec.networks.differentiable import smooth_jpeg, with_forward
from virtual_codec.training.alternating import let_move
from virtual_codec.training.alternation import Move
from virtual_codec.training.config import TrainConfig
from virtual_codec.training.data import Pictures
from virtual_codec.training.joint import JointBatch, JointValidation, coded, joint_batch, tables_of
from virtual_codec.training.losses import mean_psnr
from virtual_codec.training.samples import Batch, draw_settings, made_ahead, to_tensor


@final
class ColourTrio(nn.Module):
    """The networks of scale 2; the virtual codec has the post-processing network's shape and weights of its own.

    `described` may be another way to half size, without weights: what a learned description is measured against.
    """

    def __init__(self, config: TrainConfig, described: nn.Module | None = None) -> None:
        super().__init__()
        self.description = described or DescriptionNet(
            channels=config.description_channels, blocks=config.description_blocks
        )
        self.postprocess = PostprocessNet(scale=2, channels=config.channels, blocks=config.blocks)
        self.virtual_codec = PostprocessNet(scale=2, channels=config.channels, blocks=config.blocks)


@dataclass(frozen=True, kw_only=True)
class VirtualBatch(JointBatch):
    """A joint batch and the step of the algorithm it is for."""

    move: Move


@final
class VirtualLoss:
    """The loss of whichever step a batch is for; only that step's networks get gradients."""

    def __init__(self, config: TrainConfig) -> None:
        assert config.alternation is not None
        self._rate_weight = config.rate_weight
        self._pull_weight = config.pull_weight
        self._share = config.alternation.virtual_share
        self.figures: dict[str, float] = {}  # of the last step that sent a description through the codec

    def __call__(self, network: nn.Module, batch: Batch) -> Tensor:
        """The loss of a `ColourTrio` on a `VirtualBatch`."""
        assert isinstance(network, ColourTrio)
        assert isinstance(batch, VirtualBatch)
        let_move(network, batch.move)
        if batch.move == "virtual_codec":
            return self._imitation(network, batch)
        with torch.no_grad():
            plain: Tensor = network.postprocess(batch.decoded, batch.condition)
            plain_error = (plain.float() - batch.image).square().mean(dim=(1, 2, 3)) + 1e-5
        if batch.move == "postprocess":
            return self._restoration(network, batch, plain_error)
        return self._description(network, batch, plain_error)

    def _imitation(self, network: ColourTrio, batch: VirtualBatch) -> Tensor:
        with torch.no_grad():
            described = _described(network, batch)
            decoded, _ = coded(described, batch.settings)
            restored: Tensor = network.postprocess(decoded.to(described.device), batch.condition)
            error = (restored.float() - batch.image).square().mean(dim=(1, 2, 3)) + 1e-5
        imitated: Tensor = network.virtual_codec(described, batch.condition)
        missed = (imitated.float() - restored.float()).square().mean(dim=(1, 2, 3))
        return (missed / error).mean()

    def _restoration(self, network: ColourTrio, batch: VirtualBatch, plain_error: Tensor) -> Tensor:
        with torch.no_grad():
            described = _described(network, batch)
            decoded, _ = coded(described, batch.settings)
        restored: Tensor = network.postprocess(decoded.to(described.device), batch.condition)
        return ((restored.float() - batch.image).square().mean(dim=(1, 2, 3)) / plain_error).mean()

    def _description(self, network: ColourTrio, batch: VirtualBatch, plain_error: Tensor) -> Tensor:
        described = _described(network, batch)
        real, bits = coded(described, batch.settings)
        with torch.autocast(described.device.type, enabled=False):
            smooth, rate = smooth_jpeg(described, tables_of(batch.settings).to(described.device))
        rate = rate * (bits.to(rate.device) / rate).detach()
        real = real.to(described.device)
        decoded = with_forward((1 - self._share) * smooth, real) if self._share < 1 else real
        restored: Tensor = network.postprocess(decoded, batch.condition)
        error = (restored.float() - batch.image).square().mean(dim=(1, 2, 3))
        if self._share > 0:
            imitated: Tensor = network.virtual_codec(described, batch.condition)
            seen = with_forward(self._share * imitated.float(), restored.detach().float())
            through = (seen - batch.image).square().mean(dim=(1, 2, 3))
            error = error + through - through.detach()  # its derivative, without its value
        self.figures = {"bits": float((bits / batch.plain_bits.cpu()).mean())}
        pull = (described - shrink(batch.image)).square().mean(dim=(1, 2, 3))
        cost = (error + self._pull_weight * pull) / plain_error
        return (cost + self._rate_weight * rate / batch.plain_bits.to(rate.device)).mean()


def virtual_batches(pictures: Pictures, config: TrainConfig, seed: int, start: int) -> Iterator[Batch]:
    """Batches from step `start` on; each depends on seed and step alone."""
    alternation = config.alternation
    assert alternation is not None

    def make(step: int) -> VirtualBatch:
        random = np.random.default_rng((seed, step))
        images = [
            pictures.crop(random, config.crop, scale_jitter=config.scale_jitter, enlargement=config.enlargement)
            for _ in range(config.batch)
        ]
        made = joint_batch(to_tensor(images), [draw_settings(random, config) for _ in images])
        parts = {field.name: getattr(made, field.name) for field in fields(made)}
        return VirtualBatch(**parts, move=alternation.move_at(step))

    return made_ahead(make, start, config.steps)


@final
class VirtualValidation:
    """What `JointValidation` measures, and how near the virtual codec comes to the chain that it imitates."""

    def __init__(
        self, pictures: Pictures, config: TrainConfig, device: str, *, most: int = 48, bfloat16: bool = True
    ) -> None:
        self._joint = JointValidation(pictures, config, device, most=most, bfloat16=bfloat16)

    def __call__(self, network: nn.Module) -> dict[str, float]:
        """PSNRs in dB; `fidelity` is the virtual codec's, of what post-processing really made."""
        assert isinstance(network, ColourTrio)
        measured = self._joint(network)
        for step, batch in self._joint.batches.items():
            described, _, restored, _ = self._joint.chain(network, batch)
            imitated = network.virtual_codec(described, batch.condition.to(described.device)).float().cpu()
            measured[f"fidelity_{step:g}"] = mean_psnr(imitated, restored.clamp(0, 1))
        return measured

    def rows(self, network: nn.Module) -> list[Tensor]:
        """What a sample sheet shows."""
        return self._joint.rows(network)


def _described(network: ColourTrio, batch: VirtualBatch) -> Tensor:
    described: Tensor = network.description(batch.image, batch.condition).float()
    return with_forward(described, described.clamp(0, 1))
