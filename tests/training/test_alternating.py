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
from virtual_codec.training import TrainRequest
from virtual_codec.training._stages import run_stage
from virtual_codec.training.alternating import (
    AlternatingLoss,
    Trio,
    describe,
    grey_batches,
    plain_description,
    through_real_codec,
)
from virtual_codec.training.alternation import MOVES, Alternation, Move, Phase
from virtual_codec.training.checkpoint import CHECKPOINT, load_average, read_progress
from virtual_codec.training.config import TrainConfig
from virtual_codec.training.data import Pictures
from virtual_codec.training.diary import LOG
from virtual_codec.training.plain_codecs import PLAIN_CODECS, through_plain
from virtual_codec.training.recipes import RECIPES
from virtual_codec.training.structure import structural_similarity
from virtual_codec.training.virtual import ColourTrio, VirtualLoss, virtual_batches

PAPER_MOVES: tuple[Move, ...] = ("start", "postprocess", "virtual_codec", "description")
COLOUR_MOVES: tuple[Move, ...] = ("postprocess", "virtual_codec", "description", "pair")


def small_paper(steps: int = 9) -> TrainConfig:
    cycle = tuple(Phase(move=move, steps=2) for move in PAPER_MOVES[1:])
    alternation = Alternation(opening=(Phase(move="start", steps=2),), cycle=cycle, image_weight=0.01)
    published = RECIPES["paper-jpeg-q10"]()
    return replace(published, channels=4, crop=64, batch=2, steps=steps, validate_every=4, alternation=alternation)


def small_virtual(*moves: Move, share: float = 1.0) -> TrainConfig:
    cycle = tuple(Phase(move=move, steps=1) for move in moves)
    config = RECIPES["virtual-2"]()
    sizes = {"channels": 8, "blocks": 1, "description_channels": 8, "description_blocks": 1}
    return replace(config, crop=64, batch=2, alternation=Alternation(cycle=cycle, virtual_share=share), **sizes)  # type: ignore[arg-type]


def moved(network: nn.Module, loss: Tensor) -> set[str]:
    """The networks that an optimiser step on a loss changes."""
    before = {name: value.clone() for name, value in network.state_dict().items()}
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    loss.backward()
    optimizer.step()
    after = network.state_dict()
    return {name.partition(".")[0] for name in before if not torch.equal(before[name], after[name])}


def test_a_schedule_opens_once_and_then_goes_round() -> None:
    alternation = Alternation(
        opening=(Phase(move="start", steps=2),),
        cycle=(Phase(move="postprocess", steps=1), Phase(move="description", steps=2)),
    )
    assert [alternation.move_at(step) for step in range(9)] == [
        *("start", "start", "postprocess", "description", "description"),
        *("postprocess", "description", "description", "postprocess"),
    ]


def test_every_published_recipe_ends_with_post_processing_of_its_last_description() -> None:
    published = [make() for name, make in RECIPES.items() if name.startswith("paper-")]
    assert {config.alternation.codec for config in published if config.alternation} == set(PLAIN_CODECS)
    for config in published:
        assert config.alternation is not None
        moves = [config.alternation.move_at(step) for step in range(config.steps)]
        assert set(moves) == set(PAPER_MOVES)
        assert moves[-1] == "postprocess"
        assert moves[-2 - moves[::-1].index("description")] in ("description", "postprocess")


@pytest.mark.parametrize("move", PAPER_MOVES)
def test_each_published_step_moves_its_own_network_only(photographs: Path, move: Move) -> None:
    torch.manual_seed(0)
    config = small_paper()
    alternation = Alternation(cycle=(Phase(move=move, steps=1),), image_weight=0.01)
    batch = next(grey_batches(Pictures(photographs, smallest=64), replace(config, alternation=alternation), 0, 0))
    network = Trio(width=4)
    assert moved(network, AlternatingLoss(alternation)(network, batch)) == MOVES[move]


@pytest.mark.parametrize(("move", "share"), [*((move, 1.0) for move in COLOUR_MOVES), ("pair", 0.0), ("pair", 0.5)])
def test_each_colour_step_moves_its_own_networks_only(photographs: Path, move: Move, share: float) -> None:
    torch.manual_seed(0)
    config = small_virtual(move, share=share)
    batch = next(virtual_batches(Pictures(photographs, smallest=64), config, 0, 0))
    network = ColourTrio(config)
    with torch.no_grad():
        for tail in ("description.tail", "postprocess.tail", "virtual_codec.tail"):
            network.get_parameter(f"{tail}.weight").normal_(std=0.01)
    assert moved(network, VirtualLoss(config)(network, batch)) == MOVES[move]


def test_the_gradient_through_the_virtual_codec_has_the_real_chains_value(photographs: Path) -> None:
    pictures = Pictures(photographs, smallest=64)
    values = []
    for share in (0.0, 1.0):
        config = small_virtual("pair", share=share)
        torch.manual_seed(0)
        network = ColourTrio(config)
        values.append(VirtualLoss(config)(network, next(virtual_batches(pictures, config, 0, 0))).item())
    assert values[0] == pytest.approx(values[1], rel=1e-5)


def test_the_description_learns_to_be_a_picture_then_all_learn_from_each_other(
    photographs: Path, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    config = replace(small_paper(), channels=8, learning_rate=3e-3)
    network, pictures = Trio(width=8), Pictures(photographs, smallest=64)
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)

    def after(move: Move, steps: int) -> tuple[float, float]:
        alternation = Alternation(cycle=(Phase(move=move, steps=1),), image_weight=0.01)
        loss_of = AlternatingLoss(alternation)
        losses = []
        for batch in grey_batches(pictures, replace(config, steps=steps, alternation=alternation), 0, 0):
            loss = loss_of(network, batch)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        return sum(losses[:3]), sum(losses[-3:])

    for move in PAPER_MOVES:
        first, last = after(move, 12)
        assert last < first, move


@pytest.mark.parametrize("name", PLAIN_CODECS)
def test_a_coarser_setting_costs_fewer_bytes_and_more_error(name: str) -> None:
    picture = scene(96, 96)[..., 0]
    settings = {"jpeg": (40, 5), "jpeg2000": (8, 40)}[name]
    (fine, many), (coarse, few) = (through_plain(name, setting, picture) for setting in settings)
    assert fine.shape == coarse.shape == picture.shape
    assert few < many
    errors = [np.square(shown.astype(float) - picture).mean() for shown in (fine, coarse)]
    assert errors[0] < errors[1]


def test_the_real_codec_gets_what_the_network_described(photographs: Path) -> None:
    torch.manual_seed(0)
    network = Trio(width=4)
    image = torch.rand(2, 1, 64, 64)
    described = describe(network, image)
    assert described.min() >= 0
    assert described.max() <= 1
    decoded, bits = through_real_codec(plain_description(image), "jpeg", 95)
    assert decoded.shape == (2, 1, 32, 32)
    assert (decoded - plain_description(image)).abs().mean() < 0.02
    assert (bits > 800).all()


def test_likeness_is_one_for_equal_pictures_and_falls_with_noise() -> None:
    torch.manual_seed(0)
    picture = torch.rand(2, 1, 32, 32)
    assert float(structural_similarity(picture, picture)) == pytest.approx(1)
    assert float(structural_similarity(picture, torch.rand(2, 1, 32, 32))) < 0.5


def test_a_killed_run_goes_on_as_if_it_had_not_been(photographs: Path, tmp_path: Path) -> None:
    config, out = small_paper(steps=24), tmp_path / "killed"
    whole = TrainRequest(recipe=config.name, data=photographs, out=tmp_path / "whole", threads=1, show_progress=False)
    run_stage(config, whole)
    code = (
        "from pathlib import Path\nfrom virtual_codec.training import TrainRequest\n"
        "from virtual_codec.training._stages import run_stage\n"
        "from tests.training.test_alternating import small_paper\n"
        f"run_stage(small_paper(steps=24), TrainRequest(recipe='x', data=Path({str(photographs)!r}), "
        f"out=Path({str(out)!r}), threads=1, show_progress=False, save_every_s=0.0))"
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
    run_stage(config, replace(whole, out=out, resume=True))
    averages = [load_average(run / CHECKPOINT) for run in (tmp_path / "whole", out)]
    assert all(torch.equal(averages[0][name], averages[1][name]) for name in averages[0])
    logs = [
        [[row[0], *row[2:]] for row in (line.split(",") for line in (run / LOG).read_text().splitlines())]
        for run in (tmp_path / "whole", out)
    ]
    assert logs[0] == logs[1]  # but for the seconds
