"""Settings of the AVIF encoder are compared on pictures made of four photographs each."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.avif_settings import TUNINGS, curves, mosaics
from tests.pictures import scene
from virtual_codec.codec.model import ModelNetworks
from virtual_codec.runner import DirectRunner
from virtual_codec.store import ModelStore

STORE = Path(__file__).parents[2] / "model_store"


def test_four_photographs_make_a_picture(tmp_path: Path) -> None:
    for number in range(9):
        Image.fromarray(scene(260, 300, seed=number)).save(tmp_path / f"v{number}.png")
    Image.fromarray(scene(300, 300)).save(tmp_path / "trained.png")
    Image.fromarray(scene(90, 300)).save(tmp_path / "v-low.png")
    first, second = mosaics(tmp_path, "v", 8)
    assert first.shape == second.shape == (512, 512, 3)
    np.testing.assert_array_equal(first[:256, 256:], scene(260, 300, seed=1)[:256, :256])
    with pytest.raises(SystemExit, match="fewer than four"):
        mosaics(tmp_path, "trained", 8)


def test_a_curve_has_a_point_for_each_level(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.avif_settings.LEVELS", (20, 60))
    store = ModelStore(STORE, default="codecs-1")
    model = ModelNetworks(store, store.default, DirectRunner())
    (plain,), (restored,) = curves([scene(176, 176)], 10, "4:4:4", TUNINGS["ours"], model)
    assert plain.shape == restored.shape == (2, 4)
    assert (np.diff(plain[:, 0]) > 0).all()
    assert (restored[:, 0] > plain[:, 0]).all(), "the header counts"
