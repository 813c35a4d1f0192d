from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.pictures import scene
from virtual_codec.codec.estimate import Estimator, outcome_of
from virtual_codec.codec.model import ModelNetworks
from virtual_codec.codec.operating import MODES, Mode
from virtual_codec.codec.probe import probe_of
from virtual_codec.codec.promise import promise_of
from virtual_codec.codec.search import trial_at_quality
from virtual_codec.codec.stopwatch import Stopwatch
from virtual_codec.codec.trial import Trial, Trials
from virtual_codec.codecs import CODECS, JpegSettings
from virtual_codec.jobs import CompressOptions
from virtual_codec.runner import DirectRunner
from virtual_codec.store import ModelStore

LARGE = scene(576, 768)


@pytest.fixture(scope="module")
def model(store: ModelStore) -> ModelNetworks:
    return ModelNetworks(store, store.default, DirectRunner())


def trials_of(model: ModelNetworks, pixels: NDArray[np.uint8]) -> Trials:
    return Trials(pixels, model, CODECS["jpeg"], stopwatch=Stopwatch())


def is_part_of(part: NDArray[np.uint8], image: NDArray[np.uint8]) -> bool:
    """True if the image has the part somewhere."""
    height, width = part.shape[:2]
    return any(
        np.array_equal(part, image[top : top + height, left : left + width])
        for top in range(0, image.shape[0] - height + 1, 8)
        for left in range(0, image.shape[1] - width + 1, 8)
        if np.array_equal(part[0], image[top, left : left + width])
    )


@pytest.mark.parametrize("pixels", [LARGE, LARGE[..., 1]], ids=["colour", "grey"])
def test_the_probe_holds_tiles_of_the_image(pixels: NDArray[np.uint8]) -> None:
    probe = probe_of(pixels)
    assert probe is not None
    assert probe.pixels.size <= pixels.size / 3
    assert len(probe.areas) == len(probe.weights) >= 10
    assert sum(probe.weights) == pytest.approx(1)
    assert all(is_part_of(probe.pixels[area], pixels) for area in probe.areas)


def test_its_tiles_are_as_active_as_the_image() -> None:
    rising = np.random.default_rng(0).normal(128, np.linspace(0, 60, 960)[None, :, None], (480, 960, 3))
    pixels = np.clip(rising, 0, 255).astype(np.uint8)
    probe = probe_of(pixels)
    assert probe is not None
    assert probe.pixels.astype(float).std() == pytest.approx(pixels.astype(float).std(), rel=0.1)


@pytest.mark.parametrize("size", [(1, 1), (96, 96), (300, 400), (5, 3000), (3000, 5)])
def test_small_and_narrow_images_are_their_own(size: tuple[int, int], model: ModelNetworks) -> None:
    pixels = scene(*size)
    trials = trials_of(model, pixels)
    assert probe_of(pixels) is None or min(size) < 96
    assert trials.probe is trials or trials.probe.pixels.size < pixels.size


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)
def test_it_lets_expect_what_the_image_gives(model: ModelNetworks, mode: Mode) -> None:
    trials = trials_of(model, LARGE)
    settings = trials.settings(mode, 30.0 / mode.scale)
    expected = Estimator(trials, 30).outcome(trials.probe.measure(mode, settings))
    found = outcome_of(trials.measure(mode, settings))
    assert expected.psnr_db == pytest.approx(found.psnr_db, abs=0.7)
    assert math.log(expected.size_bytes / found.size_bytes) == pytest.approx(0, abs=0.15)


def test_the_image_itself_is_restored_seldom(model: ModelNetworks, monkeypatch: pytest.MonkeyPatch) -> None:
    measured = []
    measure = Trials.measure

    def counted(self: Trials, mode: Mode, settings: JpegSettings, coded: bytes | None = None) -> Trial:
        measured.append(self.pixels.size)
        return measure(self, mode, settings, coded)

    monkeypatch.setattr(Trials, "measure", counted)
    for quality in (10, 30, 60):
        trial_at_quality(trials_of(model, LARGE), model.operating, CompressOptions(quality=quality, scale=1))
    assert measured.count(LARGE.size) == 3
    assert len(measured) > 3


@pytest.mark.parametrize("size", [(2, 8), (480, 960)])
def test_an_exactly_restored_image_ends_the_search(model: ModelNetworks, size: tuple[int, int]) -> None:
    black = np.zeros((*size, 3), np.uint8)
    assert trial_at_quality(trials_of(model, black), model.operating, CompressOptions(quality=60)).squared_error == 0


def test_an_image_unlike_its_probe_is_searched_itself(model: ModelNetworks) -> None:
    pixels = np.full((480, 960, 3), 128, np.uint8)
    pixels[:40, :40] = np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)
    trials = trials_of(model, pixels)
    assert trials.probe is not trials
    best = trial_at_quality(trials, model.operating, CompressOptions(quality=40))
    assert trials.probe is trials
    promise = promise_of(trials, 40)
    assert promise is not None
    assert best.psnr_db >= promise.psnr_db
    assert best.size_bytes <= promise.jpeg_bytes
