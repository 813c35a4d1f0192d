"""Colour spaces that TIFFs state by their own tags."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image, TiffImagePlugin

from tests.images.pictures import WIDE_D50, rgb_profile, smooth, written
from tests.images.test_colour_spaces import CHROMATICITIES, GAMMA, USUAL_GAMMA, linear_as_srgb, png_with
from virtual_codec.images import decode

TRANSFER, WHITE, PRIMARIES = 301, 318, 319
P3 = {WHITE: (0.3127, 0.329), PRIMARIES: (0.68, 0.32, 0.265, 0.69, 0.15, 0.06)}
LINEAR = tuple(257 * level for level in range(256))
SRGB = tuple(
    round(65_535 * (code / 12.92 if code <= 0.04045 else ((code + 0.055) / 1.055) ** 2.4))
    for code in np.arange(256) / 255
)


def tagged(tags: dict[int, Any], image: Image.Image | None = None, **options: Any) -> bytes:
    """TIFF of an image, or of `smooth()`, with tags."""
    directory = TiffImagePlugin.ImageFileDirectory_v2()
    for tag, value in tags.items():
        directory[tag] = value
    file = io.BytesIO()
    (image or Image.fromarray(smooth())).save(file, "TIFF", tiffinfo=directory, **options)
    return file.getvalue()


def test_primaries_and_white_point_apply_as_chromaticities_of_a_png_do() -> None:
    assert np.array_equal(decode(tagged(P3)), decode(png_with(CHROMATICITIES, USUAL_GAMMA)))


def test_a_transfer_function_applies_as_the_gamma_of_a_png_does() -> None:
    by_png = decode(png_with(GAMMA))
    assert np.abs(by_png.astype(int) - smooth()).max() > 10
    for table in (LINEAR, 3 * LINEAR):
        assert np.array_equal(decode(tagged({TRANSFER: table})), by_png)
    assert np.array_equal(decode(tagged({TRANSFER: LINEAR}, Image.fromarray(smooth()[..., 1]))), by_png[..., 1])
    assert np.array_equal(decode(tagged(P3 | {TRANSFER: LINEAR})), decode(png_with(CHROMATICITIES, GAMMA)))


def test_each_channel_has_its_own_transfer_function() -> None:
    decoded = decode(tagged({TRANSFER: LINEAR + SRGB + SRGB}))
    assert np.array_equal(decoded[..., 0], decode(png_with(GAMMA))[..., 0])
    assert np.abs(decoded[..., 1:].astype(int) - smooth()[..., 1:]).max() <= 1


@pytest.mark.parametrize(("mode", "order"), [("I;16", "<"), ("I;16B", ">")])
def test_a_transfer_function_of_16_bits_applies_before_they_are_narrowed(mode: str, order: str) -> None:
    ramp = np.linspace(0, 3000, 600).astype(np.uint16)[None]
    image = Image.frombytes(mode, (600, 1), ramp.astype(f"{order}u2").tobytes())
    file = tagged({TRANSFER: tuple(range(65_536))}, image)
    assert file[:2] == {"<": b"II", ">": b"MM"}[order]
    shown = decode(file)
    assert len(np.unique(shown)) > 55
    assert np.abs(shown[0] - linear_as_srgb(ramp[0].astype(float) / 257)).max() <= 1


@pytest.mark.parametrize(
    "tags",
    [
        {TRANSFER: SRGB, WHITE: (0.3127, 0.329), PRIMARIES: (0.64, 0.33, 0.3, 0.6, 0.15, 0.06)},
        {PRIMARIES: P3[PRIMARIES]},
        {WHITE: (0.3457, 0.3585)},
        {WHITE: (0.3127, 0.329), PRIMARIES: (0.0, 0.0) * 3},
        {WHITE: (0.3127, 0.329), PRIMARIES: P3[PRIMARIES][:4]},
        P3 | {WHITE: (4e9, 0.3)},
        {TRANSFER: LINEAR[:-1]},
        {TRANSFER: LINEAR[::-1]},
    ],
    ids=[
        "sRGB",
        "no white point",
        "no primaries",
        "no colours",
        "too few primaries",
        "white point above 1",
        "too short",
        "falling",
    ],
)
def test_srgb_in_other_words_and_damaged_tags_change_nothing(tags: dict[int, Any]) -> None:
    assert np.array_equal(decode(tagged(tags)), smooth())


def test_values_outside_the_file_and_zero_denominators_are_ignored() -> None:
    file = tagged(P3)
    start = file.index(PRIMARIES.to_bytes(2, "little") + b"\5\0\6\0\0\0") + 8
    place = int.from_bytes(file[start : start + 4], "little")
    assert np.array_equal(decode(file[:start] + b"\xff\xff\xff\0" + file[start + 4 :]), smooth())
    assert np.array_equal(decode(file[: place + 4] + bytes(4) + file[place + 8 :]), smooth())


def test_a_profile_goes_before_the_tags_and_adobe_rgb_before_primaries_alone() -> None:
    profile = rgb_profile(WIDE_D50, 1.8)
    by_profile = decode(written(smooth(), "PNG", icc_profile=profile))
    assert np.array_equal(decode(tagged(P3 | {TRANSFER: LINEAR}, icc_profile=profile)), by_profile)
    adobe = {34665: {0xA001: 2}}
    by_exif = decode(tagged(adobe))
    assert np.abs(by_exif.astype(int) - smooth()).max() > 10
    assert np.array_equal(decode(tagged(adobe | P3)), by_exif)
    assert np.array_equal(decode(tagged(adobe | {TRANSFER: LINEAR})), decode(png_with(GAMMA)))
