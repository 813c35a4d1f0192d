"""Training with a virtual codec for colour and all qualities: real codec's values, virtual codec's derivatives.

    description ─┬─► real codec ─► decoded ─► post-processing ─► restored           values
                 ├─► virtual codec, with the tables as its condition ─► restored    derivative, or a share of it
                 └─► smooth model of JPEG ─► bits, scaled to the real size          derivative of the rate

The loss is that of `virtual_codec.training.joint`. The virtual codec is trained in steps of its own, several to each
joint step, so that it stays close to the chain that it imitates.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import final

import numpy as np
import torch
from torch import Tensor, nn

from virtual_codec.networks import DescriptionNet, PostprocessNet, shrink
from virtual_codec.networks.differentiable import with_forward
from virtual_codec.training.coding import code_descriptions
from virtual_codec.training.config import TrainConfig
from virtual_codec.training.crops import training_crop
from virtual_codec.training.data import Pictures
from virtual_codec.training.joint import JointBatch, JointValidation, joint_batch, smooth_codec
from virtual_codec.training.losses import mean_psnr, squared_error
from virtual_codec.training.published_algorithm import freeze_other_networks
from virtual_codec.training.samples import Batch, draw_settings, prefetched, to_tensor
from virtual_codec.training.schedule import StepKind


@final
class VirtualCodecNetworks(nn.Module):
    """Networks of scale 2. The virtual codec has the shape of the post-processing network and its own weights.

    `described` may be another module that halves the size, such as a fixed filter for comparison.
    """

    def __init__(self, config: TrainConfig, described: nn.Module | None = None) -> None:
        super().__init__()
        self.description = described or DescriptionNet(
            channels=config.description_channels, blocks=config.description_blocks
        )
        self.postprocess = PostprocessNet(scale=2, channels=config.channels, blocks=config.blocks)
        self.virtual_codec = PostprocessNet(scale=2, channels=config.channels, blocks=config.blocks)
        self.reference = PostprocessNet(scale=2, channels=config.channels, blocks=config.blocks)
        self.reference.requires_grad_(False)
        self.begin()

    def begin(self) -> None:
        """Copy the post-processing network into the reference, after the run's initial weights are loaded."""
        self.reference.load_state_dict(self.postprocess.state_dict())


@dataclass(frozen=True, kw_only=True)
class VirtualBatch(JointBatch):
    """Joint batch and the kind of step that it is made for."""

    step_kind: StepKind


@final
class VirtualLoss:
    """Loss of the step kind of a batch; only the networks that the step trains get gradients."""

    def __init__(self, config: TrainConfig) -> None:
        assert config.schedule is not None
        self._rate_weight = config.rate_weight
        self._pull_weight = config.pull_weight
        self._share = config.schedule.virtual_share
        self._drift_weight = config.drift_weight
        self.figures: dict[str, float] = {}  # of the last step that coded a description

    def __call__(self, network: nn.Module, batch: Batch) -> Tensor:
        """Loss of `VirtualCodecNetworks` on a `VirtualBatch`."""
        assert isinstance(network, VirtualCodecNetworks)
        assert isinstance(batch, VirtualBatch)
        freeze_other_networks(network, batch.step_kind)
        if batch.step_kind == "virtual_codec":
            return self._imitation_loss(network, batch)
        with torch.no_grad():
            plain: Tensor = network.reference(batch.decoded, batch.condition)
            plain_error = squared_error(plain.float(), batch.image, self._drift_weight) + 1e-5
        if batch.step_kind == "postprocess":
            return self._restoration_loss(network, batch, plain_error)
        return self._description_loss(network, batch, plain_error)

    def _imitation_loss(self, network: VirtualCodecNetworks, batch: VirtualBatch) -> Tensor:
        with torch.no_grad():
            described = _describe(network, batch)
            decoded, _ = code_descriptions(described, batch.settings)
            restored: Tensor = network.postprocess(decoded.to(described.device), batch.condition)
            error = (restored.float() - batch.image).square().mean(dim=(1, 2, 3)) + 1e-5
        imitated: Tensor = network.virtual_codec(described, batch.condition)
        missed = (imitated.float() - restored.float()).square().mean(dim=(1, 2, 3))
        return (missed / error).mean()

    def _restoration_loss(self, network: VirtualCodecNetworks, batch: VirtualBatch, plain_error: Tensor) -> Tensor:
        with torch.no_grad():
            described = _describe(network, batch)
            decoded, _ = code_descriptions(described, batch.settings)
        restored: Tensor = network.postprocess(decoded.to(described.device), batch.condition)
        return (squared_error(restored.float(), batch.image, self._drift_weight) / plain_error).mean()

    def _description_loss(self, network: VirtualCodecNetworks, batch: VirtualBatch, plain_error: Tensor) -> Tensor:
        described = _describe(network, batch)
        real, bits = code_descriptions(described, batch.settings)
        smooth, rate = smooth_codec(described, batch.settings, follows_trellis=True)
        rate = rate * (bits.to(rate.device) / rate).detach()
        real = real.to(described.device)
        decoded = with_forward((1 - self._share) * smooth, real) if self._share < 1 else real
        restored: Tensor = network.postprocess(decoded, batch.condition)
        error = squared_error(restored.float(), batch.image, self._drift_weight)
        if self._share > 0:
            imitated: Tensor = network.virtual_codec(described, batch.condition)
            seen = with_forward(self._share * imitated.float(), restored.detach().float())
            through = squared_error(seen, batch.image, self._drift_weight)
            error = error + through - through.detach()  # its derivative, without its value
        self.figures = {"bits": float((bits / batch.plain_bits.cpu()).mean())}
        pull = (described - shrink(batch.image)).square().mean(dim=(1, 2, 3))
        cost = (error + self._pull_weight * pull) / plain_error
        return (cost + self._rate_weight * rate / batch.plain_bits.to(rate.device)).mean()


def virtual_batches(pictures: Pictures, config: TrainConfig, seed: int, start: int) -> Iterator[Batch]:
    """Batches from step `start` on. Each depends on seed and step alone."""
    schedule = config.schedule
    assert schedule is not None

    def make(step: int) -> VirtualBatch:
        random = np.random.default_rng((seed, step))
        images = [training_crop(random, pictures, config) for _ in range(config.batch)]
        made = joint_batch(to_tensor(images), [draw_settings(random, config) for _ in images])
        parts = {field.name: getattr(made, field.name) for field in fields(made)}
        return VirtualBatch(**parts, step_kind=schedule.step_kind_at(step))

    return prefetched(make, start, config.steps)


@final
class VirtualValidation:
    """Figures of `JointValidation`, and the fidelity of the virtual codec to the chain that it imitates."""

    def __init__(
        self, pictures: Pictures, config: TrainConfig, device: str, *, most: int = 48, bfloat16: bool = True
    ) -> None:
        self._joint = JointValidation(pictures, config, device, most=most, bfloat16=bfloat16)

    def __call__(self, network: nn.Module) -> dict[str, float]:
        """PSNRs in dB; `fidelity` is that of the virtual codec against the restored picture."""
        assert isinstance(network, VirtualCodecNetworks)
        measured = self._joint(network)
        for step, batch in self._joint.batches.items():
            described, _, restored, _ = self._joint.chain(network, batch)
            imitated = network.virtual_codec(described, batch.condition.to(described.device)).float().cpu()
            measured[f"fidelity_{step:g}"] = mean_psnr(imitated, restored.clamp(0, 1))
        return measured

    def score_db(self, figures: Mapping[str, float]) -> float:
        """Score of `JointValidation`."""
        return self._joint.score_db(figures)

    def rows(self, network: nn.Module) -> list[Tensor]:
        """Rows of a sample sheet, as those of `JointValidation`."""
        return self._joint.rows(network)


def _describe(network: VirtualCodecNetworks, batch: VirtualBatch) -> Tensor:
    described: Tensor = network.description(batch.image, batch.condition).float()
    return with_forward(described, described.clamp(0, 1))
