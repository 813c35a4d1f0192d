"""TIFF samples of 16 and 32 bits: the decoder inflates them as bytes, and this module assembles them."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from virtual_codec.images._pillow import load
from virtual_codec.images._tiff_directory import Entry, TiffReader, first_value
from virtual_codec.images._tiff_kinds import CMYK, RGB, WHITE_IS_ZERO, TiffKind
from virtual_codec.images._wide import WideSamples

_WIDTH, _HEIGHT, _ROWS_PER_STRIP, _TILE_WIDTH, _TILE_HEIGHT = 256, 257, 278, 322, 323
_STRIPS, _TILES = (273, 279), (324, 325)  # offsets, byte counts
_HORIZONTAL_DIFFERENCES: Final = 2


def read_wide(file: bytes, reader: TiffReader, entries: dict[int, Entry], kind: TiffKind) -> Callable[[], WideSamples]:
    """Reader of a TIFF's wide samples. Bad data raises the decoder's own errors."""
    width, height = (first_value(reader, entries, tag) for tag in (_WIDTH, _HEIGHT))
    colours = {RGB: "rgb", CMYK: "cmyk"}.get(kind.photometric, "grey")

    def bands() -> Iterator[NDArray[np.uint16]]:
        samples = np.concatenate(list(_planes(file, reader, entries, kind)), axis=2)
        yield 65_535 - samples if kind.photometric == WHITE_IS_ZERO else samples

    return lambda: WideSamples(
        width=width,
        height=height,
        colours=colours,  # type: ignore[arg-type]
        bands=bands(),
        has_alpha=kind.has_alpha,
        is_premultiplied=kind.is_premultiplied,
    )


def _planes(file: bytes, reader: TiffReader, entries: dict[int, Entry], kind: TiffKind) -> Iterator[NDArray[np.uint16]]:
    """Samples of each needed plane, [h, w, channels]; 32 bits are narrowed to their upper 16."""
    is_tiled = _TILES[0] in entries
    offsets, counts = (
        reader.values(entries[tag]) if tag in entries else () for tag in (_TILES if is_tiled else _STRIPS)
    )
    width = first_value(reader, entries, _WIDTH)
    bits, order = kind.bits[0], "<" if kind.order == "little" else ">"
    planes = len(kind.bits) if kind.is_planar else 1
    channels = 1 if kind.is_planar else len(kind.bits)
    pixel_bytes = channels * bits // 8
    pieces = len(offsets) // planes
    if not counts:  # they may be missing for uncompressed data
        counts = (first_value(reader, entries, _HEIGHT) * width * pixel_bytes,) * len(offsets)
    unit = first_value(reader, entries, _TILE_WIDTH) if is_tiled else width
    for plane in range(min(planes, kind.channels + kind.has_alpha)):
        part = slice(plane * pieces, (plane + 1) * pieces)
        raw = _bytes_of(file, reader, entries, kind, offsets[part], counts[part], pixel_bytes)
        samples = raw.view(f"{order}u{bits // 8}").astype(f"u{bits // 8}", copy=False)
        samples = samples.reshape(len(samples), width, channels)
        if kind.predictor == _HORIZONTAL_DIFFERENCES:
            samples = np.concatenate(
                [
                    np.cumsum(samples[:, left : left + unit], axis=1, dtype=samples.dtype)
                    for left in range(0, width, unit)
                ],
                axis=1,
            )
        yield samples if bits == 16 else (samples >> 16).astype(np.uint16)


def _bytes_of(
    file: bytes,
    reader: TiffReader,
    entries: dict[int, Entry],
    kind: TiffKind,
    offsets: tuple[int, ...],
    counts: tuple[int, ...],
    pixel_bytes: int,
) -> NDArray[np.uint8]:
    """Bytes of a plane [h, w * pixel_bytes], decoded as a wider grey picture of 8 bits."""
    tags: dict[int, tuple[int, ...]] = {
        _WIDTH: (first_value(reader, entries, _WIDTH) * pixel_bytes,),
        _HEIGHT: (first_value(reader, entries, _HEIGHT),),
        258: (8,),
        259: (kind.compression,),
        262: (1,),
        266: (kind.fill_order,),
        277: (1,),
    }
    if _TILES[0] in entries:
        tags[_TILE_WIDTH] = (first_value(reader, entries, _TILE_WIDTH) * pixel_bytes,)
        tags[_TILE_HEIGHT] = (first_value(reader, entries, _TILE_HEIGHT),)
        tags[_TILES[0]], tags[_TILES[1]] = offsets, counts
    else:
        tags[_ROWS_PER_STRIP] = (first_value(reader, entries, _ROWS_PER_STRIP) or tags[_HEIGHT][0],)
        tags[_STRIPS[0]], tags[_STRIPS[1]] = offsets, counts
    with Image.open(io.BytesIO(_with_directory(file, tags)), formats=("TIFF",)) as image:
        load(image, "TIFF")
        return np.array(image)


def _with_directory(file: bytes, tags: dict[int, tuple[int, ...]]) -> bytes:
    """TIFF (not BigTIFF) with a file's data, followed by a new directory whose values are all LONG.

    The header takes the first 8 bytes, where there is no data.
    """
    start = len(file) + len(file) % 2
    values_start = start + 2 + 12 * len(tags) + 4
    entries, values = b"", b""
    for tag, numbers in sorted(tags.items()):
        place = numbers[0] if len(numbers) == 1 else values_start + len(values)
        entries += struct.pack("<HHII", tag, 4, len(numbers), place)
        values += struct.pack(f"<{len(numbers)}I", *numbers) if len(numbers) > 1 else b""
    directory = struct.pack("<H", len(tags)) + entries + bytes(4) + values
    return struct.pack("<2sHI", b"II", 42, start) + file[8:] + bytes(len(file) % 2) + directory
