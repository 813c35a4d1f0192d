from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from tests.pictures import opened
from virtual_codec.errors import BadOption
from virtual_codec.training.run_log import LOG, RunLog, reported_figures, sample_sheet

HAS_TENSORBOARD = importlib.util.find_spec("tensorboard") is not None


class ProvidesTwoRows:
    """A validation with pictures of two sizes."""

    def rows(self, network: nn.Module) -> list[Tensor]:
        return [torch.full((2, 3, 8, 8), 1.0), torch.full((2, 1, 4, 4), 0.5)]


class ReportsBits:
    """A loss with a figure."""

    figures = {"bits": 0.9}  # noqa: RUF012


def lines(folder: Path) -> list[str]:
    return (folder / LOG).read_text().splitlines()


def test_a_log_has_a_row_a_validation(tmp_path: Path) -> None:
    run_log = RunLog(tmp_path)
    run_log.add_validation(10, 1.5, 0.25, {"gain": 1.0})
    run_log.add_validation(20, 3.0, 0.2, {"gain": 1.5})
    assert lines(tmp_path) == ["step,seconds,loss,gain", "10,1.5,0.250000,1.0000", "20,3.0,0.200000,1.5000"]


def test_rows_logged_after_the_last_checkpoint_are_dropped_on_resume(tmp_path: Path) -> None:
    run_log = RunLog(tmp_path)
    for step in (10, 20, 30):
        run_log.add_validation(step, float(step), 0.1, {"gain": 1.0})
    RunLog(tmp_path, step=20).add_validation(30, 31.0, 0.3, {"gain": 2.0})
    assert [line.split(",")[0] for line in lines(tmp_path)] == ["step", "10", "20", "30"]
    assert lines(tmp_path)[-1] == "30,31.0,0.300000,2.0000"


def test_a_log_that_was_killed_before_its_header_gets_one(tmp_path: Path) -> None:
    (tmp_path / LOG).touch()
    RunLog(tmp_path).add_validation(10, 1.0, 0.1, {"gain": 1.0})
    assert lines(tmp_path)[0] == "step,seconds,loss,gain"


def test_a_sheet_shows_every_row_at_the_originals_size(tmp_path: Path) -> None:
    network = nn.Identity()
    assert sample_sheet(ProvidesTwoRows().rows(network)).shape == (16, 16, 3)
    run_log = RunLog(tmp_path)
    run_log.add_samples(7, ProvidesTwoRows(), network)
    run_log.add_samples(8, object(), network)
    assert [path.name for path in (tmp_path / "samples").iterdir()] == ["step-000007.png"]
    sheet = opened((tmp_path / "samples" / "step-000007.png").read_bytes())
    assert (sheet[:8] == 255).all()
    assert (sheet[8:] == 128).all()


def test_a_loss_may_tell_figures() -> None:
    assert reported_figures(ReportsBits()) == {"bits": 0.9}
    assert reported_figures(print) == {}


@pytest.mark.skipif(HAS_TENSORBOARD, reason="TensorBoard is installed")
def test_without_tensorboard_its_option_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(BadOption, match=r"virtual-codec\[train\]"):
        RunLog(tmp_path, tensorboard=True)


@pytest.mark.skipif(not HAS_TENSORBOARD, reason="TensorBoard is not installed")
def test_tensorboard_gets_the_same_figures_and_pictures(tmp_path: Path) -> None:
    run_log = RunLog(tmp_path, tensorboard=True)
    run_log.add_validation(10, 1.5, 0.25, {"gain": 1.0})
    run_log.add_samples(10, ProvidesTwoRows(), nn.Identity())
    run_log.close()
    assert sum(path.stat().st_size for path in (tmp_path / "events").iterdir()) > 200
