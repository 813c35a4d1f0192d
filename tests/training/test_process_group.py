from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from virtual_codec.errors import BadOption
from virtual_codec.training.checkpoint import CHECKPOINT, load_average, read_progress
from virtual_codec.training.process_group import ProcessGroup, process_group
from virtual_codec.training.run_log import LOG

GROUP_OF_TWO = """
import sys, torch
from pathlib import Path
from safetensors.torch import save_file
from torch import nn
from virtual_codec.training.process_group import process_group
torch.set_num_threads(1)
with process_group("cpu") as (two, device):
    layer, other = nn.Linear(2, 1), nn.Linear(1, 1)
    two.broadcast_from_first(layer.state_dict().values())
    layer(torch.full((1, 2), float(two.rank))).sum().backward()
    two.average_gradients([*layer.parameters(), *other.parameters()])
    found = {"grad": layer.weight.grad, "weight": layer.weight.detach().clone()}
    own_device = torch.device(device)
    found["asked"] = torch.tensor([two.any_of(two.rank == 1, own_device), two.any_of(False, own_device)])
    assert other.weight.grad is None
    save_file(found, Path(sys.argv[1]) / f"{two.rank}.safetensors")
"""


def torchrun(*command: str) -> None:
    """Run a command in two processes of one group."""
    environment = os.environ | {"PYTHONPATH": str(Path.cwd()), "OMP_NUM_THREADS": "1"}
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone"]
    done = subprocess.run([*launcher, *command], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]


def test_a_group_of_one_process_changes_nothing() -> None:
    layer = nn.Linear(2, 1)
    layer(torch.ones(1, 2)).sum().backward()
    with process_group("cpu") as (alone, device):
        alone.average_gradients(layer.parameters())
        assert (alone.share(7), alone.seed(5), device) == (7, 5, "cpu")
        assert alone.any_of(True, torch.device("cpu"))
        assert not alone.any_of(False, torch.device("cpu"))
    assert torch.equal(layer.weight.grad, torch.ones(1, 2))  # type: ignore[arg-type]


def test_a_batch_is_shared_evenly_or_not_at_all() -> None:
    assert ProcessGroup(rank=1, size=4).share(12) == 3
    with pytest.raises(BadOption, match="a divisor of 12"):
        ProcessGroup(rank=0, size=5).share(12)
    assert len({ProcessGroup(rank=rank, size=4).seed(0) for rank in range(4)}) == 4


def test_two_processes_hold_equal_weights_and_the_mean_of_their_gradients(tmp_path: Path) -> None:
    from safetensors.torch import load_file

    script = tmp_path / "two.py"
    script.write_text(GROUP_OF_TWO)
    torchrun(str(script), str(tmp_path))
    first, second = (load_file(tmp_path / f"{rank}.safetensors") for rank in (0, 1))
    assert torch.equal(first["weight"], second["weight"])
    assert first["grad"].tolist() == second["grad"].tolist() == [[0.5, 0.5]]
    assert first["asked"].tolist() == second["asked"].tolist() == [True, False]


@pytest.mark.slow
def test_two_processes_train_one_recipe_and_go_on(photographs: Path, tmp_path: Path) -> None:
    command = [
        "-m",
        "virtual_codec",
        "train",
        "smoke",
        "--data",
        str(photographs),
        "--out",
        str(tmp_path),
        "--threads",
        "1",
    ]
    torchrun(*command, "--steps", "30", "--quiet", "--device", "cpu")
    before = load_average(tmp_path / CHECKPOINT)
    torchrun(*command, "--steps", "60", "--quiet", "--device", "cpu", "--resume")
    assert read_progress(tmp_path / CHECKPOINT).step == 60
    assert any(not torch.equal(value, before[name]) for name, value in load_average(tmp_path / CHECKPOINT).items())
    rows = [line.split(",") for line in (tmp_path / LOG).read_text().splitlines()]
    assert [row[0] for row in rows] == ["step", "30", "60"]
    assert float(rows[2][2]) < float(rows[1][2])
