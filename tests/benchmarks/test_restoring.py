from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.restoring import __main__ as restoring
from benchmarks.restoring.convolutions import layers_of
from benchmarks.restoring.flat_tiles import flat_tiles
from tests.models import make_store
from tests.pictures import saved, scene
from virtual_codec.codec import open_codec
from virtual_codec.networks import build
from virtual_codec.networks.condition import CONDITION_SIZE


def test_layers_are_counted_with_their_work() -> None:
    network = build("postprocess", {"scale": 1, "channels": 8, "blocks": 2})
    layers = layers_of(network, torch.rand(1, 3, 32, 48), torch.rand(1, CONDITION_SIZE))
    assert [(it.count, it.shape) for it in layers] == [(1, (1, 12, 16, 24)), (4, (1, 8, 16, 24)), (1, (1, 8, 16, 24))]
    assert layers[1].gmac == pytest.approx(4 * 8 * 8 * 9 * 16 * 24 / 1e9)


def test_even_pictures_are_all_flat_and_textures_are_not(tmp_path: Path) -> None:
    make_store(tmp_path / "store")
    codec = open_codec(tmp_path / "store", threads=1)
    even = np.full((64, 64, 3), 90, np.uint8)
    textured = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    (flat,), (busy,) = (flat_tiles(codec, [picture], [90], [32]) for picture in (even, textured))
    assert flat.by_deviation[1.0][0] == 1.0
    assert busy.by_deviation[4.0] == (0.0, 0.0, 0.0)


def test_it_writes_a_page(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "a.png").write_bytes(saved(scene(272, 272), "PNG"))
    make_store(tmp_path / "store", u_shaped=True)
    page = tmp_path / "restoring.md"
    options = ["--model-store", str(tmp_path / "store"), "--size", "32", "48", "--rounds", "1", "--qualities", "30"]
    threads = torch.get_num_threads()
    try:
        assert restoring.main([str(folder), "--report", str(page), *options]) == 0
    finally:
        torch.set_num_threads(threads)
    text = page.read_text()
    assert "## Convolutions of scale 2" in text
    assert "| 4 x 8 to 8, 3x3, 24x16 |" in text
    assert "| U, 48-80-128 channels, 2-1-1 / 2-1 blocks | 66 |" in text
    assert "| as the engine runs it |" in text
    assert "| 30 | 256 |" in text
