"""Pixels to bytes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image
from skimage import data

from tests.images.pictures import Pixels, by_pillow, noise, smooth, written
from virtual_codec.errors import NotAcceptable
from virtual_codec.images import MEDIA_TYPES, decode, encode
from virtual_codec.images._png_writer import stdlib_deflate, write_png
from virtual_codec.jobs import OutputFormat

SIDES = st.integers(1, 70)
PICTURES = st.one_of(
    st.tuples(SIDES, SIDES, st.just(3)).flatmap(lambda shape: arrays.arrays(np.uint8, shape)),
    st.tuples(SIDES, SIDES).flatmap(lambda shape: arrays.arrays(np.uint8, shape)),
)


@pytest.mark.parametrize("output", MEDIA_TYPES)
@pytest.mark.parametrize("shape", [(1, 1), (1, 200, 3), (200, 1, 3), (37, 53), (37, 53, 3), (3, 16_383, 3)])
def test_pixels_survive(output: OutputFormat, shape: tuple[int, ...]) -> None:
    pixels = np.random.default_rng(3).integers(0, 256, shape, np.uint8)
    found = decode(encode(pixels, output))
    if output == "webp" and len(shape) == 2:  # there is no grey WebP
        assert np.array_equal(found, np.repeat(pixels[..., None], 3, axis=2))
    else:
        assert np.array_equal(found, pixels)


@given(PICTURES)
@settings(max_examples=60)
def test_any_png_is_read_by_others_as_it_was(pixels: Pixels) -> None:
    for png in (encode(pixels, "png"), write_png(pixels, stdlib_deflate)):
        image = by_pillow(png)
        assert image.format == "PNG"
        assert image.mode == ("L" if pixels.ndim == 2 else "RGB")
        assert np.array_equal(np.asarray(image), pixels)


def test_a_png_larger_than_a_filter_block_is_right() -> None:
    for pixels in (smooth(700, 500), noise(20_000, 5), noise(5, 20_000, 0), smooth(701, 301)[::-1, ::-1]):
        assert np.array_equal(np.asarray(by_pillow(encode(pixels, "png"))), pixels)


def test_a_png_is_about_as_small_as_pillow_s_fastest() -> None:
    for picture in (data.astronaut(), data.coffee(), data.camera()):  # type: ignore[no-untyped-call]
        theirs = len(written(picture, "PNG", compress_level=1))
        assert len(encode(picture, "png")) < 1.06 * theirs
        assert len(write_png(picture, stdlib_deflate)) < 1.04 * theirs


def test_the_same_pixels_give_the_same_bytes() -> None:
    for output in MEDIA_TYPES:
        assert encode(noise(), output) == encode(noise().copy(), output)


def test_pixels_need_not_be_contiguous() -> None:
    turned = np.swapaxes(noise(), 0, 1)
    for output in MEDIA_TYPES:
        assert np.array_equal(decode(encode(turned, output)), turned)


def test_webp_says_what_it_cannot_hold() -> None:
    with pytest.raises(NotAcceptable, match="at most 16383 pixels; ask for image/png"):
        encode(np.zeros((1, 16_384, 3), np.uint8), "webp")


@pytest.mark.parametrize(
    "pixels",
    [np.zeros((2, 2, 4), np.uint8), np.zeros((2, 2), np.float32), np.zeros(4, np.uint8), np.zeros((0, 2), np.uint8)],
)
def test_an_array_that_is_no_picture_is_refused(pixels: Pixels) -> None:
    with pytest.raises(ValueError, match="pixels must be"):
        encode(pixels, "png")


def test_media_types_are_those_of_the_contract() -> None:
    assert MEDIA_TYPES == {"png": "image/png", "webp": "image/webp", "bmp": "image/bmp"}
    for output in MEDIA_TYPES:
        assert Image.MIME[by_pillow(encode(noise(), output)).format or ""] == MEDIA_TYPES[output]


def test_a_png_says_that_it_is_srgb() -> None:
    for pixels in (smooth(8, 9), smooth(8, 9)[..., 0].copy()):
        png = encode(pixels, "png")
        assert png[33:46] == b"\0\0\0\x01sRGB\0\xae\xce\x1c\xe9"
        assert by_pillow(png).info["srgb"] == 0
