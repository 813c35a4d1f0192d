"""AV1 sequence header (AV1 Bitstream & Decoding Process Specification, 5.5)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from virtual_codec.bitstream._bits import BitReader

SELECT: Final = 2  # each frame states it


@dataclass(frozen=True, kw_only=True)
class SequenceHeader:
    """Fields of a sequence header that the frame header depends on."""

    is_reduced: bool
    width: int
    height: int
    size_bits: tuple[int, int]
    frame_id_bits: int
    order_hint_bits: int
    superblock: int
    has_superres: bool
    screen_content: int
    integer_mv: int
    colour: ColourConfig


@dataclass(frozen=True, kw_only=True)
class ColourConfig:
    """Planes of the pictures, and whether the chroma planes have separate quantisers.

    `points` are the code points of primaries and transfer function (ITU-T H.273); 2 is unspecified.
    """

    points: tuple[int, int]
    is_grey: bool = False
    is_subsampled: bool = False
    separate_chroma: bool = False


def read_sequence(bits: BitReader) -> SequenceHeader | None:
    """Sequence header; None for one with timing information, which only videos have. Raises `EndOfBits`."""
    profile = bits.read(3)
    bits.read(1)  # still picture
    is_reduced = bits.flag()
    if is_reduced:
        bits.read(5)
    elif not _skip_operating_points(bits):
        return None
    size_bits = bits.read(4) + 1, bits.read(4) + 1
    width, height = bits.read(size_bits[0]) + 1, bits.read(size_bits[1]) + 1
    frame_id_bits = bits.read(4) + bits.read(3) + 3 if not is_reduced and bits.flag() else 0
    superblock = 128 if bits.flag() else 64
    bits.read(2)  # intra tools
    screen_content, integer_mv, order_hint_bits = (SELECT, SELECT, 0) if is_reduced else _read_tools(bits)
    has_superres = bits.flag()
    bits.read(2)  # loop filters
    return SequenceHeader(
        is_reduced=is_reduced,
        width=width,
        height=height,
        size_bits=size_bits,
        frame_id_bits=frame_id_bits,
        order_hint_bits=order_hint_bits,
        superblock=superblock,
        has_superres=has_superres,
        screen_content=screen_content,
        integer_mv=integer_mv,
        colour=_read_colour(bits, profile),
    )


def _skip_operating_points(bits: BitReader) -> bool:
    """Skip the operating points; False if timing information precedes them."""
    if bits.flag():
        return False
    has_delay = bits.flag()
    for _ in range(bits.read(5) + 1):
        bits.read(12)
        if bits.read(5) > 7:
            bits.read(1)
        if has_delay and bits.flag():
            bits.read(4)
    return True


def _read_tools(bits: BitReader) -> tuple[int, int, int]:
    """Screen content tools, whole motion vectors, bits of the order hint."""
    bits.read(4)  # inter tools
    has_order = bits.flag()
    if has_order:
        bits.read(2)
    screen_content = SELECT if bits.flag() else bits.read(1)
    integer_mv = SELECT
    if screen_content:
        integer_mv = SELECT if bits.flag() else bits.read(1)
    return screen_content, integer_mv, bits.read(3) + 1 if has_order else 0


def _read_colour(bits: BitReader, profile: int) -> ColourConfig:
    has_high_depth = bits.flag()
    has_twelve_bits = profile == 2 and has_high_depth and bits.flag()
    is_grey = profile != 1 and bits.flag()
    points = (bits.read(8), bits.read(8), bits.read(8)) if bits.flag() else (2, 2, 2)
    if is_grey:
        bits.read(1)  # range
        return ColourConfig(points=points[:2], is_grey=True)
    if points == (1, 13, 0):  # RGB
        return ColourConfig(points=points[:2], separate_chroma=bits.flag())
    bits.read(1)  # range
    across, down = profile != 1, profile == 0
    if has_twelve_bits:
        across = bits.flag()
        down = across and bits.flag()
    if across and down:
        bits.read(2)  # place of the chroma samples
    return ColourConfig(points=points[:2], is_subsampled=across, separate_chroma=bits.flag())
