from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.pictures import opened, saved, scene
from virtual_codec.codec.model import ModelNetworks
from virtual_codec.codec.operating import Mode
from virtual_codec.codec.promise import LOWEST_PROMISED, log_step_correction, reference_jpeg
from virtual_codec.codec.trial import Stopwatch, Trial, Trials
from virtual_codec.codecs import CODECS
from virtual_codec.metrics import psnr
from virtual_codec.runner import DirectRunner
from virtual_codec.store import ModelStore

PICTURE = scene(96, 128)


@pytest.fixture(scope="module")
def trials(store: ModelStore) -> Trials:
    model = ModelNetworks(store, store.default, DirectRunner())
    return Trials(PICTURE, model, CODECS["jpeg"], stopwatch=Stopwatch())


@pytest.fixture(scope="module")
def trial(trials: Trials) -> Trial:
    mode = Mode(scale=1, subsampling="420")
    return trials.measure(mode, trials.settings(mode, 30.0))


def like(trial: Trial, *, psnr_db: float, size_bytes: float) -> Trial:
    """The trial, had it come out so."""
    return replace(trial, squared_error=255**2 / 10 ** (psnr_db / 10), coded=bytes(int(size_bytes) - 15))


def test_the_ordinary_jpeg_is_pillows(trials: Trials) -> None:
    stream = saved(PICTURE, "JPEG", quality=40, subsampling=2, optimize=True)
    size, psnr_db = reference_jpeg(trials, 40)
    assert size == len(stream)
    assert psnr_db == pytest.approx(psnr(opened(stream), PICTURE))


def test_a_stream_that_keeps_the_promise_stays(trials: Trials, trial: Trial) -> None:
    size, jpeg_psnr_db = reference_jpeg(trials, 40)
    assert log_step_correction(trials, 40, like(trial, psnr_db=jpeg_psnr_db + 0.5, size_bytes=0.6 * size)) == 0


def test_a_poorer_image_is_coded_finer_and_a_larger_stream_coarser(trials: Trials, trial: Trial) -> None:
    size, jpeg_psnr_db = reference_jpeg(trials, 40)
    assert log_step_correction(trials, 40, like(trial, psnr_db=jpeg_psnr_db - 0.5, size_bytes=0.5 * size)) < 0
    assert log_step_correction(trials, 40, like(trial, psnr_db=jpeg_psnr_db + 3, size_bytes=0.8 * size)) > 0


def test_the_move_is_bounded_and_nothing_is_promised_at_the_lowest_qualities(trials: Trials, trial: Trial) -> None:
    size, _ = reference_jpeg(trials, 90)
    poor = like(trial, psnr_db=10, size_bytes=0.1 * size)
    assert log_step_correction(trials, 90, poor) == pytest.approx(-np.log(1.6))
    assert log_step_correction(trials, LOWEST_PROMISED - 1, poor) == 0


@pytest.mark.parametrize(("width", "quality"), [(1, 50), (3, 75), (17, 94)])
def test_noise_in_a_narrow_picture_has_its_ordinary_jpeg(store: ModelStore, width: int, quality: int) -> None:
    noise = np.random.default_rng(width).integers(0, 256, (30_000, width, 3), np.uint8)
    model = ModelNetworks(store, store.default, DirectRunner())
    size, _ = reference_jpeg(Trials(noise, model, CODECS["jpeg"], stopwatch=Stopwatch()), quality)
    assert size > noise.size / 3
