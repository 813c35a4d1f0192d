"""Alpha, depth, and colours of other spaces."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from PIL import Image, ImageCms

from tests.images.pictures import (
    SRGB_D50,
    WIDE_D50,
    Pixels,
    Tags,
    by_pillow,
    cmyk_profile,
    grey_profile,
    noise,
    png,
    png_chunk,
    rgb_profile,
    tiff,
    written,
)
from virtual_codec.errors import UndecodableImage
from virtual_codec.images import decode

RED = (200, 10, 30)


def over(colour: Pixels, alpha: Pixels, background: tuple[int, ...]) -> Pixels:
    """Straight alpha, rounded to the nearest level."""
    weight = alpha[..., None] / 255
    flat = colour * weight + np.array(background) * (1 - weight)
    return np.floor(flat + 0.5).astype(np.uint8)


# Alpha.


@pytest.mark.parametrize("form", ["PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("background", [(255, 255, 255), (0, 0, 0), RED])
def test_alpha_is_flattened_onto_the_background(form: str, background: tuple[int, int, int]) -> None:
    picture = noise(channels=4)
    file = written(picture, form, lossless=True, exact=True) if form == "WEBP" else written(picture, form)
    expected = over(picture[..., :3], picture[..., 3], background)
    assert np.abs(decode(file, background=background).astype(int) - expected).max() <= 1  # halves round either way


def test_the_background_is_white_unless_said() -> None:
    assert np.array_equal(decode(written(np.zeros((2, 3, 4), np.uint8), "PNG")), np.full((2, 3, 3), 255))


def test_grey_with_alpha_stays_grey_on_grey() -> None:
    picture = noise(channels=2)
    file = written(Image.fromarray(picture, "LA"), "PNG")
    found = decode(file, background=(7, 7, 7))
    assert found.shape == (24, 40)
    assert np.abs(found.astype(int) - over(picture[..., :1], picture[..., 1], (7,))[..., 0]).max() <= 1
    coloured = decode(file, background=RED)
    grey = np.repeat(picture[..., :1], 3, axis=2)
    assert np.abs(coloured.astype(int) - over(grey, picture[..., 1], RED)).max() <= 1


def test_opaque_alpha_changes_nothing() -> None:
    picture = noise(channels=2)
    picture[..., 1] = 255
    file = written(Image.fromarray(picture, "LA"), "PNG")
    assert np.array_equal(decode(file, background=RED), picture[..., 0])


def test_premultiplied_alpha_of_a_tiff_is_divided_out() -> None:
    tags: Tags = {256: 1, 257: 1, 258: (8, 8, 8, 8), 259: 1, 262: 2, 277: 4}
    data = bytes([100, 50, 0, 128])
    straight = decode(tiff(tags | {338: 2}, data), background=(0, 0, 0))[0, 0]
    associated = decode(tiff(tags | {338: 1}, data), background=(0, 0, 0))[0, 0]
    assert straight.tolist() == [50, 25, 0]
    assert associated.tolist() == [100, 50, 0]


def test_a_palette_may_be_transparent() -> None:
    palette = Image.fromarray(np.array([[0, 1, 2]], np.uint8), "P")
    palette.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90])
    every = decode(written(palette, "PNG", transparency=bytes([255, 0, 128])), background=RED)
    assert every[0].tolist() == [[10, 20, 30], [200, 10, 30], [135, 45, 60]]
    for form in ("PNG", "GIF"):
        one = decode(written(palette, form, transparency=1), background=RED)
        assert one[0].tolist() == [[10, 20, 30], [200, 10, 30], [70, 80, 90]]


def test_one_colour_of_a_png_may_be_transparent() -> None:
    rgb = png(2, 1, b"\0\1\2\3\4\5\6", before=png_chunk(b"tRNS", bytes([0, 1, 0, 2, 0, 3])))
    assert decode(rgb, background=RED)[0].tolist() == [[200, 10, 30], [4, 5, 6]]
    grey = png(2, 1, b"\0\1\2", kind=0, before=png_chunk(b"tRNS", b"\0\2"))
    assert decode(grey, background=(9, 9, 9)).tolist() == [[1, 9]]


@pytest.mark.parametrize(("depth", "row"), [(1, b"\0\x40"), (2, b"\0\x10"), (4, b"\0\x01")])
def test_a_transparent_grey_of_few_bits_is_found(depth: int, row: bytes) -> None:
    file = png(2, 1, row, depth=depth, kind=0, before=png_chunk(b"tRNS", b"\0\1"))
    assert decode(file, background=(9, 9, 9)).tolist() == [[0, 9]]


def test_a_transparent_colour_of_16_bits_is_found() -> None:
    row = b"\0" + struct.pack(">6H", 0x0100, 0x0200, 0x0300, 0x0400, 0x0500, 0x0600)
    transparent = png_chunk(b"tRNS", struct.pack(">3H", 0x0100, 0x0200, 0x0300))
    found = decode(png(2, 1, row, depth=16, before=transparent), background=RED)
    assert found[0].tolist() == [[200, 10, 30], [4, 5, 6]]
    grey = png(2, 1, b"\0" + struct.pack(">2H", 0, 65535), depth=16, kind=0, before=png_chunk(b"tRNS", b"\0\0"))
    assert decode(grey, background=(9, 9, 9)).tolist() == [[9, 255]]


# Depth.


def test_16_bits_are_rounded_to_8() -> None:
    values = np.arange(65_536, dtype=np.uint16).reshape(256, 256)
    expected = np.floor(values / 257 + 0.5).astype(np.uint8)
    assert np.array_equal(decode(written(Image.fromarray(values), "PNG")), expected)
    assert np.array_equal(decode(written(Image.fromarray(values), "TIFF")), expected)
    tags: Tags = {256: 256, 257: 256, 258: 16, 259: 1, 262: 1}
    assert np.array_equal(decode(tiff(tags, values.astype(">u2").tobytes(), order=">")), expected)
    assert np.array_equal(decode(tiff(tags | {262: 0}, values.tobytes())), 255 - expected)


def test_16_bit_colours_keep_their_upper_half() -> None:
    values = np.array([[[0, 0x8000, 0xFFFF], [0x1234, 0x5678, 0x9ABC]]], np.uint16)
    file = png(2, 1, b"\0" + values.astype(">u2").tobytes(), depth=16)
    assert decode(file)[0].tolist() == [[0, 128, 255], [0x12, 0x56, 0x9A]]
    tags: Tags = {256: 2, 257: 1, 258: (16, 16, 16), 259: 1, 262: 2, 277: 3}
    assert decode(tiff(tags, values.tobytes()))[0].tolist() == [[0, 128, 255], [0x12, 0x56, 0x9A]]


def test_12_bits_of_a_tiff_are_the_whole_range() -> None:
    tags: Tags = {256: 2, 257: 1, 258: 12, 259: 1, 262: 1}
    assert decode(tiff(tags, bytes([0xFF, 0xF8, 0x00]))).tolist() == [[255, 128]]


def test_signed_integers_are_refused_by_name() -> None:
    values = np.array([[-5, 0, 32_896, 65_535, 1 << 20]], np.int32)
    with pytest.raises(UndecodableImage, match="32-bit signed grey TIFF"):
        decode(written(Image.fromarray(values), "TIFF"))


def test_floating_point_is_refused() -> None:
    with pytest.raises(UndecodableImage, match="float grey TIFF"):
        decode(written(Image.fromarray(np.zeros((2, 2), np.float32)), "TIFF"))


# Other colours.


@pytest.mark.parametrize("form", ["JPEG", "TIFF"])
def test_cmyk_becomes_what_it_looks_like(form: str) -> None:
    cmyk = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    file = written(cmyk, form, **({"quality": 100} if form == "JPEG" else {}))
    assert np.abs(decode(file).astype(int) - (255, 0, 0)).max() <= 2


def test_a_cmyk_jpeg_by_adobe_is_inverted() -> None:
    file = written(Image.new("CMYK", (16, 16), (0, 0, 0, 0)), "JPEG")
    assert b"Adobe" in file
    assert decode(file).min() >= 254


def test_ycbcr_and_lab_become_rgb() -> None:
    picture = Image.fromarray(np.full((4, 4, 3), RED, np.uint8))
    assert np.abs(decode(written(picture.convert("YCbCr"), "TIFF")).astype(int) - RED).max() <= 2
    to_lab = ImageCms.buildTransform(ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB")
    assert np.abs(decode(written(to_lab.apply(picture), "TIFF")).astype(int) - RED).max() <= 3


# Profiles.


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "TIFF", "AVIF"])
def test_a_profile_is_converted_to_srgb(form: str) -> None:
    colour = np.array([120, 140, 100])
    lossless: dict[str, dict[str, object]] = {
        "WEBP": {"lossless": True},
        "JPEG": {"quality": 100},
        "AVIF": {"quality": 100},
    }
    picture = np.full((16, 16, 3), colour, np.uint8)
    file = written(picture, form, icc_profile=rgb_profile(WIDE_D50, 1.8), **lossless.get(form, {}))
    plain = written(picture, form, **lossless.get(form, {}))
    light = np.linalg.inv(SRGB_D50) @ WIDE_D50 @ (colour / 255) ** 1.8
    expected = 255 * np.where(light > 0.0031308, 1.055 * light ** (1 / 2.4) - 0.055, 12.92 * light)
    assert np.abs(decode(file)[8, 8] - expected).max() <= 3
    assert np.abs(decode(plain)[8, 8] - expected).max() > 10


def test_the_profile_works_below_alpha_and_palette() -> None:
    profile = rgb_profile(SRGB_D50, 1.0)  # linear light: everything becomes much lighter
    rgba = np.full((2, 2, 4), (50, 50, 50, 255), np.uint8)
    rgba[0, 0, 3] = 0
    found = decode(written(rgba, "PNG", icc_profile=profile), background=(1, 2, 3))
    assert found[0, 0].tolist() == [1, 2, 3]
    assert found[1, 1].min() > 115
    palette = Image.fromarray(np.full((2, 2, 3), 50, np.uint8)).quantize(2)
    assert decode(written(palette, "PNG", icc_profile=profile)).min() > 115


@pytest.mark.parametrize("form", ["PNG", "JPEG", "TIFF"])
def test_a_grey_profile_keeps_the_picture_grey(form: str) -> None:
    file = written(np.full((16, 16), 50, np.uint8), form, icc_profile=grey_profile(1.0))
    found = decode(file)
    assert found.shape == (16, 16)
    assert np.abs(found.astype(int) - 122).max() <= 2  # 50/255 of the light is 122 in sRGB


@pytest.mark.parametrize("form", ["JPEG", "TIFF"])
def test_a_printer_s_profile_says_what_cmyk_looks_like(form: str) -> None:
    options: dict[str, object] = {"quality": 100} if form == "JPEG" else {}
    cyan = written(Image.new("CMYK", (16, 16), (255, 0, 0, 0)), form, icc_profile=cmyk_profile(), **options)
    red, green, blue = decode(cyan)[8, 8].tolist()
    assert red > 235
    assert max(green, blue) < 40
    paper = written(Image.new("CMYK", (16, 16), (0, 0, 0, 0)), form, icc_profile=cmyk_profile(), **options)
    assert decode(paper).min() >= 250


def test_srgb_by_any_name_changes_nothing() -> None:
    picture = noise()
    own = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert np.array_equal(decode(written(picture, "PNG", icc_profile=own)), picture)


@pytest.mark.parametrize(
    "profile",
    [
        b"nonsense",
        bytes(1000),
        rgb_profile(WIDE_D50, 2.2)[:200],
        grey_profile(1.0),
        cmyk_profile(),
        rgb_profile(WIDE_D50, 2.2).replace(b"rXYZ", b"xXYZ"),
    ],
    ids=["nonsense", "zeros", "truncated", "grey", "cmyk", "incomplete"],
)
def test_a_profile_that_cannot_be_used_is_ignored(profile: bytes) -> None:
    assert np.array_equal(decode(written(noise(), "PNG", icc_profile=profile)), noise())
    jpeg = written(noise(), "JPEG", icc_profile=profile)
    assert np.array_equal(decode(jpeg), np.asarray(by_pillow(jpeg)))


@pytest.mark.parametrize("body", [b"", b"name", b"name\0\0", b"name\0\0nonsense", b"name\0\0x\x9c"])
def test_a_broken_profile_chunk_is_ignored(body: bytes) -> None:
    assert decode(png(1, 1, bytes(4), before=png_chunk(b"iCCP", body))).shape == (1, 1, 3)
