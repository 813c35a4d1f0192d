"""Training whose crops are cut and coded on the device; here on the processor, and on CUDA where there is one."""

from __future__ import annotations

import csv
import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.pictures import scene
from virtual_codec.errors import BadOption
from virtual_codec.training import RunOptions, TrainReport, TrainRequest
from virtual_codec.training.checkpoint import CHECKPOINT, load_average
from virtual_codec.training.config import TrainConfig
from virtual_codec.training.data import Pictures
from virtual_codec.training.device_batches import DeviceBatches
from virtual_codec.training.device_codec import CodingSettings, DeviceCodec
from virtual_codec.training.device_crops import DeviceCrops, DeviceRandom, tiles_of
from virtual_codec.training.joint import JointBatch
from virtual_codec.training.loop import learning_rate
from virtual_codec.training.recipes import RECIPES
from virtual_codec.training.targets import train_recipe

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]


def small(name: str, **changes: int | float | bool) -> TrainConfig:
    sizes: dict[str, int] = {"crop": 64, "batch": 4, "channels": 8, "blocks": 1, "description_channels": 8}
    return replace(RECIPES[name](), **sizes, **changes)  # type: ignore[arg-type]


def trained(config: TrainConfig, data: Path, options: RunOptions) -> TrainReport:
    options = replace(options, codec="device", show_progress=False, bfloat16=False)
    return train_recipe(config, TrainRequest(recipe=config.name, data=data, run=options))


def test_tiles_cover_an_image_and_continue_a_small_one() -> None:
    image = scene(50, 70)
    tiles = tiles_of([image], 32)
    assert tiles.shape == (6, 32, 32, 3)
    assert (tiles[0] == image[:32, :32]).all()
    assert (tiles[-1] == image[-32:, -32:]).all()
    [one] = tiles_of([scene(20, 32)], 32)
    assert (one[20:] == one[8:20][::-1]).all()


@pytest.mark.parametrize("device", DEVICES)
def test_crops_are_squares_of_the_images_turned_and_mirrored(device: str) -> None:
    image = scene(64, 64)
    crops = DeviceCrops([image], small("smoke"), torch.device(device))
    random = DeviceRandom(torch.device(device))
    random.seed(3)
    turned = [np.rot90(each, turn) for each in (image, image[:, ::-1]) for turn in range(4)]
    found = (crops.cut(32, random).permute(0, 2, 3, 1).cpu().numpy() * 255).round()
    seen = {next(index for index, each in enumerate(turned) if (each == crop).all()) for crop in found}
    assert len(seen) > 4


def test_enlarged_crops_are_softer_and_all_are_bytes() -> None:
    config = small("softer-1", scale_jitter=1.5)
    random = DeviceRandom(torch.device("cpu"))
    made = DeviceCrops([scene(120, 140, seed=2)], config, torch.device("cpu")).cut(20, random)
    assert made.shape == (20, 3, 64, 64)
    assert torch.equal((made * 255).round() / 255, made)
    detail = (made[:, :, 1:] - made[:, :, :-1]).abs().mean(dim=(1, 2, 3))[4:].sort().values
    assert detail[0] < 0.8 * detail[-1]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", ["joint-1", "joint-2", "large-1"])
def test_batches_depend_on_seed_and_step_alone(photographs: Path, name: str, device: str) -> None:
    pictures, config = Pictures(photographs, smallest=64), small(name, steps=12)
    codec = DeviceCodec(device)
    run = list(DeviceBatches(pictures, config, codec, 5).joint_from(0))
    resumed = next(DeviceBatches(pictures, config, codec, 5).joint_from(6))
    other = next(DeviceBatches(pictures, config, codec, 6).joint_from(6))
    assert torch.equal(run[6].image, resumed.image)
    assert torch.equal(run[6].decoded, resumed.decoded)
    assert not torch.equal(run[6].image, other.image)
    assert [isinstance(batch, JointBatch) for batch in run[:5]] == [False, True, True, True, False]
    settings = {batch.settings.subsampling for batch in run if isinstance(batch, JointBatch)}
    assert settings <= ({"420", "444"} if name != "joint-2" else {"420"})
    assert all(isinstance(batch.settings, CodingSettings) for batch in run if isinstance(batch, JointBatch))


def test_foreign_and_grey_batches_come_by_their_shares(photographs: Path) -> None:
    config = small("postprocess-1", steps=40, foreign_share=0.5, grey_share=0.3)
    batches = list(DeviceBatches(Pictures(photographs, smallest=64), config, DeviceCodec("cpu"), 0).plain_from(0))
    own = sum(bool((batch.condition[:, 15] == 1).all()) for batch in batches)
    grey = sum(bool((batch.image[:, 0] == batch.image[:, 1]).all()) for batch in batches)
    assert 10 < own < 30
    assert 4 < grey < 22


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", ["smoke", "joint-1", "joint-2"])
def test_ten_steps_with_a_resumption_end_with_equal_weights(
    photographs: Path, tmp_path: Path, device: str, name: str
) -> None:
    config = replace(small(name, steps=10, validate_every=5), decay="none")  # which depends on the number of steps
    options = RunOptions(out=tmp_path / "whole", device=device)
    assert trained(config, photographs, options).step == 10
    parts = replace(options, out=tmp_path / "parts")
    trained(replace(config, steps=5), photographs, parts)
    trained(config, photographs, replace(parts, resume=True))
    whole, resumed = (load_average(tmp_path / name / CHECKPOINT) for name in ("whole", "parts"))
    assert whole.keys() == resumed.keys()
    apart = max(float((value - resumed[key]).abs().max()) for key, value in whole.items())
    assert apart <= (0 if device == "cpu" else 1e-3), "sums of a device have no fixed order"


def test_a_run_paced_by_time_ends_with_its_schedule(photographs: Path, tmp_path: Path) -> None:
    config = small("smoke", validate_every=1000)
    options = RunOptions(out=tmp_path, paced_by_time=True, time_limit_s=3.0)
    report = trained(config, photographs, options)
    assert report.step == report.steps > 0
    with (tmp_path / "log.csv").open(newline="") as file:
        [row] = list(csv.DictReader(file))
    assert int(row["step"]) == report.step
    resumed = trained(config, photographs, replace(options, resume=True))
    assert resumed.step == report.step, "its time was over"
    with pytest.raises(BadOption, match="needs --time-limit"):
        trained(config, photographs, replace(options, out=tmp_path / "other", time_limit_s=None))


def test_the_learning_rate_may_follow_the_time() -> None:
    config = RECIPES["large-1"]()
    rates = [learning_rate(config, 10_000, share) for share in (0.0, 0.5, 1.0)]
    assert rates == pytest.approx([1e-3, 0.51e-3, 0.02e-3])
    assert learning_rate(config, 0, 0.0) == pytest.approx(1e-3 / config.warmup_steps)
    steps = [learning_rate(config, step) for step in range(config.warmup_steps, config.steps, 500)]
    assert all(before > after for before, after in itertools.pairwise(steps))


def test_recipes_with_drawings_need_the_processor(photographs: Path, tmp_path: Path) -> None:
    with pytest.raises(BadOption, match="use --codec host for drawings-1"):
        trained(small("drawings-1"), photographs, RunOptions(out=tmp_path))
