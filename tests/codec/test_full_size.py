"""Models that describe images at full size, too."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from service.bitstream import layout
from service.codec import VirtualCodec
from service.codec.model import LoadedModel, condition_of
from service.jobs import CompressOptions
from service.runner import DirectRunner
from service.store import ModelStore
from tests.models import make_store
from tests.pictures import opened, saved, scene


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ModelStore:
    return make_store(tmp_path_factory.mktemp("store"), full_size=True)


@pytest.fixture(scope="module")
def codec(store: ModelStore) -> VirtualCodec:
    return VirtualCodec(store, DirectRunner())


def test_the_stream_holds_the_description_in_the_images_place(codec: VirtualCodec, tmp_path: Path) -> None:
    picture = saved(scene(48, 64))
    options = CompressOptions(scale=1, quality=90)
    described = opened(codec.compress(picture, options).stream)
    plain = opened(VirtualCodec(make_store(tmp_path), DirectRunner()).compress(picture, options).stream)
    assert described.shape == plain.shape
    assert np.abs(described.astype(int) - plain).max() > 2


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (17, 33), (64, 1), (1, 200)], ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("channels", [1, 3])
def test_every_size_comes_back_at_its_size(codec: VirtualCodec, size: tuple[int, int], channels: int) -> None:
    picture = scene(*size) if channels == 3 else np.ascontiguousarray(scene(*size)[..., 0])
    stream = codec.compress(saved(picture), CompressOptions(scale=1)).stream
    assert opened(stream).shape == opened(codec.restore(stream).image).shape == picture.shape


@pytest.mark.parametrize("scale", [1, 2])
def test_a_picture_without_colour_has_a_description_without(store: ModelStore, codec: VirtualCodec, scale: int) -> None:
    model = LoadedModel(store, store.default, DirectRunner())
    grey = np.ascontiguousarray(scene(33, 40)[..., 0])
    stream = codec.compress(saved(grey), CompressOptions(scale=scale)).stream
    vector = condition_of(layout(stream), own=True)
    described = model.describe(np.repeat(grey[..., None], 3, axis=2), scale, vector)
    assert described.ndim == 3
    assert (described == described[..., :1]).all()
    assert np.array_equal(described[..., 0], model.describe(grey, scale, vector))
