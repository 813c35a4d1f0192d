"""Tiles of large pictures: memory is bounded for any picture, and the result equals the untiled one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Tile:
    """Window of the input, and the part of it whose output is kept. All in pixels of the input."""

    top: int
    bottom: int
    left: int
    right: int
    keep_top: int
    keep_bottom: int
    keep_left: int
    keep_right: int


def tiles(height: int, width: int, *, core: int, halo: int, multiple: int) -> Iterator[Tile]:
    """Cover [height, width] with tiles that keep at most about `core` pixels a side and read a halo of `halo` pixels.

    There is no halo at the picture's borders, where a network sees the same border as in the untiled picture.
    The tiled result equals the untiled one if `halo` is at least the network's radius. Origins are multiples of
    `multiple`.
    """
    for keep_top, keep_bottom in _spans(height, core, multiple):
        for keep_left, keep_right in _spans(width, core, multiple):
            yield Tile(
                top=max(0, keep_top - halo),
                bottom=min(height, keep_bottom + halo),
                left=max(0, keep_left - halo),
                right=min(width, keep_right + halo),
                keep_top=keep_top,
                keep_bottom=keep_bottom,
                keep_left=keep_left,
                keep_right=keep_right,
            )


def _spans(length: int, core: int, multiple: int) -> list[tuple[int, int]]:
    """Spans of equal length, so that most tiles of a picture have one shape and can share a batch."""
    count = -(-length // core)
    span = -(-length // count)
    span = -(-span // multiple) * multiple
    return [(start, min(length, start + span)) for start in range(0, length, span)]
