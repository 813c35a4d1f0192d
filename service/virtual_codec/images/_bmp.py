"""BMP files: their kinds by depth, compression and bit masks, and the colour space in their headers."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from virtual_codec.errors import UndecodableImage
from virtual_codec.images._colour_space import D65, ColourSpace, colour_space, power
from virtual_codec.images._limits import ImageLimits
from virtual_codec.images._stripped import StrippedFile
from virtual_codec.images._wide import WideSamples

# Run lengths are decoded in Python: half a second a MiB, and a second for 8 million pixels of short lines.
_MAX_RUN_LENGTH_BYTES, _MAX_RUN_LENGTH_PIXELS = 1 << 20, 8_000_000
_RAW, _RUN_LENGTHS, _MASKS = 0, (1, 2), (3, 6)
_OS2_HEADERS: Final = (12, 16, 64)
_HEADERS: Final = (12, 40, 52, 56, 64, 108, 124)
_CALIBRATED, _EMBEDDED = b"\0\0\0\0", b"DEBM"  # bV5CSType in the byte order of the file
_BAND_ROWS: Final = 256


def strip(file: bytes, limits: ImageLimits) -> StrippedFile:
    """Check a BMP's sides, its kind and the cost of its run lengths; the file is not changed."""
    if len(file) < 26:
        raise UndecodableImage("the BMP is truncated")
    header = _u32(file, 14)
    if header == 12:
        width, height = _u16(file, 18), _u16(file, 20)
        limits.check(width, height)
        return StrippedFile(file=file, size=(width, height))
    width, height = _signed(file, 18), abs(_signed(file, 22))
    limits.check(width, height)
    if len(file) < 14 + header:
        raise UndecodableImage("the BMP is truncated")
    bits, compression = _u16(file, 28), _u32(file, 30)
    is_masked = compression in _MASKS and header not in _OS2_HEADERS
    if (
        header not in _HEADERS
        or bits not in (1, 4, 8, 16, 24, 32)
        or not (compression == _RAW or compression in _RUN_LENGTHS or is_masked)
    ):
        raise UndecodableImage(
            f"this is a {bits}-bit BMP of compression {compression} and a header of {header} bytes, which is not read "
            "here; save it uncompressed with 8, 24 or 32 bits"
        )
    if compression in _RUN_LENGTHS and (len(file) > _MAX_RUN_LENGTH_BYTES or width * height > _MAX_RUN_LENGTH_PIXELS):
        raise UndecodableImage("the BMP is run-length coded and large; save it uncompressed")
    return StrippedFile(
        file=file,
        size=(width, height),
        profile=_profile(file, header, limits),
        space=_calibrated_space(file, header),
        wide=_masked_reader(file, header, width, height, bits) if is_masked else None,
    )


def _masked_reader(file: bytes, header: int, width: int, height: int, bits: int) -> Callable[[], WideSamples] | None:
    """Reader of pixels by bit masks; None for masks of zero, which the decoder treats as the usual ones."""
    masks = [_u32(file, 54 + 4 * index) for index in range(4)]
    if header < 56 and _u32(file, 30) != 6:
        masks[3] = 0
    if not any(masks[:3]):
        return None
    shifts = [(mask & -mask).bit_length() - 1 for mask in masks]
    mosts = [mask >> max(0, shift) for mask, shift in zip(masks, shifts, strict=True)]
    is_contiguous = all(most & (most + 1) == 0 for most in mosts)
    overlap = sum(masks) != masks[0] | masks[1] | masks[2] | masks[3]
    if bits not in (16, 32) or not all(masks[:3]) or not is_contiguous or overlap or max(masks) >> bits:
        raise UndecodableImage(
            f"this is a {bits}-bit BMP of the bit masks {', '.join(f'{mask:x}' for mask in masks)}, which is not read "
            "here; save it with 24 bits"
        )
    stride = (width * bits + 31) // 32 * 4
    start = _u32(file, 10)
    if start + stride * height > len(file):
        raise UndecodableImage("the BMP is truncated")
    rows = np.frombuffer(file, np.uint8, stride * height, start).reshape(height, stride)
    pixels = rows[:, : width * bits // 8]
    if _signed(file, 22) > 0:  # from the bottom up
        pixels = pixels[::-1]

    def words(top: int) -> NDArray[np.uint32]:
        band = np.ascontiguousarray(pixels[top : top + _BAND_ROWS])
        return band.view(f"<u{bits // 8}").astype(np.uint32)

    def read() -> WideSamples:
        tops = range(0, height, _BAND_ROWS)
        # Many writers leave the alpha zero everywhere for an opaque picture.
        has_alpha = masks[3] != 0 and any(bool((words(top) & np.uint32(masks[3])).any()) for top in tops)

        def bands() -> Iterator[NDArray[np.uint16]]:
            for top in tops:
                band = words(top)
                samples = [
                    ((band & np.uint32(mask)) >> np.uint32(shift)).astype(np.float64) * (65_535 / most)
                    for mask, shift, most in zip(masks, shifts, mosts, strict=True)
                    if mask
                ]
                yield np.rint(np.stack(samples, axis=2)).astype(np.uint16)

        return WideSamples(width=width, height=height, colours="rgb", bands=bands(), has_alpha=has_alpha)

    return read


def _profile(file: bytes, header: int, limits: ImageLimits) -> bytes | None:
    """ICC profile inside a BMP of version 5. A linked profile, a path on the writer's machine, is never opened."""
    if header < 124 or file[70:74] != _EMBEDDED:
        return None
    offset, size = 14 + _u32(file, 126), _u32(file, 130)
    limits.check_profile(size)
    return file[offset : offset + size]


def _calibrated_space(file: bytes, header: int) -> ColourSpace | None:
    """Colour space of the endpoints and gammas in the header, if they are given and valid."""
    if header < 108 or file[70:74] != _CALIBRATED:
        return None
    ends = np.array(struct.unpack_from("<9I", file, 74)).reshape(3, 3) / (1 << 30)
    gammas = np.array(struct.unpack_from("<3I", file, 110)) / (1 << 16)
    if not (ends.sum(axis=1).all() and ends[:, 1].all() and ((gammas > 0.2) & (gammas < 5)).all()):
        return None
    red, green, blue = (
        (float(x / total), float(y / total)) for (x, y, _), total in zip(ends, ends.sum(1), strict=True)
    )
    try:
        return colour_space((red, green, blue, D65), power(float(gammas.mean())))
    except ValueError:
        return None


def _u16(file: bytes, offset: int) -> int:
    return int.from_bytes(file[offset : offset + 2], "little")


def _u32(file: bytes, offset: int) -> int:
    return int.from_bytes(file[offset : offset + 4], "little")


def _signed(file: bytes, offset: int) -> int:
    return int.from_bytes(file[offset : offset + 4], "little", signed=True)
