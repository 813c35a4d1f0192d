from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from tests.models import Networks, make_store
from tests.pictures import scene
from virtual_codec.codecs import JpegSettings
from virtual_codec.codecs.jpeg import decode, encode
from virtual_codec.networks import build
from virtual_codec.networks.condition import CONDITION_SIZE
from virtual_codec.networks.differentiable import kept_levels, smooth_jpeg, soft_round, with_forward
from virtual_codec.training import RunOptions, TrainRequest
from virtual_codec.training.checkpoint import load_average
from virtual_codec.training.coding import code_descriptions, levels_of_descriptions, tables_of
from virtual_codec.training.config import TrainConfig, UShape
from virtual_codec.training.data import Pictures
from virtual_codec.training.joint import JointBatch, JointLoss, JointNetworks, joint_batches, smooth_codec
from virtual_codec.training.jpeg_recipes import joint_2
from virtual_codec.training.losses import LOSSES, colour_drift
from virtual_codec.training.recipes import RECIPES
from virtual_codec.training.samples import default_settings, draw_settings
from virtual_codec.training.targets import train_recipe
from virtual_codec.training.weights import load_model_network


def small_pair() -> TrainConfig:
    sizes = {"channels": 8, "blocks": 1, "description_channels": 8, "description_blocks": 1}
    return replace(joint_2(), crop=64, batch=2, plain_every=0, **sizes)  # type: ignore[arg-type]


def test_the_smooth_codec_is_near_the_real_one() -> None:
    picture = scene(64, 64)
    settings = JpegSettings(step=20, trellis=0)
    real = torch.from_numpy(decode(encode(picture, settings)).copy()).permute(2, 0, 1)[None] / 255
    source = torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255
    smooth, _ = smooth_jpeg(source, tables_of((settings,)), subsampled=True)
    error = (smooth - real).square().mean()
    assert -10 * torch.log10(error) > 38
    assert (source - real).square().mean() > 5 * error


def test_a_coarser_table_costs_fewer_bits() -> None:
    source = torch.from_numpy(scene(64, 64)).permute(2, 0, 1)[None].float() / 255
    rates = [
        float(smooth_jpeg(source, tables_of((JpegSettings(step=step),)), subsampled=True)[1]) for step in (5, 20, 80)
    ]
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
            network.get_parameter("tail.weight").normal_(std=0.01)
    batch = next(iter(joint_batches(Pictures(photographs, smallest=64), config, 0, 0)))
    value = loss(pair, batch)
    value.backward()
    assert torch.isfinite(value)
    for name, parameter in pair.named_parameters():
        if name.startswith("reference."):
            assert parameter.grad is None
            continue
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
    config = replace(small_pair(), scale=1, step_range=(20.0, 60.0))
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


def pictures_of(count: int) -> Tensor:
    stacked = np.stack([scene(64, 64, seed=seed) for seed in range(count)])
    return torch.from_numpy(stacked).permute(0, 3, 1, 2).float() / 255


def gradient(described: Tensor, settings: tuple[JpegSettings, ...], weights: Tensor, *, follows: bool) -> Tensor:
    leaf = described.clone().requires_grad_()
    decoded, rate = smooth_codec(leaf, settings, follows_trellis=follows)
    ((decoded * weights).sum() + 1e-3 * rate.sum()).backward()
    assert leaf.grad is not None
    return leaf.grad


@pytest.mark.parametrize("follows", [False, True])
def test_each_sample_has_the_gradient_of_its_own_subsampling(follows: bool) -> None:
    torch.manual_seed(0)
    described, weights = pictures_of(4), torch.randn(4, 3, 64, 64)
    settings = tuple(JpegSettings(step=20, subsampling=kind) for kind in ("420", "444", "444", "420"))
    mixed = gradient(described, settings, weights, follows=follows)
    for index in range(4):
        one = slice(index, index + 1)
        alone = gradient(described[one], settings[one], weights[one], follows=follows)
        assert torch.allclose(mixed[one], alone, atol=1e-6)
    wrong = gradient(described[1:2], (JpegSettings(step=20),), weights[1:2], follows=follows)
    assert float(functional.cosine_similarity(mixed[1].flatten(), wrong.flatten(), dim=0)) < 0.95


@pytest.mark.parametrize("subsampling", ["420", "444"])
def test_levels_of_the_encoder_decode_to_what_its_stream_shows(subsampling: Literal["420", "444"]) -> None:
    described = pictures_of(2)
    settings = (JpegSettings(step=15, subsampling=subsampling), JpegSettings(step=50, subsampling=subsampling))
    real, _ = code_descriptions(described, settings)
    decoded, _ = smooth_codec(described, settings, follows_trellis=True)
    assert ((decoded.clamp(0, 1) - real).square().mean(dim=(1, 2, 3)) < 4e-5).all()  # libjpeg rounds on its way
    (levels, _) = levels_of_descriptions(described, settings)
    assert levels.luma.shape == (1, 8, 8, 8, 8)
    assert levels.chroma.shape == (2, 4, 4, 8, 8) if subsampling == "420" else (2, 8, 8, 8, 8)


def test_the_derivative_follows_what_the_trellis_kept() -> None:
    values = torch.tensor([0.5, 0.75, 1.3, -0.6, -2.2], requires_grad=True)
    levels = torch.tensor([0.0, 1.0, 1.0, 0.0, -2.0])
    chosen = kept_levels(values, levels)
    assert torch.equal(chosen, levels)
    chosen.sum().backward()
    soft = 1 - np.cos(2 * np.pi * values.detach().numpy())
    assert values.grad is not None
    assert np.allclose(values.grad, np.where(levels.numpy() != 0, 1, soft / 2), atol=1e-6)


def test_errors_are_relative_to_the_network_that_the_run_began_with(photographs: Path) -> None:
    torch.manual_seed(0)
    config = small_pair()
    networks, loss = JointNetworks(config), JointLoss(config)
    batch = next(
        batch
        for batch in joint_batches(Pictures(photographs, smallest=64), config, 0, 0)
        if isinstance(batch, JointBatch)
    )
    with torch.no_grad():
        networks.postprocess.get_parameter("tail.weight").normal_(std=0.05)
        before = float(loss(networks, batch))
        networks.begin()
        after = float(loss(networks, batch))
    assert before > 1.2 * after  # a worse network costs more, until it is the reference itself
    assert abs(after - (1 + config.rate_weight)) < 0.1
    assert not any(parameter.requires_grad for parameter in networks.reference.parameters())


@pytest.mark.parametrize("name", [name for name, make in RECIPES.items() if make().target == "joint"])
def test_every_joint_recipe_has_plain_batches_and_counts_drift(name: str) -> None:
    config = RECIPES[name]()
    assert config.plain_every > 1
    assert config.drift_weight > 0


def test_a_patch_of_wrong_hue_costs_more_than_noise_of_the_same_error() -> None:
    image = torch.full((1, 3, 32, 32), 0.5)
    hue = image + torch.tensor([0.02, -0.02, 0.0]).view(1, 3, 1, 1)
    signs = (torch.arange(32)[:, None] + torch.arange(32)[None]) % 2 * 2 - 1
    noise = image + (hue - image) * signs
    for loss in LOSSES.values():
        assert float(loss(hue, image, 0.0)) == pytest.approx(float(loss(noise, image, 0.0)), rel=1e-5)
        assert float(loss(hue, image, 4.0)) > float(loss(noise, image, 4.0))
    assert float(colour_drift(image + 0.1, image)) == pytest.approx(0, abs=1e-9)  # grey has no hue


def test_settings_have_the_chroma_dc_of_the_recipe() -> None:
    config = replace(RECIPES["joint-2"](), chroma_dc=0.7)
    random = np.random.default_rng(0)
    assert {draw_settings(random, config).chroma_dc, default_settings(30.0, config).chroma_dc} == {0.7}


@pytest.mark.parametrize("recipe", ["large-1", "large-2"])
def test_a_run_starts_from_a_models_description_and_grows_its_post_processing(
    photographs: Path, tmp_path: Path, recipe: str
) -> None:
    config = RECIPES[recipe]()
    assert config.u_shape is not None
    small = UShape(widths="8-12-16")
    role = f"description-{config.scale}", f"postprocess-{config.scale}"
    channels: dict[str, int | float | str | bool] = {"channels": config.description_channels, "scale": config.scale}
    channels["blocks"] = config.description_blocks
    networks: Networks = {
        role[0]: ("description", channels),
        role[1]: replace(config, u_shape=small).postprocess_network,
    }
    store = make_store(tmp_path / "store", networks=networks, strength=0.2)
    config = replace(config, crop=64, batch=2, steps=1, u_shape=UShape(widths="12-16-24"), learning_rate=1e-9)
    request = TrainRequest(
        recipe=recipe,
        data=photographs,
        run=RunOptions(out=tmp_path / "run", show_progress=False),
        start_from=store.root / "tiny",
    )
    train_recipe(config, request)
    trained = JointNetworks(config)
    trained.load_state_dict(load_average(tmp_path / "run" / "checkpoint.safetensors"))
    given = load_model_network(store.root / "tiny", role[0])
    assert all(torch.equal(value, given[name]) for name, value in trained.description.state_dict().items())
    grown_from = build(*networks[role[1]])
    grown_from.load_state_dict(load_model_network(store.root / "tiny", role[1]))
    picture, condition = torch.rand(1, 3, 32, 32), torch.rand(1, CONDITION_SIZE)
    assert torch.allclose(trained.postprocess(picture, condition), grown_from(picture, condition), atol=1e-4)
