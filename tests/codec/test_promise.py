from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from tests.pictures import opened, saved, scene
from virtual_codec.codec.estimate import Outcome
from virtual_codec.codec.model import ModelNetworks
from virtual_codec.codec.operating import DB_PER_LOG_STEP, LOG_BYTES_PER_LOG_STEP
from virtual_codec.codec.promise import LOWEST_PROMISED, Promise, Slopes, promise_of
from virtual_codec.codec.reference import reference_jpeg
from virtual_codec.codec.search import _corrected_trial
from virtual_codec.codec.stopwatch import Stopwatch
from virtual_codec.codec.trial import Trials
from virtual_codec.codecs import CODECS, JpegSettings
from virtual_codec.metrics import psnr
from virtual_codec.runner import DirectRunner
from virtual_codec.store import ModelStore

PICTURE = scene(96, 128)


@pytest.fixture(scope="module")
def trials(store: ModelStore) -> Trials:
    model = ModelNetworks(store, store.default, DirectRunner())
    return Trials(PICTURE, model, CODECS["jpeg"], stopwatch=Stopwatch())


def outcome(*, psnr_db: float, size_bytes: float) -> Outcome:
    return Outcome(squared_error=255**2 / 10 ** (psnr_db / 10), size_bytes=size_bytes)


@pytest.fixture
def promise(trials: Trials) -> Promise:
    found = promise_of(trials, 40)
    assert found is not None
    return found


def test_the_ordinary_jpeg_is_pillows(trials: Trials) -> None:
    stream = saved(PICTURE, "JPEG", quality=40, subsampling=2, optimize=True)
    reference = reference_jpeg(trials, 40)
    assert reference.size_bytes == len(stream)
    assert reference.psnr_db == pytest.approx(psnr(opened(stream), PICTURE))


def test_the_promise_is_the_jpegs_psnr_in_seven_tenths_of_its_bytes(trials: Trials, promise: Promise) -> None:
    reference = reference_jpeg(trials, 40)
    assert promise.psnr_db == reference.psnr_db
    assert promise.most_bytes == pytest.approx(0.7 * reference.size_bytes)


def test_a_stream_that_keeps_the_promise_stays(promise: Promise) -> None:
    kept = outcome(psnr_db=promise.psnr_db + 0.01, size_bytes=promise.most_bytes)
    assert promise.is_kept(kept)
    assert promise.log_step_correction(kept) == promise.shortfall(kept) == 0


def test_a_poorer_image_is_coded_finer_and_a_larger_stream_coarser(promise: Promise) -> None:
    poor = outcome(psnr_db=promise.psnr_db - 0.5, size_bytes=0.7 * promise.most_bytes)
    large = outcome(psnr_db=promise.psnr_db + 3, size_bytes=1.1 * promise.most_bytes)
    assert promise.log_step_correction(poor) < 0 < promise.log_step_correction(large)


def test_psnr_goes_before_bytes_up_to_those_of_the_ordinary_jpeg(promise: Promise) -> None:
    poor_and_large = outcome(psnr_db=promise.psnr_db - 0.2, size_bytes=promise.most_bytes * 1.05)
    assert promise.log_step_correction(poor_and_large) < 0
    poor_and_as_large = outcome(psnr_db=promise.psnr_db - 3, size_bytes=promise.jpeg_bytes)
    assert promise.log_step_correction(poor_and_as_large) == 0
    good_and_larger = outcome(psnr_db=promise.psnr_db + 0.2, size_bytes=promise.most_bytes * 1.12)
    assert promise.shortfall(good_and_larger) < promise.shortfall(outcome(psnr_db=promise.psnr_db - 0.6, size_bytes=9))


def test_a_promise_before_optimisation_allows_more_bytes(promise: Promise) -> None:
    before = promise.before_optimisation(0.8)
    assert before.psnr_db == promise.psnr_db
    assert 0.8 * before.most_bytes == pytest.approx(promise.most_bytes)
    assert 0.8 * before.jpeg_bytes == pytest.approx(promise.jpeg_bytes)


def test_the_move_is_bounded_and_nothing_is_promised_at_the_lowest_qualities(trials: Trials, promise: Promise) -> None:
    poor = outcome(psnr_db=10, size_bytes=0.1 * promise.most_bytes)
    assert promise.log_step_correction(poor) == pytest.approx(-np.log(1.6))
    assert promise_of(trials, LOWEST_PROMISED - 1) is None


@pytest.mark.parametrize(("width", "quality"), [(1, 50), (3, 75), (17, 94)])
def test_noise_in_a_narrow_picture_has_its_ordinary_jpeg(store: ModelStore, width: int, quality: int) -> None:
    noise = np.random.default_rng(width).integers(0, 256, (30_000, width, 3), np.uint8)
    model = ModelNetworks(store, store.default, DirectRunner())
    reference = reference_jpeg(Trials(noise, model, CODECS["jpeg"], stopwatch=Stopwatch()), quality)
    assert reference.size_bytes > noise.size / 3


@pytest.mark.parametrize(("factor", "followed"), [(0.8, 0.8), (1.5, 1.5), (0.1, 0.5), (9, 2), (-1, 0.5)])
def test_the_slopes_of_an_image_are_followed_within_twice_and_half_a_photographs(
    factor: float, followed: float
) -> None:
    log_step = 0.2
    before = outcome(psnr_db=30, size_bytes=1000)
    after = outcome(
        psnr_db=30 + factor * DB_PER_LOG_STEP * log_step,
        size_bytes=1000 * math.exp(factor * LOG_BYTES_PER_LOG_STEP * log_step),
    )
    slopes = Slopes.between(before, after, log_step)
    assert slopes.db == pytest.approx(followed * DB_PER_LOG_STEP)
    assert slopes.log_bytes == pytest.approx(followed * LOG_BYTES_PER_LOG_STEP)


@dataclass
class LinearImage:
    """Image whose PSNR and log of bytes are linear in the log step; `measure` counts the trials."""

    db: float
    log_bytes: float
    trials: int = 0

    def measure(self, mode: object, settings: JpegSettings) -> Any:
        self.trials += 1
        return LinearTrial(mode=mode, settings=settings)

    def outcome(self, trial: Any) -> Outcome:
        log_step = math.log(trial.settings.step / 10)
        return outcome(psnr_db=32 + self.db * log_step, size_bytes=10_000 * math.exp(self.log_bytes * log_step))


@dataclass
class LinearTrial:
    mode: object
    settings: JpegSettings


@pytest.mark.parametrize("db", [0.55, 0.75, 1, 1.4, 1.9])
@pytest.mark.parametrize("log_bytes", [0.6, 1, 1.6])
@pytest.mark.parametrize("missing_db", [0.2, 2])
def test_corrections_reach_the_psnr_of_images_unlike_photographs_with_few_bytes_to_spare(
    db: float, log_bytes: float, missing_db: float
) -> None:
    image = LinearImage(db=db * DB_PER_LOG_STEP, log_bytes=log_bytes * LOG_BYTES_PER_LOG_STEP)
    wanted = Promise(psnr_db=32 + missing_db, most_bytes=60_000, jpeg_bytes=80_000)
    trial = LinearTrial(mode=None, settings=JpegSettings(step=10))
    found: Any = _corrected_trial(image, wanted, trial, image.outcome)  # type: ignore[arg-type]
    assert wanted.is_kept(image.outcome(found))
    assert image.trials <= 3
