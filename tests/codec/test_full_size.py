"""Models that describe images at full size, too."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.models import make_store
from tests.pictures import opened, saved, scene
from virtual_codec.codec import VirtualCodec
from virtual_codec.jobs import CompressOptions
from virtual_codec.runner import DirectRunner
from virtual_codec.store import ModelStore


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ModelStore:
    return make_store(tmp_path_factory.mktemp("store"), full_size=True)


@pytest.fixture(scope="module")
def codec(store: ModelStore) -> VirtualCodec:
    return VirtualCodec(store, DirectRunner())


@pytest.mark.parametrize(("quality", "described"), [(2, True), (100, False)])
def test_the_stream_holds_the_description_except_at_the_finest_steps(
    codec: VirtualCodec, tmp_path: Path, quality: int, described: bool
) -> None:
    picture = saved(np.ascontiguousarray(scene(48, 64)[..., 0]))
    options = CompressOptions(scale=1, quality=quality)
    shown = opened(codec.compress(picture, options).stream)
    plain = opened(VirtualCodec(make_store(tmp_path), DirectRunner()).compress(picture, options).stream)
    assert shown.shape == plain.shape
    assert (np.abs(shown.astype(int) - plain).max() > 2) == described


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (17, 33), (64, 1), (1, 200)], ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("channels", [1, 3])
def test_every_size_comes_back_at_its_size(codec: VirtualCodec, size: tuple[int, int], channels: int) -> None:
    picture = scene(*size) if channels == 3 else np.ascontiguousarray(scene(*size)[..., 0])
    stream = codec.compress(saved(picture), CompressOptions(scale=1)).stream
    assert opened(stream).shape == opened(codec.restore(stream).image).shape == picture.shape
