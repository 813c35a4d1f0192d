"""Divergence of a run: it ends by itself, keeps its best weights, and says so."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self

import torch
from torch import Tensor, nn

from virtual_codec.training.checkpoint import BEST, CHECKPOINT, load_average, read_progress
from virtual_codec.training.jpeg_recipes import smoke
from virtual_codec.training.loop import TrainingTask, run
from virtual_codec.training.options import RunOptions


class Nothing:
    """Batch without content."""

    def to(self, _device: torch.device) -> Self:
        return self


def endless(_step: int) -> Iterator[Nothing]:
    while True:
        yield Nothing()


def loss(network: nn.Module, _batch: Nothing) -> Tensor:
    total: Tensor = network(torch.ones(1, 1)).sum()
    return total


@dataclass
class Scores:
    """Validation that returns the next of given scores."""

    scores: list[float]
    seen: list[Tensor] = field(default_factory=list)

    def __call__(self, network: nn.Module) -> dict[str, float]:
        self.seen.append(network.get_parameter("weight").detach().clone())
        return {"learned": self.scores[len(self.seen) - 1]}

    def score_db(self, figures: Mapping[str, float]) -> float:
        return figures["learned"]


def started(out: Path, scores: list[float], *, resume: bool = False) -> tuple[Scores, nn.Module, int]:
    config = replace(smoke(), steps=50, validate_every=5, warmup_steps=1)
    torch.manual_seed(0)
    validate, network = Scores(scores), nn.Linear(1, 1)
    task = TrainingTask(network=network, batches=endless, loss=loss, validate=validate)
    progress = run(config, RunOptions(out=out, resume=resume, show_progress=False), task)
    return validate, network, progress.step


def test_a_run_that_falls_half_a_decibel_below_its_best_ends_with_the_best_weights(tmp_path: Path) -> None:
    validate, network, step = started(tmp_path, [20.0, 21.0, 20.6, 20.4, 30.0])
    assert step == 20
    progress = read_progress(tmp_path / CHECKPOINT)
    assert (progress.has_diverged, progress.best_step, progress.best_db) == (True, 10, 21.0)
    assert torch.equal(network.get_parameter("weight"), validate.seen[1])
    for file in (CHECKPOINT, BEST):
        assert torch.equal(load_average(tmp_path / file)["weight"], validate.seen[1])
    again, _, step = started(tmp_path, [], resume=True)  # it does not go on
    assert step == 20
    assert again.seen == []


def test_scores_that_are_no_numbers_end_a_run(tmp_path: Path) -> None:
    _, network, step = started(tmp_path, [20.0, float("nan")])
    assert step == 10
    assert torch.isfinite(network.get_parameter("weight")).all()


def test_a_run_that_falls_less_goes_on_to_its_end(tmp_path: Path) -> None:
    validate, network, step = started(tmp_path, [20.0, 19.6, *[19.8] * 8])
    assert step == 50
    assert not read_progress(tmp_path / CHECKPOINT).has_diverged
    assert torch.equal(network.get_parameter("weight"), validate.seen[-1])
