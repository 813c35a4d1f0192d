"""Colours that files state without an ICC profile."""

from __future__ import annotations

import re
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests.images.pictures import SRGB_D50, WIDE_D50, Tags, png, png_chunk, rgb_profile, smooth, tiff, written
from virtual_codec.errors import UndecodableImage
from virtual_codec.images import decode

GAMMA = png_chunk(b"gAMA", struct.pack(">I", 100_000))
USUAL_GAMMA = png_chunk(b"gAMA", struct.pack(">I", 45_455))
CHROMATICITIES = png_chunk(
    b"cHRM", struct.pack(">8I", *(round(100_000 * v) for v in (0.3127, 0.329, 0.68, 0.32, 0.265, 0.69, 0.15, 0.06)))
)


def png_with(*chunks: bytes, **options: object) -> bytes:
    """A PNG with chunks after its header."""
    file = written(smooth(), "PNG", **options)
    return file[:33] + b"".join(chunks) + file[33:]


def cicp(primaries: int, transfer: int, full: int = 1) -> bytes:
    return png_chunk(b"cICP", bytes([primaries, transfer, 0, full]))


def linear_as_srgb(samples: NDArray[Any]) -> NDArray[Any]:
    linear = samples / 255
    return 255 * np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * np.power(linear, 1 / 2.4) - 0.055)


def test_a_gamma_applies() -> None:
    assert np.abs(decode(png_with(GAMMA)) - linear_as_srgb(smooth())).max() <= 0.6


@pytest.mark.parametrize(
    "chunks",
    [
        (USUAL_GAMMA,),
        (png_chunk(b"sRGB", b"\0"), GAMMA),
        (GAMMA, png_chunk(b"sRGB", b"\0"), CHROMATICITIES),
        (cicp(1, 13), GAMMA),
        (cicp(1, 1), GAMMA),
        (png_chunk(b"gAMA", bytes(4)),),
        (png_chunk(b"cHRM", bytes(32)),),
    ],
)
def test_srgb_in_other_words_stays_as_it_is(chunks: tuple[bytes, ...]) -> None:
    assert np.array_equal(decode(png_with(*chunks)), smooth())


def test_chromaticities_say_what_code_points_do() -> None:
    by_points, by_names = decode(png_with(CHROMATICITIES, USUAL_GAMMA)), decode(png_with(cicp(12, 13)))
    assert np.array_equal(by_points, by_names)
    assert np.abs(by_names.astype(int) - smooth()).max() > 10


def test_code_points_go_before_a_profile_and_a_profile_before_the_gamma() -> None:
    profile = rgb_profile(WIDE_D50, 1.8)
    by_profile = decode(written(smooth(), "PNG", icc_profile=profile))
    assert np.array_equal(decode(png_with(GAMMA, icc_profile=profile)), by_profile)
    assert np.array_equal(decode(png_with(cicp(12, 13), icc_profile=profile)), decode(png_with(cicp(12, 13))))


@pytest.mark.parametrize(("transfer", "name"), [(16, "PQ"), (18, "HLG")])
def test_high_dynamic_range_is_refused_by_name(transfer: int, name: str) -> None:
    with pytest.raises(UndecodableImage, match=f"the PNG has high dynamic range .{name}."):
        decode(png_with(cicp(9, transfer)))
    avif = bytearray(written(smooth(), "AVIF", quality=90))
    start = avif.index(b"colrnclx") + 8
    avif[start : start + 4] = struct.pack(">HH", 9, transfer)
    with pytest.raises(UndecodableImage, match=f"the AVIF has high dynamic range .{name}."):
        decode(bytes(avif))


@pytest.mark.parametrize("chunk", [cicp(1, 9), cicp(77, 13), cicp(1, 13, full=0)])
def test_code_points_that_are_not_known_are_refused(chunk: bytes) -> None:
    with pytest.raises(UndecodableImage, match=r"code points|video range"):
        decode(png_with(chunk))


def test_16_bits_are_converted_before_they_are_narrowed() -> None:
    ramp = np.linspace(0, 3000, 600).astype(">u2")
    rows = b"\0" + np.repeat(ramp[:, None], 3, axis=1).tobytes()
    header = struct.pack(">IIBBBBB", 600, 1, 16, 2, 0, 0, 0)
    for chunk in (GAMMA, cicp(1, 8), png_chunk(b"iCCP", b"x\0\0" + zlib.compress(rgb_profile(SRGB_D50, 1.0)))):
        file = b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + chunk
        file += png_chunk(b"IDAT", zlib.compress(rows)) + png_chunk(b"IEND", b"")
        shown = decode(file)
        assert len(np.unique(shown)) > 55
        assert np.abs(shown[0, :, 1] - linear_as_srgb(ramp.astype(float) / 257)).max() <= 1


def test_a_profile_goes_before_exif_in_16_bits_too() -> None:
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0xA001] = 65_535
    exif.get_ifd(0x8769)[0xA005] = {1: "R03"}
    profile = png_chunk(b"iCCP", b"x\0\0" + zlib.compress(rgb_profile(WIDE_D50, 1.8)))
    camera = png_chunk(b"eXIf", exif.tobytes().removeprefix(b"Exif\0\0"))
    rows = b"".join(b"\0" + row.tobytes() for row in 257 * smooth().astype(">u2"))
    by_profile, by_both = (decode(png(40, 24, rows, depth=16, before=before)) for before in (profile, profile + camera))
    assert np.array_equal(by_both, by_profile)


@pytest.mark.parametrize(("colour_space", "index"), [(65_535, "R03"), (2, None)])
@pytest.mark.parametrize("form", ["JPEG", "WEBP", "PNG"])
def test_adobe_rgb_by_exif_applies(form: str, colour_space: int, index: str | None) -> None:
    exif = Image.Exif()
    exif[0x0112] = 1
    exif.get_ifd(0x8769)[0xA001] = colour_space
    if index is not None:
        exif.get_ifd(0x8769)[0xA005] = {1: index}
    options = {"quality": 95} if form == "JPEG" else {"lossless": True} if form == "WEBP" else {}
    plain, tagged = (decode(written(smooth(), form, **options, **more)) for more in ({}, {"exif": exif}))
    assert np.abs(tagged.astype(int) - plain).max() > 10
    by_profile = decode(written(smooth(), "PNG", icc_profile=rgb_profile(WIDE_D50, 2.2)))
    assert np.abs(tagged.astype(int) - by_profile).mean() < np.abs(plain.astype(int) - by_profile).mean()


def with_adobe_rgb(samples: NDArray[Any], *, photometric: int = 2) -> bytes:
    """TIFF of [h, w, c] samples of 8 or 16 bits whose EXIF directories say Adobe RGB."""
    height, width, channels = samples.shape
    tags: Tags = {256: width, 257: height, 258: (8 * samples.itemsize,) * channels, 259: 1, 262: photometric}
    tags |= {277: channels}
    data = samples.tobytes()
    end = len(tiff({**tags, 34665: 0}, data))
    camera = struct.pack("<HHHIIHHIII", 2, 0xA001, 3, 1, 65_535, 0xA005, 4, 1, end + 30, 0)
    return tiff({**tags, 34665: end}, data) + camera + struct.pack("<HHHI4sI", 1, 1, 2, 4, b"R03", 0)


@pytest.mark.parametrize("wide", [False, True])
def test_adobe_rgb_by_exif_applies_in_a_tiff_as_in_a_png(wide: bool) -> None:
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0xA001] = 65_535
    exif.get_ifd(0x8769)[0xA005] = {1: "R03"}
    by_png = decode(written(smooth(), "PNG", exif=exif.tobytes()))
    assert np.abs(by_png.astype(int) - smooth()).max() > 10
    samples = smooth().astype(np.uint16) * 257 if wide else smooth()
    assert np.array_equal(decode(with_adobe_rgb(samples)), by_png)


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_adobe_rgb_does_not_apply_to_inks(kind: type[np.unsignedinteger[Any]]) -> None:
    inks = np.repeat(smooth()[..., :1], 4, axis=2).astype(kind) * (kind(257) if kind is np.uint16 else kind(1))
    tagged = with_adobe_rgb(inks, photometric=5)
    plain = tagged.replace(b"R03", b"R98")
    assert np.array_equal(decode(tagged), decode(plain))


@pytest.mark.parametrize(("primaries", "applies"), [(2, True), (1, False)])
def test_adobe_rgb_by_exif_applies_in_an_avif_whose_boxes_name_no_colours(primaries: int, applies: bool) -> None:
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0xA001] = 65_535
    exif.get_ifd(0x8769)[0xA005] = {1: "R03"}
    files = []
    for more in ({}, {"exif": exif.tobytes()}):
        avif = bytearray(written(smooth(), "AVIF", quality=95, **more))
        start = avif.index(b"colrnclx") + 8
        avif[start : start + 4] = struct.pack(">HH", primaries, 2 if primaries == 2 else 13)
        files.append(bytes(avif))
    plain, tagged = map(decode, files)
    assert (np.abs(tagged.astype(int) - plain).max() > 10) == applies


def avif_by_its_picture(primaries: int, transfer: int, **options: object) -> bytes:
    """AVIF of which only the coded picture names a colour space."""
    avif = written(smooth(), "AVIF", quality=95, **options).replace(b"colrnclx", b"freenclx")
    start = avif.index(b"mdat") + 4
    bits = "".join(f"{byte:08b}" for byte in avif[start : start + 24])
    named = "1000000010000110100000110|1000000100000001000000110"  # a flag, then 1, 13, 6, or 2, 2, 6 beside a profile
    bits, count = re.subn(named, f"1{primaries:08b}{transfer:08b}{6:08b}", bits)
    assert count == 1
    head = bytes(int(bits[place : place + 8], 2) for place in range(0, len(bits), 8))
    return avif[:start] + head + avif[start + 24 :]


def test_the_coded_picture_of_an_avif_without_a_box_for_colours_states_them() -> None:
    plain = decode(avif_by_its_picture(1, 13))
    assert np.array_equal(plain, decode(written(smooth(), "AVIF", quality=95)))
    avif = bytearray(written(smooth(), "AVIF", quality=95))
    start = avif.index(b"colrnclx") + 8
    avif[start : start + 4] = struct.pack(">HH", 12, 13)
    shown = decode(avif_by_its_picture(12, 13))
    assert np.abs(shown.astype(int) - plain).max() > 10
    assert np.array_equal(shown, decode(bytes(avif)))
    with pytest.raises(UndecodableImage, match=r"the AVIF has high dynamic range \(PQ\)"):
        decode(avif_by_its_picture(9, 16))
    with_profile = avif_by_its_picture(9, 16, icc_profile=rgb_profile(SRGB_D50, 2.2))
    assert np.abs(decode(with_profile).astype(int) - plain).max() < 20  # the profile goes first


def test_end_points_of_a_bmp_apply_and_its_profile_does() -> None:
    plain = written(smooth(), "BMP")
    pixels = plain[54:]
    ends = [round(v * (1 << 30)) for v in (0.68, 0.32, 0, 0.265, 0.69, 0.045, 0.15, 0.06, 0.79)]

    def bmp(kind: bytes, points: list[int], gammas: tuple[int, ...], profile: bytes = b"") -> bytes:
        info = struct.pack("<I", 124) + plain[18:54] + bytes(16) + kind + struct.pack("<9I", *points)
        info += struct.pack("<3I4I", *gammas, 0, 124 + len(pixels), len(profile), 0)
        return plain[:10] + struct.pack("<I", 14 + 124) + info + pixels + profile

    calibrated = decode(bmp(b"\0\0\0\0", ends, (144_179,) * 3))
    assert np.abs(calibrated.astype(int) - decode(png_with(cicp(12, 4)))).max() <= 1
    assert np.array_equal(decode(bmp(b"\0\0\0\0", [0] * 9, (0,) * 3)), smooth())
    assert np.array_equal(decode(bmp(b"BGRs", ends, (144_179,) * 3)), smooth())
    profile = rgb_profile(WIDE_D50, 1.8)
    by_profile = decode(written(smooth(), "PNG", icc_profile=profile))
    assert np.array_equal(decode(bmp(b"DEBM", ends, (0,) * 3, profile)), by_profile)
    assert np.array_equal(decode(bmp(b"KNIL", ends, (0,) * 3, b"/etc/passwd\0")), smooth())
