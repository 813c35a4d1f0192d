from __future__ import annotations

from pathlib import Path

import pytest

from tests.pictures import saved, scene


@pytest.fixture(scope="session")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of small pictures to train on."""
    folder = tmp_path_factory.mktemp("photographs")
    for index in range(20):
        (folder / f"{index:02}.png").write_bytes(saved(scene(200, 208, seed=index)))
    return folder
