from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.pictures import scene
from virtual_codec.training import RunOptions, TrainRequest
from virtual_codec.training.checkpoint import CHECKPOINT, load_average, read_progress
from virtual_codec.training.config import TrainConfig
from virtual_codec.training.data import Pictures
from virtual_codec.training.plain_codecs import PLAIN_CODECS, through_plain
from virtual_codec.training.published_algorithm import (
    AlternatingLoss,
    PublishedNetworks,
    bicubic_half,
    describe,
    grey_batches,
    through_real_codec,
)
from virtual_codec.training.recipes import RECIPES
from virtual_codec.training.run_log import LOG
from virtual_codec.training.schedule import TRAINED_NETWORKS, Phase, Schedule, StepKind
from virtual_codec.training.ssim import ssim
from virtual_codec.training.targets import train_recipe
from virtual_codec.training.virtual import VirtualCodecNetworks, VirtualLoss, virtual_batches

PAPER_STEPS: tuple[StepKind, ...] = ("start", "postprocess", "virtual_codec", "description")
COLOUR_STEPS: tuple[StepKind, ...] = ("postprocess", "virtual_codec", "description", "joint")


def small_paper(steps: int = 9) -> TrainConfig:
    cycle = tuple(Phase(kind=kind, steps=2) for kind in PAPER_STEPS[1:])
    schedule = Schedule(opening=(Phase(kind="start", steps=2),), cycle=cycle, image_weight=0.01)
    published = RECIPES["paper-jpeg-q10"]()
    return replace(published, channels=4, crop=64, batch=2, steps=steps, validate_every=4, schedule=schedule)


def small_virtual(*kinds: StepKind, share: float = 1.0) -> TrainConfig:
    cycle = tuple(Phase(kind=kind, steps=1) for kind in kinds)
    config = RECIPES["virtual-2"]()
    sizes = {"channels": 8, "blocks": 1, "description_channels": 8, "description_blocks": 1}
    return replace(config, crop=64, batch=2, schedule=Schedule(cycle=cycle, virtual_share=share), **sizes)  # type: ignore[arg-type]


def changed_networks(network: nn.Module, loss: Tensor) -> set[str]:
    """Networks that an optimiser step on a loss changes."""
    before = {name: value.clone() for name, value in network.state_dict().items()}
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    loss.backward()
    optimizer.step()
    after = network.state_dict()
    return {name.partition(".")[0] for name in before if not torch.equal(before[name], after[name])}


def test_a_schedule_opens_once_and_then_repeats_its_cycle() -> None:
    schedule = Schedule(
        opening=(Phase(kind="start", steps=2),),
        cycle=(Phase(kind="postprocess", steps=1), Phase(kind="description", steps=2)),
    )
    assert [schedule.step_kind_at(step) for step in range(9)] == [
        *("start", "start", "postprocess", "description", "description"),
        *("postprocess", "description", "description", "postprocess"),
    ]


def test_every_published_recipe_ends_with_post_processing_of_its_last_description() -> None:
    published = [make() for name, make in RECIPES.items() if name.startswith("paper-")]
    assert {config.schedule.codec for config in published if config.schedule} == set(PLAIN_CODECS)
    for config in published:
        assert config.schedule is not None
        kinds = [config.schedule.step_kind_at(step) for step in range(config.steps)]
        assert set(kinds) == set(PAPER_STEPS)
        assert kinds[-1] == "postprocess"
        assert kinds[-2 - kinds[::-1].index("description")] in ("description", "postprocess")


@pytest.mark.parametrize("kind", PAPER_STEPS)
def test_each_published_step_trains_its_own_network_only(photographs: Path, kind: StepKind) -> None:
    torch.manual_seed(0)
    config = small_paper()
    schedule = Schedule(cycle=(Phase(kind=kind, steps=1),), image_weight=0.01)
    batch = next(grey_batches(Pictures(photographs, smallest=64), replace(config, schedule=schedule), 0, 0))
    network = PublishedNetworks(width=4)
    assert changed_networks(network, AlternatingLoss(schedule)(network, batch)) == TRAINED_NETWORKS[kind]


@pytest.mark.parametrize(("kind", "share"), [*((kind, 1.0) for kind in COLOUR_STEPS), ("joint", 0.0), ("joint", 0.5)])
def test_each_colour_step_trains_its_own_networks_only(photographs: Path, kind: StepKind, share: float) -> None:
    torch.manual_seed(0)
    config = small_virtual(kind, share=share)
    batch = next(virtual_batches(Pictures(photographs, smallest=64), config, 0, 0))
    network = VirtualCodecNetworks(config)
    with torch.no_grad():
        for tail in ("description.tail", "postprocess.tail", "virtual_codec.tail"):
            network.get_parameter(f"{tail}.weight").normal_(std=0.01)
    assert changed_networks(network, VirtualLoss(config)(network, batch)) == TRAINED_NETWORKS[kind]


def test_the_gradient_through_the_virtual_codec_has_the_real_chains_value(photographs: Path) -> None:
    pictures = Pictures(photographs, smallest=64)
    values = []
    for share in (0.0, 1.0):
        config = small_virtual("joint", share=share)
        torch.manual_seed(0)
        network = VirtualCodecNetworks(config)
        values.append(VirtualLoss(config)(network, next(virtual_batches(pictures, config, 0, 0))).item())
    assert values[0] == pytest.approx(values[1], rel=1e-5)


def test_every_step_of_the_published_algorithm_lowers_its_loss(photographs: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = replace(small_paper(), channels=8, learning_rate=3e-3)
    network, pictures = PublishedNetworks(width=8), Pictures(photographs, smallest=64)
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)

    def after(kind: StepKind, steps: int) -> tuple[float, float]:
        schedule = Schedule(cycle=(Phase(kind=kind, steps=1),), image_weight=0.01)
        loss_of = AlternatingLoss(schedule)
        losses = []
        for batch in grey_batches(pictures, replace(config, steps=steps, schedule=schedule), 0, 0):
            loss = loss_of(network, batch)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        return sum(losses[:3]), sum(losses[-3:])

    for kind in PAPER_STEPS:
        first, last = after(kind, 12)
        assert last < first, kind


@pytest.mark.parametrize("name", PLAIN_CODECS)
def test_a_coarser_setting_costs_fewer_bytes_and_more_error(name: str) -> None:
    picture = scene(96, 96)[..., 0]
    settings = {"jpeg": (40, 5), "jpeg2000": (8, 40)}[name]
    (fine, many), (coarse, few) = (through_plain(name, setting, picture) for setting in settings)
    assert fine.shape == coarse.shape == picture.shape
    assert few < many
    errors = [np.square(shown.astype(float) - picture).mean() for shown in (fine, coarse)]
    assert errors[0] < errors[1]


def test_the_real_codec_codes_the_clipped_description(photographs: Path) -> None:
    torch.manual_seed(0)
    network = PublishedNetworks(width=4)
    image = torch.rand(2, 1, 64, 64)
    described = describe(network, image)
    assert described.min() >= 0
    assert described.max() <= 1
    decoded, bits = through_real_codec(bicubic_half(image), "jpeg", 95)
    assert decoded.shape == (2, 1, 32, 32)
    assert (decoded - bicubic_half(image)).abs().mean() < 0.02
    assert (bits > 800).all()


def test_ssim_is_one_for_equal_pictures_and_falls_with_noise() -> None:
    torch.manual_seed(0)
    picture = torch.rand(2, 1, 32, 32)
    assert float(ssim(picture, picture)) == pytest.approx(1)
    assert float(ssim(picture, torch.rand(2, 1, 32, 32))) < 0.5


def test_a_killed_run_resumes_with_equal_weights_and_log(photographs: Path, tmp_path: Path) -> None:
    config, out = small_paper(steps=24), tmp_path / "killed"
    options = RunOptions(out=tmp_path / "whole", threads=1, show_progress=False)
    whole = TrainRequest(recipe=config.name, data=photographs, run=options)
    train_recipe(config, whole)
    code = (
        "from pathlib import Path\nfrom virtual_codec.training import RunOptions, TrainRequest\n"
        "from virtual_codec.training.targets import train_recipe\n"
        "from tests.training.test_published_algorithm import small_paper\n"
        f"train_recipe(small_paper(steps=24), TrainRequest(recipe='x', data=Path({str(photographs)!r}), "
        f"run=RunOptions(out=Path({str(out)!r}), threads=1, show_progress=False, save_every_s=0.0)))"
    )
    process = subprocess.Popen([sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": str(Path.cwd())})
    try:
        while process.poll() is None and not (out / LOG).exists():
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        assert process.wait(timeout=300) == -signal.SIGKILL
    finally:
        process.kill()
    assert 0 < read_progress(out / CHECKPOINT).step < 24
    train_recipe(config, replace(whole, run=replace(options, out=out, resume=True)))
    averages = [load_average(run / CHECKPOINT) for run in (tmp_path / "whole", out)]
    assert all(torch.equal(averages[0][name], averages[1][name]) for name in averages[0])
    logs = [
        [[row[0], *row[2:]] for row in (line.split(",") for line in (run / LOG).read_text().splitlines())]
        for run in (tmp_path / "whole", out)
    ]
    assert logs[0] == logs[1]  # but for the seconds
