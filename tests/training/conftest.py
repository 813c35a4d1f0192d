from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests.pictures import saved, scene


@pytest.fixture(scope="session")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of small pictures to train on."""
    folder = tmp_path_factory.mktemp("photographs")
    for index in range(20):
        (folder / f"{index:02}.png").write_bytes(saved(scene(200, 208, seed=index)))
    return folder


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Networks this small only wait for each other's threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
