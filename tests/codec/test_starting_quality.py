from __future__ import annotations

import pytest

from tests.pictures import scene
from virtual_codec.codec.model import ModelNetworks
from virtual_codec.codec.reference import reference_jpeg, reference_picture
from virtual_codec.codec.starting_quality import starting_quality
from virtual_codec.codec.stopwatch import Stopwatch
from virtual_codec.codec.trial import Trials
from virtual_codec.codecs import CODECS
from virtual_codec.jobs import DEFAULT_QUALITY, CompressOptions
from virtual_codec.metrics import ms_ssim, psnr
from virtual_codec.runner import DirectRunner
from virtual_codec.store import ModelStore

PICTURE = scene(176, 192)


@pytest.fixture(scope="module")
def trials(store: ModelStore) -> Trials:
    model = ModelNetworks(store, store.default, DirectRunner())
    return Trials(PICTURE, model, CODECS["jpeg"], stopwatch=Stopwatch())


@pytest.mark.parametrize("quality", [8, 30, 55, 80, 92])
def test_a_target_that_an_ordinary_jpeg_meets_gives_its_quality(trials: Trials, quality: int) -> None:
    _, shown = reference_picture(trials, quality, subsampling=0)
    for options in (
        CompressOptions(min_psnr=psnr(shown, PICTURE)),
        CompressOptions(min_ms_ssim=ms_ssim(shown, PICTURE)),
    ):
        assert starting_quality(trials, options) == pytest.approx(quality, abs=5)


@pytest.mark.parametrize(("quality", "share"), [(8, 0.7), (30, 0.7), (95, 0.97)])
def test_as_does_what_is_promised_of_its_bytes(trials: Trials, quality: int, share: float) -> None:
    most = round(share * reference_jpeg(trials, quality).size_bytes)
    assert starting_quality(trials, CompressOptions(max_bytes=most)) == pytest.approx(quality, abs=4)
    bits = 8 * most / (PICTURE.shape[0] * PICTURE.shape[1])
    assert starting_quality(trials, CompressOptions(max_bpp=bits)) == pytest.approx(quality, abs=4)


def test_a_target_beyond_all_jpegs_gives_the_lowest_or_highest_quality(trials: Trials) -> None:
    assert starting_quality(trials, CompressOptions(max_bytes=1)) == 1
    assert starting_quality(trials, CompressOptions(min_psnr=5)) == 1
    assert starting_quality(trials, CompressOptions(min_psnr=90)) == 99
    assert starting_quality(trials, CompressOptions(min_ms_ssim=1)) == 99


def test_an_image_too_long_for_a_jpeg_has_the_default(store: ModelStore) -> None:
    model = ModelNetworks(store, store.default, DirectRunner())
    long = Trials(scene(1, 65_501), model, CODECS["jpeg"], stopwatch=Stopwatch())
    assert starting_quality(long, CompressOptions(max_bytes=4000)) == DEFAULT_QUALITY
