"""Ordinary files that streams are compared with: within their size, measured as they decode."""

from __future__ import annotations

import io

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from virtual_codec.codec.ordinary import MAX_PIXELS, encode_ordinary
from virtual_codec.errors import DeadlineExceeded, SideTooLong, TooManyPixels, UnreachableTarget
from virtual_codec.jobs import OrdinaryFormat, OrdinaryOptions, deadline_scope
from virtual_codec.metrics import ms_ssim, psnr

FORMATS: tuple[OrdinaryFormat, ...] = ("jpeg", "webp", "avif")


def photograph() -> NDArray[np.uint8]:
    """Waves under noise: [170, 200, 3]."""
    y, x = np.mgrid[0:170, 0:200]
    waves = np.stack([np.sin(x / 9 + c) + np.cos(y / (7 + c)) for c in range(3)], axis=2)
    noise = np.random.default_rng(3).normal(0, 8, waves.shape)
    return np.clip(128 + 50 * waves + noise, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("form", FORMATS)
def test_the_best_file_within_a_size_is_found(form: OrdinaryFormat) -> None:
    pixels = photograph()
    made = encode_ordinary(pixels, OrdinaryOptions(format=form, max_bytes=4000))
    assert len(made.stream) <= 4000
    assert made.media_type == f"image/{form}"
    better = encode_ordinary(pixels, OrdinaryOptions(format=form, quality=made.quality + 1))
    assert len(better.stream) > 4000, "a higher quality would not have fitted"


@pytest.mark.parametrize("form", FORMATS)
def test_the_measures_are_those_of_the_decoded_file(form: OrdinaryFormat) -> None:
    pixels = photograph()
    made = encode_ordinary(pixels, OrdinaryOptions(format=form, quality=40))
    with Image.open(io.BytesIO(made.stream)) as image:
        decoded = np.asarray(image.convert("RGB"))
    assert made.psnr_db == psnr(decoded, pixels)
    assert made.ms_ssim == ms_ssim(decoded, pixels)
    assert (made.width, made.height, made.model) == (200, 170, "")


@pytest.mark.parametrize("form", FORMATS)
def test_grey_pictures_and_single_pixels_are_encoded(form: OrdinaryFormat) -> None:
    for pixels in (photograph()[..., 0], np.full((1, 1, 3), 9, np.uint8)):
        assert encode_ordinary(np.ascontiguousarray(pixels), OrdinaryOptions(format=form, quality=50)).stream


def test_a_size_below_the_smallest_file_is_refused_with_that_size() -> None:
    smallest = len(encode_ordinary(photograph(), OrdinaryOptions(quality=1)).stream)
    with pytest.raises(UnreachableTarget) as refusal:
        encode_ordinary(photograph(), OrdinaryOptions(max_bytes=smallest - 1))
    assert refusal.value.actual == smallest


def test_an_image_that_would_take_minutes_is_refused() -> None:
    wide = np.zeros((1, MAX_PIXELS + 1, 3), np.uint8)
    with pytest.raises(TooManyPixels):
        encode_ordinary(wide, OrdinaryOptions(quality=50))
    with pytest.raises(SideTooLong):
        encode_ordinary(wide[:, :16_384], OrdinaryOptions(format="webp", quality=50))


def test_the_search_ends_at_the_deadline() -> None:
    with deadline_scope(0.0, lambda: False), pytest.raises(DeadlineExceeded):
        encode_ordinary(photograph(), OrdinaryOptions(format="avif", max_bytes=4000))
