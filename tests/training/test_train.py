from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook

from tests.conftest import ROOT
from virtual_codec.errors import BadModel, BadOption
from virtual_codec.networks import PostprocessNet
from virtual_codec.training import RunOptions, TrainReport, TrainRequest, train
from virtual_codec.training.checkpoint import CHECKPOINT, Progress, load_average, read_progress, save_checkpoint
from virtual_codec.training.data import Pictures
from virtual_codec.training.joint import JointNetworks, JointValidation
from virtual_codec.training.jpeg_recipes import joint_2, smoke
from virtual_codec.training.loop import learning_rate, load_matching_weights
from virtual_codec.training.recipes import RECIPES
from virtual_codec.training.run_log import LOG
from virtual_codec.training.virtual import VirtualCodecNetworks, VirtualValidation


def request(
    data: Path,
    out: Path,
    *,
    recipe: str = "smoke",
    steps: int | None = None,
    start_from: Path | None = None,
    **options: object,
) -> TrainRequest:
    run = replace(RunOptions(out=out, show_progress=False, threads=1), **options)  # type: ignore[arg-type]
    return TrainRequest(recipe=recipe, data=data, run=run, steps=steps, start_from=start_from)


def test_the_smoke_recipe_learns(photographs: Path, tmp_path: Path) -> None:
    report = train(request(photographs, tmp_path / "run"))
    assert report == TrainReport(recipe="smoke", step=60, steps=60, seconds=report.seconds, best_step=60)
    with (tmp_path / "run" / LOG).open() as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows] == ["30", "60"]
    assert float(rows[-1]["loss"]) < float(rows[0]["loss"])
    assert float(rows[-1]["gain_60"]) > float(rows[0]["gain_60"])


@pytest.mark.parametrize("time_limit_s", [0.0, 0.02])
def test_a_run_that_stopped_resumes_with_equal_weights(photographs: Path, tmp_path: Path, time_limit_s: float) -> None:
    train(request(photographs, tmp_path / "whole", steps=8))
    train(request(photographs, tmp_path / "parts", steps=8, time_limit_s=time_limit_s))
    stopped = read_progress(tmp_path / "parts" / CHECKPOINT).step
    assert stopped < 8
    train(request(photographs, tmp_path / "parts", steps=8, resume=True))
    whole, parts = (load_average(tmp_path / run / CHECKPOINT) for run in ("whole", "parts"))
    assert whole.keys() == parts.keys()
    assert all(torch.equal(whole[name], parts[name]) for name in whole)


@contextmanager
def computed() -> Iterator[set[torch.dtype]]:
    """Types of the results of convolutions during the block."""
    seen: set[torch.dtype] = set()

    def look(module: nn.Module, _: object, output: object) -> None:
        if isinstance(module, nn.Conv2d) and isinstance(output, Tensor):
            seen.add(output.dtype)

    handle = register_module_forward_hook(look)
    try:
        yield seen
    finally:
        handle.remove()


@pytest.mark.parametrize(("bfloat16", "dtype"), [(True, torch.bfloat16), (False, torch.float32)])
def test_networks_learn_and_are_measured_in_the_precision_asked_for(
    photographs: Path, tmp_path: Path, bfloat16: bool, dtype: torch.dtype
) -> None:
    with computed() as seen:
        train(request(photographs, tmp_path / "run", steps=1, bfloat16=bfloat16))
    assert seen == {dtype}


@pytest.mark.parametrize(("bfloat16", "dtype"), [(True, torch.bfloat16), (False, torch.float32)])
@pytest.mark.parametrize(
    ("make", "validation"), [(JointNetworks, JointValidation), (VirtualCodecNetworks, VirtualValidation)]
)
def test_several_networks_are_measured_in_the_precision_asked_for(
    photographs: Path,
    bfloat16: bool,
    dtype: torch.dtype,
    make: type[JointNetworks | VirtualCodecNetworks],
    validation: type[JointValidation | VirtualValidation],
) -> None:
    config = replace(joint_2(), channels=8, blocks=1, description_channels=8, description_blocks=1, crop=32)
    validate = validation(Pictures(photographs, smallest=32), config, "cpu", most=1, bfloat16=bfloat16)
    network = make(config)
    with torch.no_grad(), computed() as seen:
        validate(network)
        validate.rows(network)
    assert dtype in seen
    assert bfloat16 or seen == {torch.float32}


def test_a_signal_ends_a_run_with_its_checkpoint_written(photographs: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    code = (
        "from pathlib import Path\nfrom virtual_codec.training import RunOptions, TrainRequest, train\n"
        f"train(TrainRequest(recipe='smoke', data=Path({str(photographs)!r}), steps=100_000, "
        f"run=RunOptions(out=Path({str(out)!r}), threads=1, show_progress=False)))"
    )
    process = subprocess.Popen([sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": str(Path.cwd())})
    try:
        while process.poll() is None and not (out / LOG).exists():
            time.sleep(0.1)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=300) == 0
    finally:
        process.kill()
    assert read_progress(out / CHECKPOINT).step >= 30
    assert not list(out.glob("*.partial"))


def test_a_started_folder_is_not_overwritten(photographs: Path, tmp_path: Path) -> None:
    train(request(photographs, tmp_path, steps=1))
    with pytest.raises(BadOption, match="--resume"):
        train(request(photographs, tmp_path, steps=1))


def test_another_recipes_checkpoint_is_refused(photographs: Path, tmp_path: Path) -> None:
    train(request(photographs, tmp_path, steps=1))
    with pytest.raises(BadModel, match="not a checkpoint of this recipe"):
        train(request(photographs, tmp_path, recipe="postprocess-2", resume=True))
    (tmp_path / CHECKPOINT).write_bytes(b"nonsense")
    with pytest.raises(BadModel, match="checkpoint"):
        train(request(photographs, tmp_path, resume=True))


def test_an_unknown_recipe_names_those_there_are(photographs: Path, tmp_path: Path) -> None:
    with pytest.raises(BadOption, match="postprocess-1"):
        train(request(photographs, tmp_path, recipe="magic"))


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_is_named_as_its_row_and_documented(name: str) -> None:
    assert RECIPES[name]().name == name
    assert RECIPES[name].__doc__


def test_the_learning_rate_rises_then_falls() -> None:
    config = smoke()
    rates = [learning_rate(config, step) for step in range(config.steps)]
    assert max(rates) == pytest.approx(config.learning_rate, rel=0.02)
    assert rates.index(max(rates)) <= config.warmup_steps
    assert rates[-1] < 0.05 * config.learning_rate


def test_post_processing_starts_from_that_of_a_pair(photographs: Path, tmp_path: Path) -> None:
    recipe = smoke()
    taught = PostprocessNet(scale=1, channels=recipe.channels, blocks=recipe.blocks)
    pair = torch.nn.ModuleDict({"postprocess": taught})
    with torch.no_grad():
        taught.tail.weight.normal_(std=0.1)
    (tmp_path / "pair").mkdir()
    progress = Progress(recipe="joint-1", seed=0, step=1, seconds=1.0)
    average = {name: value.clone() for name, value in pair.state_dict().items()}
    save_checkpoint(tmp_path / "pair", progress, pair, average, torch.optim.Adam(pair.parameters()))
    train(request(photographs, tmp_path / "alone", steps=1, start_from=tmp_path / "pair"))
    found = load_average(tmp_path / "alone" / CHECKPOINT)
    assert torch.allclose(found["tail.weight"], taught.tail.weight, atol=0.01)


def test_matching_weights_are_loaded_and_others_left() -> None:
    network: Any = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Linear(2, 3))
    last = network[1].weight.clone()
    load_matching_weights(network, {"0.weight": torch.ones(2, 2), "1.weight": torch.ones(5, 5), "other": torch.ones(1)})
    assert torch.equal(network[0].weight, torch.ones(2, 2))
    assert torch.equal(network[1].weight, last)


@pytest.mark.parametrize("name", [name for name, make in RECIPES.items() if make().starts_from])
def test_a_recipe_that_continues_another_is_refused_without_its_weights(
    photographs: Path, tmp_path: Path, name: str
) -> None:
    needed = RECIPES[name]().starts_from
    assert needed in RECIPES or (ROOT / "model_store" / str(needed)).is_dir()
    for resume in (False, True):
        with pytest.raises(BadOption, match=f"a finished run of {needed}: .* --start-from"):
            train(request(photographs, tmp_path / "run", recipe=name, resume=resume))
    assert not (tmp_path / "run").exists()
