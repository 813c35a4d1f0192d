"""Kinds of TIFF, BMP and PNG by depth, planes and masks: each is read rightly, or refused by its name."""

from __future__ import annotations

import struct
import zlib
from typing import Any, Literal

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests.images.pictures import by_pillow, noise, png_chunk, written
from virtual_codec.errors import UndecodableImage
from virtual_codec.images import decode

PICTURE = noise(40, 24)
RAW, DEFLATE = 1, 8
GREY, RGB, CMYK, LAB = 1, 2, 5, 8


def tiff_of(
    samples: NDArray[Any],
    photometric: int,
    *,
    order: Literal["<", ">"] = "<",
    planar: bool = False,
    compression: int = RAW,
    predictor: int = 1,
    more: dict[int, tuple[int, ...]] | None = None,
) -> bytes:
    """A TIFF of [H, W, C] samples of any type, in strips of ten rows, by hand."""
    height, width, count = samples.shape
    bits = 8 * samples.dtype.itemsize
    planes = [samples[..., [c]] for c in range(count)] if planar else [samples]
    strips = []
    for plane in planes:
        for top in range(0, height, 10):
            rows = plane[top : top + 10]
            if predictor == 2:
                rows = np.diff(rows, axis=1, prepend=np.zeros((len(rows), 1, rows.shape[2]), rows.dtype))
            data = rows.astype(rows.dtype.newbyteorder(order)).tobytes()
            strips.append(zlib.compress(data) if compression == DEFLATE else data)
    tags: dict[int, tuple[int, ...]] = {
        256: (width,),
        257: (height,),
        258: (bits,) * count,
        259: (compression,),
        262: (photometric,),
        277: (count,),
        278: (10,),
        284: (2 if planar else 1,),
        317: (predictor,),
        339: ({"u": 1, "i": 2, "f": 3}[samples.dtype.kind],) * count,
    } | (more or {})
    offsets, position = [], 8
    for strip in strips:
        offsets.append(position)
        position += len(strip)
    tags |= {273: tuple(offsets), 279: tuple(len(strip) for strip in strips)}
    values_at = position + 2 + 12 * len(tags) + 4
    entries = values = b""
    for tag, numbers in sorted(tags.items()):
        place = numbers[0] if len(numbers) == 1 else values_at + len(values)
        entries += struct.pack(f"{order}HHII", tag, 4, len(numbers), place)
        values += struct.pack(f"{order}{len(numbers)}I", *numbers) if len(numbers) > 1 else b""
    start = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", position)
    return start + b"".join(strips) + struct.pack(f"{order}H", len(tags)) + entries + bytes(4) + values


def widened(samples: NDArray[np.uint8], bits: int) -> NDArray[Any]:
    """The same colours in 8, 16 or 32 bits."""
    factor = {8: 1, 16: 0x0101, 32: 0x01010101}[bits]
    return (samples.astype(np.uint64) * factor).astype(f"u{bits // 8}")


@pytest.mark.parametrize("bits", [8, 16, 32])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("planar", [False, True])
@pytest.mark.parametrize(("compression", "predictor"), [(RAW, 1), (DEFLATE, 1), (DEFLATE, 2)])
def test_an_rgb_tiff_is_read_rightly(
    bits: int, order: Literal["<", ">"], planar: bool, compression: int, predictor: int
) -> None:
    if bits == 32 and predictor == 2 and order == ">":
        pytest.skip("one case of three orders is enough")
    file = tiff_of(
        widened(PICTURE, bits), RGB, order=order, planar=planar, compression=compression, predictor=predictor
    )
    assert np.array_equal(decode(file), PICTURE)


@pytest.mark.parametrize("bits", [8, 16, 32])
@pytest.mark.parametrize("photometric", [0, GREY])
def test_a_grey_tiff_is_read_rightly(bits: int, photometric: int) -> None:
    grey = PICTURE[..., :1]
    file = tiff_of(widened(255 - grey if photometric == 0 else grey, bits), photometric)
    assert np.array_equal(decode(file), grey[..., 0])


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("planar", [False, True])
def test_the_alpha_of_a_tiff_is_flattened(bits: int, planar: bool) -> None:
    samples = noise(40, 24, 4)
    colour, alpha = samples[..., :3].astype(float), samples[..., 3:] / 255
    file = tiff_of(widened(samples, bits), RGB, planar=planar, more={338: (2,)})
    assert np.abs(decode(file) - (255 + alpha * (colour - 255))).max() <= 1


@pytest.mark.parametrize("planar", [False, True])
def test_a_cmyk_tiff_of_16_bits_is_that_of_8(planar: bool) -> None:
    inks = noise(40, 24, 4)
    meant = decode(written(Image.fromarray(inks, "CMYK"), "TIFF"))
    assert np.array_equal(decode(tiff_of(widened(inks, 16), CMYK, planar=planar)), meant)


@pytest.mark.parametrize(
    ("file", "name"),
    [
        (tiff_of(PICTURE.astype(np.float32), RGB), "32-bit float RGB TIFF"),
        (tiff_of(PICTURE.astype(np.float16), RGB), "16-bit float RGB TIFF"),
        (tiff_of(PICTURE.astype(np.int16), RGB), "16-bit signed RGB TIFF"),
        (tiff_of(PICTURE[..., :1].astype(np.int8), GREY), "8-bit signed grey TIFF"),
        (tiff_of(PICTURE.astype(np.uint64), RGB), "64-bit RGB TIFF"),
        (tiff_of(noise(40, 24, 5), CMYK, more={338: (2,)}), "8-bit CMYK TIFF with alpha"),
        (tiff_of(widened(noise(40, 24, 2), 16), GREY, more={338: (2,)}), "16-bit grey TIFF with alpha"),
        (tiff_of(widened(PICTURE, 16), LAB), "16-bit Lab TIFF"),
        (tiff_of(PICTURE, 6), "8-bit YCbCr TIFF"),
        (tiff_of(PICTURE[..., :1], 32803), "8-bit raw camera TIFF"),
    ],
)
def test_other_kinds_of_tiff_are_refused_by_name(file: bytes, name: str) -> None:
    with pytest.raises(UndecodableImage, match=f"this is a {name}"):
        decode(file)


def bmp_of(words: NDArray[Any], masks: tuple[int, ...], *, header: int = 56) -> bytes:
    """A BMP by bit masks, from the bottom up, rows of whole words of 4 bytes."""
    height, width = words.shape
    data = np.ascontiguousarray(words[::-1]).tobytes()
    info = struct.pack("<IiiHHIIiiII", header, width, height, 1, 8 * words.dtype.itemsize, 3, len(data), 0, 0, 0, 0)
    info = (info + struct.pack(f"<{len(masks)}I", *masks)).ljust(max(header, 52), b"\0")
    return struct.pack("<2sIII", b"BM", 14 + len(info) + len(data), 0, 14 + len(info)) + info + data


@pytest.mark.parametrize(
    "masks", [(0xFF0000, 0xFF00, 0xFF, 0xFF000000), (0xFF, 0xFF0000, 0xFF00, 0), (0xFF000000, 0xFF, 0xFF00, 0xFF0000)]
)
@pytest.mark.parametrize("alpha", [0, 255])
def test_a_bmp_by_masks_is_read_rightly(masks: tuple[int, ...], alpha: int) -> None:
    samples = [*np.moveaxis(PICTURE, 2, 0), np.full((24, 40), alpha, np.uint8)]
    words = np.zeros((24, 40), np.uint32)
    for plane, mask in zip(samples, masks, strict=True):
        words |= plane.astype(np.uint32) * np.uint32((mask & -mask) if mask else 0)
    assert np.array_equal(decode(bmp_of(words, masks)), PICTURE)


def test_masks_of_ten_and_of_five_bits_are_read() -> None:
    ten = (PICTURE.astype(np.uint32) * 1023 + 127) // 255
    words = (ten[..., 0] << 20 | ten[..., 1] << 10 | ten[..., 2]).astype(np.uint32)
    assert np.array_equal(decode(bmp_of(words, (0x3FF << 20, 0x3FF << 10, 0x3FF, 0))), PICTURE)
    five = (PICTURE.astype(np.uint16) >> 3).astype(np.uint16)
    packed = five[..., 0] << 10 | five[..., 1] << 5 | five[..., 2]
    shown = decode(bmp_of(packed.astype(np.uint16), (0x7C00, 0x3E0, 0x1F), header=40))
    assert np.array_equal(shown, np.rint(five * (255 / 31)).astype(np.uint8))


@pytest.mark.parametrize("masks", [(0xFF00FF, 0xFF00, 0xFF, 0), (0xFF0000, 0xFF00, 0xFF00, 0), (0xFF0000, 0, 0xFF, 0)])
def test_masks_that_make_no_colours_are_refused(masks: tuple[int, ...]) -> None:
    with pytest.raises(UndecodableImage, match="bit masks"):
        decode(bmp_of(np.zeros((24, 40), np.uint32), masks))


@pytest.mark.parametrize("compression", [4, 5, 11])
def test_a_bmp_of_another_compression_is_refused_by_name(compression: int) -> None:
    file = bytearray(written(PICTURE, "BMP"))
    file[30:34] = struct.pack("<I", compression)
    with pytest.raises(UndecodableImage, match=f"24-bit BMP of compression {compression}"):
        decode(bytes(file))


@pytest.mark.parametrize("kind", [0, 2, 4, 6])
@pytest.mark.parametrize("is_interlaced", [False, True])
def test_a_png_of_16_bits_is_that_of_the_decoder_rounded(kind: int, is_interlaced: bool) -> None:
    """Any bytes are rows of some picture, by any of the five filters."""
    width, height, channels = 13, 11, {0: 1, 2: 3, 4: 2, 6: 4}[kind]
    random = np.random.default_rng(kind)
    adam7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
    rows = b""
    for left, top, step_x, step_y in adam7 if is_interlaced else ((0, 0, 1, 1),):
        across, down = -(-(width - left) // step_x), -(-(height - top) // step_y)
        for y in range(down if across > 0 else 0):
            rows += bytes([y % 5]) + random.bytes(2 * channels * across)
    header = struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, is_interlaced)
    file = b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + png_chunk(b"IDAT", zlib.compress(rows))
    file += png_chunk(b"IEND", b"")
    image = by_pillow(file)
    if kind in (4, 6):
        canvas = Image.new("RGBA", image.size, "white")
        canvas.alpha_composite(image.convert("RGBA"))
        meant = np.asarray(canvas.convert("RGB" if kind == 6 else "L")).astype(int)
    else:
        meant = np.asarray(image).astype(int) // (256 if kind == 0 else 1)
    assert np.abs(decode(file) - meant).max() <= 2
