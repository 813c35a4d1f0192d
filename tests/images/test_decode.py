"""What a file's pixels are."""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps

from tests.images.pictures import (
    WIDE_D50,
    Tags,
    by_pillow,
    exif_tiff,
    noise,
    png,
    png_chunk,
    rgb_profile,
    smooth,
    tiff,
    written,
)
from virtual_codec.errors import (
    AnimatedImage,
    EmptyInput,
    SideTooLong,
    TooManyPixels,
    TooManyScans,
    UndecodableImage,
    UnsupportedFormat,
)
from virtual_codec.images import ImageLimits, decode, decode_jpeg, parse_jpeg, probe, sniff

LOSSLESS = [
    ("PNG", {}),
    ("WEBP", {"lossless": True}),
    ("BMP", {}),
    ("TIFF", {}),
    ("TIFF", {"compression": "tiff_lzw"}),
    ("TIFF", {"compression": "tiff_adobe_deflate"}),
    ("TIFF", {"compression": "packbits"}),
    ("TIFF", {"big_tiff": True}),
]
FORMATS = {
    "PNG": "png",
    "JPEG": "jpeg",
    "WEBP": "webp",
    "TIFF": "tiff",
    "BMP": "bmp",
    "GIF": "gif",
    "AVIF": "avif",
    "JPEG2000": "jpeg2000",
}


@pytest.mark.parametrize(("form", "name"), FORMATS.items())
def test_a_format_is_known_by_its_bytes(form: str, name: str) -> None:
    file = written(smooth(), form)
    assert sniff(file) == name
    assert decode(file).shape == (24, 40, 3)


@pytest.mark.parametrize("brands", [b"heic\0\0\0\0mif1heic", b"mif1\0\0\0\0mif1heic", b"heix\0\0\0\0mif1heix"])
def test_heic_is_refused_with_what_to_do(brands: bytes) -> None:
    with pytest.raises(
        UnsupportedFormat, match="HEIC images are not supported; export the photo as JPEG or PNG first, or"
    ):
        decode(b"\0\0\0\x18ftyp" + brands + bytes(20))


@pytest.mark.parametrize(
    "file",
    [
        b"<html>",
        b"\x89PNG",
        b"RIFF\0\0\0\0WAVEfmt ",
        b"%PDF-1.7",
        b"P6 1 1 255 abc",
    ],
)
def test_other_formats_are_not_taken(file: bytes) -> None:
    with pytest.raises(UnsupportedFormat, match="PNG, JPEG"):
        decode(file)


def test_a_format_that_pillow_reads_and_we_do_not_is_not_taken() -> None:
    for form in ("PPM", "TGA", "PCX", "ICO"):
        with pytest.raises(UnsupportedFormat):
            decode(written(smooth(), form))


def test_no_bytes_are_no_image() -> None:
    with pytest.raises(EmptyInput):
        decode(b"")


@pytest.mark.parametrize(("form", "options"), LOSSLESS)
def test_lossless_colours_come_back_exactly(form: str, options: dict[str, object]) -> None:
    assert np.array_equal(decode(written(noise(), form, **options)), noise())


@pytest.mark.parametrize(("form", "options"), [it for it in LOSSLESS if it[0] != "WEBP"])
def test_lossless_grey_comes_back_exactly_and_grey(form: str, options: dict[str, object]) -> None:
    assert np.array_equal(decode(written(noise(channels=0), form, **options)), noise(channels=0))


def test_big_endian_tiffs_are_read() -> None:
    tags: Tags = {256: 40, 257: 24, 258: (8, 8, 8), 259: 1, 262: 2, 277: 3}
    for order in "<>":
        assert np.array_equal(decode(tiff(tags, noise().tobytes(), order=order)), noise())


@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_is_what_libjpeg_says(progressive: bool) -> None:
    colour = written(smooth(), "JPEG", progressive=progressive)
    assert np.array_equal(decode(colour), np.asarray(by_pillow(colour)))
    grey = written(smooth()[..., 0], "JPEG", progressive=progressive)
    assert np.array_equal(decode(grey), np.asarray(by_pillow(grey)))


def test_lossy_formats_are_near() -> None:
    for form in ("AVIF", "WEBP", "JPEG"):
        found = decode(written(smooth(), form, quality=95))
        assert np.abs(found.astype(int) - smooth()).mean() < 4


def test_palettes_become_colours() -> None:
    palette = Image.fromarray(smooth()).quantize(16)
    expected = np.asarray(palette.convert("RGB"))
    for form in ("PNG", "GIF", "BMP", "TIFF"):
        assert np.array_equal(decode(written(palette, form)), expected)


def test_one_bit_is_grey() -> None:
    bits = noise(channels=0) > 127
    for form in ("PNG", "TIFF", "BMP"):
        assert np.array_equal(decode(written(Image.fromarray(bits), form)), bits * np.uint8(255))


def test_a_phone_s_mpo_is_its_first_picture() -> None:
    first, second = Image.fromarray(smooth()), Image.fromarray(smooth(80, 48))
    mpo = written(first, "MPO", save_all=True, append_images=[second])
    assert by_pillow(mpo).format == "MPO"
    assert np.array_equal(decode(mpo), np.asarray(by_pillow(mpo)))


def test_pixels_may_be_written_to() -> None:
    for form in FORMATS:
        assert decode(written(smooth(), form)).flags.writeable


def test_a_probe_of_a_frame_beyond_its_screen_is_the_size_it_decodes_to() -> None:
    gif = written(smooth(), "GIF")
    wide = gif[:6] + b"\x05\0\x06\0" + gif[10:]
    assert probe(wide) == decode(wide).shape[1::-1] == (40, 24)


def test_a_jpeg_as_coded_is_neither_turned_nor_converted() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    plain = written(smooth(), "JPEG")
    file = written(smooth(), "JPEG", exif=exif, icc_profile=rgb_profile(WIDE_D50, 1.8))
    assert np.array_equal(decode_jpeg(parse_jpeg(file)).samples, np.asarray(by_pillow(plain)))
    assert decode_jpeg(parse_jpeg(written(smooth()[..., 0], "JPEG"))).samples.shape == (24, 40)
    with pytest.raises(UndecodableImage):
        decode_jpeg(parse_jpeg(file[:-50]))


@pytest.mark.parametrize("options", [{"subsampling": s, "progressive": p} for s in (0, 1, 2) for p in (False, True)])
def test_a_jpeg_is_decoded_once_into_luma_and_the_same_colours(options: dict[str, Any]) -> None:
    file = written(noise(43, 27), "JPEG", **options)
    decoded = decode_jpeg(parse_jpeg(file))
    assert np.array_equal(decoded.samples, np.asarray(by_pillow(file)))
    assert np.array_equal(decoded.to_srgb(), decode(file))
    with Image.open(io.BytesIO(file)) as luma:
        luma.draft("L", luma.size)
        assert decoded.luma is not None
        assert np.array_equal(decoded.luma, np.asarray(luma))


@pytest.mark.parametrize("options", [{"keep_rgb": True}, {"keep_rgb": True, "subsampling": 0, "progressive": True}])
def test_an_rgb_jpeg_has_no_luma_plane(options: dict[str, Any]) -> None:
    file = written(smooth(), "JPEG", **options)
    decoded = decode_jpeg(parse_jpeg(file))
    assert decoded.layout.colour_model == "rgb"
    assert decoded.luma is None
    assert np.array_equal(decoded.samples, decode(file))


# Orientation.


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_the_picture_is_turned_upright(form: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = written(smooth(), form, exif=exif)
    expected = np.asarray(ImageOps.exif_transpose(by_pillow(file)))
    found = decode(file)
    assert found.shape == ((40, 24, 3) if orientation > 4 else (24, 40, 3))
    assert found.flags.c_contiguous
    assert np.array_equal(found, expected)
    assert probe(file) == found.shape[1::-1]


@pytest.mark.parametrize("orientation", [0, 9, 65_535])
def test_an_orientation_that_is_none_is_ignored(orientation: int) -> None:
    file = png(2, 1, bytes(7), before=png_chunk(b"eXIf", exif_tiff(orientation)))
    assert decode(file).shape == (1, 2, 3)


@pytest.mark.parametrize("exif", [b"", b"II", exif_tiff(6)[:-9], b"MM\0*\xff\xff\xff\xff", b"II*\0\0\0\0\0"])
def test_broken_exif_is_ignored(exif: bytes) -> None:
    assert decode(png(2, 1, bytes(7), before=png_chunk(b"eXIf", exif))).shape == (1, 2, 3)
    jpeg = written(smooth(2, 1), "JPEG")
    app1 = b"\xff\xe1" + (len(exif) + 8).to_bytes(2, "big") + b"Exif\0\0" + exif
    assert decode(jpeg[:2] + app1 + jpeg[2:]).shape == (1, 2, 3)


def test_exif_of_either_byte_order_is_read() -> None:
    for order in "<>":
        assert decode(png(2, 1, bytes(7), before=png_chunk(b"eXIf", exif_tiff(6, order=order)))).shape == (2, 1, 3)


# Limits.


@pytest.mark.parametrize("form", FORMATS)
def test_the_pixel_limit_is_exact(form: str) -> None:
    file = written(smooth(40, 24), form)
    assert decode(file, limits=ImageLimits(max_pixels=960)).shape == (24, 40, 3)
    with pytest.raises(TooManyPixels, match="40x24") as caught:
        decode(file, limits=ImageLimits(max_pixels=959))
    assert (caught.value.limit, caught.value.actual) == (959, 960)
    with pytest.raises(TooManyPixels, match="40x24"):
        probe(file, limits=ImageLimits(max_pixels=959))


@pytest.mark.parametrize("form", FORMATS)
def test_the_side_limit_is_exact(form: str) -> None:
    for width, height in ((40, 24), (24, 40)):
        file = written(smooth(width, height), form)
        assert decode(file, limits=ImageLimits(max_side=40)).shape == (height, width, 3)
        with pytest.raises(SideTooLong) as caught:
            decode(file, limits=ImageLimits(max_side=39))
        assert (caught.value.limit, caught.value.actual) == (39, 40)


def test_the_scan_limit_is_exact() -> None:
    file = written(smooth(), "JPEG", progressive=True)
    assert decode(file, limits=ImageLimits(max_scans=10)).shape == (24, 40, 3)
    with pytest.raises(TooManyScans) as caught:
        decode(file, limits=ImageLimits(max_scans=9))
    assert caught.value.limit == 9


@pytest.mark.parametrize("limits", [{"max_pixels": 0}, {"max_side": 0}, {"max_scans": -1}, {"max_pixels": 1 << 30}])
def test_limits_that_cannot_be_are_refused(limits: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="must be"):
        ImageLimits(**limits)


def test_the_limits_of_one_call_are_not_those_of_another() -> None:
    file = written(smooth(), "PNG")

    def is_taken(max_pixels: int) -> bool:
        try:
            decode(file, limits=ImageLimits(max_pixels=max_pixels))
        except TooManyPixels:
            return False
        return True

    wanted = [960, 959] * 50
    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(is_taken, wanted)) == [limit == 960 for limit in wanted]


@pytest.mark.parametrize("form", FORMATS)
def test_extreme_shapes_are_read(form: str) -> None:
    for width, height in ((1, 1), (1, 16_000), (16_000, 1)):
        assert decode(written(np.full((height, width, 3), 9, np.uint8), form)).shape == (height, width, 3)
    if form not in ("WEBP", "AVIF"):
        assert decode(written(np.full((20_000, 1, 3), 9, np.uint8), form)).shape == (20_000, 1, 3)


# Animation.


@pytest.mark.parametrize("form", ["GIF", "WEBP", "PNG", "TIFF", "AVIF"])
def test_more_than_one_frame_is_refused(form: str) -> None:
    frames = [Image.fromarray(noise(24, 24)), Image.fromarray(255 - noise(24, 24))]
    file = written(frames[0], form, save_all=True, append_images=frames[1:])
    with pytest.raises(AnimatedImage, match="send one"):
        decode(file)
    with pytest.raises(AnimatedImage, match="send one"):
        probe(file)
    assert decode(written(frames[0], form, save_all=True)).shape == (24, 24, 3)


def test_a_tiff_with_its_thumbnail_is_one_picture() -> None:
    pages = [Image.fromarray(noise()), Image.fromarray(noise(8, 8))]
    file = io.BytesIO()
    pages[1].encoderinfo = {"tiffinfo": {254: 1}}
    pages[0].save(file, "TIFF", save_all=True, append_images=pages[1:])
    assert np.array_equal(decode(file.getvalue()), noise())


def test_bytes_after_the_picture_are_ignored() -> None:
    for form in ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP"):
        file = written(noise(), form)
        assert np.array_equal(decode(file + b"\0" * 100), decode(file))
        assert np.array_equal(decode(file + file), decode(file))


@pytest.mark.parametrize(
    ("tags", "what"), [({259: 6}, "method 6"), ({259: 34_925}, "method 34925"), ({256: 0}, "no pixels")]
)
def test_a_tiff_that_is_not_read_is_refused_by_name(tags: Tags, what: str) -> None:
    grey: Tags = {256: 4, 257: 4, 258: 8, 259: 1, 262: 1}
    assert decode(tiff(grey, bytes(16))).shape == (4, 4)
    with pytest.raises(UndecodableImage, match=what):
        decode(tiff(grey | tags, bytes(16)))


# Files without their end.


@pytest.mark.parametrize("trailer", [b"", b"SEFT\xff\xe1\xff\xff", noise(40, 24).tobytes()])
@pytest.mark.parametrize("options", [{}, {"progressive": True}])
def test_a_jpeg_that_lacks_only_its_end_marker_is_whole(trailer: bytes, options: dict[str, Any]) -> None:
    file = written(smooth(), "JPEG", **options)
    if trailer and options:
        trailer = trailer[:4]  # a progressive picture's last scan is not known to be the last
    assert np.array_equal(decode(file[:-2] + trailer), decode(file))


def test_a_png_that_lacks_its_end_is_whole() -> None:
    file = written(noise(), "PNG")
    whole = decode(file)
    for length in (len(file) - 1, len(file) - 12, len(file) - 14, len(file) - 16):  # IEND, then the last CRC
        assert np.array_equal(decode(file[:length]), whole)
    for length in (len(file) - 40, len(file) // 2):
        with pytest.raises(UndecodableImage):
            decode(file[:length])


def test_a_gif_that_lacks_its_end_is_whole() -> None:
    file = written(Image.fromarray(smooth()).quantize(), "GIF")
    whole = decode(file)
    for length in (len(file) - 1, len(file) - 2):  # its trailer, then the terminator of its data
        assert np.array_equal(decode(file[:length]), whole)
    for length in (len(file) - 40, len(file) // 2):
        with pytest.raises(UndecodableImage):
            decode(file[:length])


def test_a_gif_without_a_screen_has_the_size_of_its_picture() -> None:
    file = written(Image.fromarray(smooth()).quantize(), "GIF")
    assert np.array_equal(decode(file[:6] + bytes(4) + file[10:]), decode(file))
    assert probe(file[:6] + bytes(4) + file[10:]) == (40, 24)
