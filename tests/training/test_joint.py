from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from tests.pictures import scene
from virtual_codec.codecs import JpegSettings
from virtual_codec.codecs.jpeg import decode, encode
from virtual_codec.networks.differentiable import smooth_jpeg, soft_round, with_forward
from virtual_codec.training.config import TrainConfig
from virtual_codec.training.data import Pictures
from virtual_codec.training.joint import JointLoss, JointNetworks, joint_batches, tables_of
from virtual_codec.training.recipes import joint_2


def small_pair() -> TrainConfig:
    return replace(joint_2(), channels=8, blocks=1, description_channels=8, description_blocks=1, crop=64, batch=2)


def test_the_smooth_codec_is_near_the_real_one() -> None:
    picture = scene(64, 64)
    settings = JpegSettings(step=20, trellis=0)
    real = torch.from_numpy(decode(encode(picture, settings)).copy()).permute(2, 0, 1)[None] / 255
    source = torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255
    smooth, _ = smooth_jpeg(source, tables_of((settings,)))
    error = (smooth - real).square().mean()
    assert -10 * torch.log10(error) > 38
    assert (source - real).square().mean() > 5 * error


def test_a_coarser_table_costs_fewer_bits() -> None:
    source = torch.from_numpy(scene(64, 64)).permute(2, 0, 1)[None].float() / 255
    rates = [float(smooth_jpeg(source, tables_of((JpegSettings(step=step),)))[1]) for step in (5, 20, 80)]
    assert rates == sorted(rates, reverse=True)


def test_rounding_is_exact_and_its_derivative_that_of_the_smooth_step() -> None:
    values = torch.tensor([0.0, 0.25, 0.5, 1.75, -0.4], requires_grad=True)
    rounded = soft_round(values)
    assert torch.equal(rounded, values.round())
    rounded.sum().backward()
    assert values.grad is not None
    assert np.allclose(values.grad, 1 - np.cos(2 * np.pi * values.detach().numpy()), atol=1e-6)


def test_a_value_may_come_from_elsewhere() -> None:
    smooth = torch.tensor([1.0, 2.0], requires_grad=True)
    mixed = with_forward(smooth * 3, torch.tensor([10.0, 20.0]))
    assert torch.equal(mixed, torch.tensor([10.0, 20.0]))
    mixed.sum().backward()
    assert torch.equal(smooth.grad, torch.tensor([3.0, 3.0]))  # type: ignore[arg-type]


def test_both_networks_of_a_pair_learn(photographs: Path) -> None:
    torch.manual_seed(0)
    config = small_pair()
    pair, loss = JointNetworks(config), JointLoss(config)
    with torch.no_grad():
        for network in (pair.description, pair.postprocess):
            network.tail.weight.normal_(std=0.01)
    batch = next(iter(joint_batches(Pictures(photographs, smallest=64), config, 0, 0)))
    value = loss(pair, batch)
    value.backward()
    assert torch.isfinite(value)
    for name, parameter in pair.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_a_fresh_description_costs_what_the_plain_one_costs(photographs: Path) -> None:
    config = small_pair()
    batch = next(iter(joint_batches(Pictures(photographs, smallest=64), config, 0, 0)))
    with torch.no_grad():
        value = float(JointLoss(config)(JointNetworks(config), batch))
    assert abs(value - (1 + config.rate_weight)) < 0.02


def test_a_frozen_description_stays_while_post_processing_learns(photographs: Path) -> None:
    torch.manual_seed(0)
    config = replace(small_pair(), frozen_description=True, loss="log-error")
    pair, loss = JointNetworks(config), JointLoss(config)
    batch = next(joint_batches(Pictures(photographs, smallest=64), config, 0, 0))
    before = {name: value.clone() for name, value in pair.state_dict().items()}
    optimizer = torch.optim.Adam([each for each in pair.parameters() if each.requires_grad], lr=1e-3)
    losses = []
    for _ in range(12):
        optimizer.zero_grad()
        cost = loss(pair, batch)
        cost.backward()
        optimizer.step()
        losses.append(cost.item())
    assert losses[-1] < losses[0]
    moved = {name.split(".")[0] for name, value in pair.state_dict().items() if not torch.equal(value, before[name])}
    assert moved == {"postprocess"}


def test_a_description_at_full_size_begins_as_the_image(photographs: Path) -> None:
    config = replace(small_pair(), scale=1)
    batch = next(joint_batches(Pictures(photographs, smallest=64), config, 0, 0))
    with torch.no_grad():
        described = JointNetworks(config).description(batch.image, batch.condition)
        value = float(JointLoss(config)(JointNetworks(config), batch))
    assert torch.equal(described, batch.image)
    assert abs(value - (1 + config.rate_weight)) < 0.02


def test_post_processing_alone_learns_from_plain_batches_between(photographs: Path) -> None:
    torch.manual_seed(0)
    config = replace(small_pair(), scale=1, plain_every=2, foreign_share=1.0)
    source = joint_batches(Pictures(photographs, smallest=64), config, 0, 0)
    plain, joint = next(source), next(source)
    pair, loss = JointNetworks(config), JointLoss(config)
    for batch, moved in ((plain, {"postprocess"}), (joint, {"postprocess", "description"})):
        pair.zero_grad(set_to_none=True)
        loss(pair, batch).backward()
        assert {name.split(".")[0] for name, each in pair.named_parameters() if each.grad is not None} == moved
