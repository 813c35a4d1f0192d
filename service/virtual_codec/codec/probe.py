"""Probe of an image: a small picture of sample tiles, on which the search tries its candidates."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

# 10 tiles of 96 pixels estimate the PSNR of 960x640 pictures, each made of crops of six photographs, with a root mean
# square error of 0.15 and 0.2 dB (quality 10 at scale 2, 30 at scale 1); 6 tiles of 128 with twice that error.
_TILE_SIDE: Final = 96  # pixels; whole MCUs at scale 2
_MIN_TILES: Final = 10
_MAX_TILES: Final = 24
_IMAGE_TILES_PER_PROBE_TILE: Final = 6  # between the bounds above
_TILE_MARGIN: Final = 8  # pixels along each edge that are not measured, because neighbouring tiles affect them
_MIN_SIZE_RATIO: Final = 3  # an image with fewer tiles than this many times the probe's is its own probe

Area = tuple[slice, slice]


@dataclass(frozen=True, kw_only=True)
class Probe:
    """Picture [h, w, 3] or [h, w] of tiles of an image side by side.

    Errors are measured in `areas`, each weighted by `weights`, the share of the image that its tile represents.
    """

    pixels: NDArray[np.uint8]
    areas: tuple[Area, ...]
    weights: tuple[float, ...]


def probe_of(pixels: NDArray[np.uint8]) -> Probe | None:
    """Probe of an image, [H, W, 3] or [H, W]: up to 24 of its tiles. None if the image is not much larger.

    The tiles are a stratified sample by activity, the root mean square difference of neighbouring samples: the image's
    tiles are sorted by activity and split into as many groups as the probe has tiles. Each group contributes the tile
    closest to its mean.
    """
    height, width = (min(_TILE_SIDE, side) for side in pixels.shape[:2])
    rows, columns = pixels.shape[0] // height, pixels.shape[1] // width
    count = min(_MAX_TILES, max(_MIN_TILES, rows * columns // _IMAGE_TILES_PER_PROBE_TILE))
    if rows * columns < _MIN_SIZE_RATIO * count:
        return None
    activity = _activity(pixels, height, width)
    groups = np.array_split(np.argsort(activity, kind="stable"), count)
    chosen = [group[np.argmin(np.abs(activity[group] - activity[group].mean()))] for group in groups]
    tiles = [
        pixels[row * height : (row + 1) * height, column * width : (column + 1) * width]
        for row, column in (divmod(int(tile), columns) for tile in chosen)
    ]
    return _joined_tiles(tiles, tuple(len(group) / len(activity) for group in groups))


def _activity(pixels: NDArray[np.uint8], height: int, width: int) -> NDArray[np.float64]:
    """Activity of the tiles of an image, row by row, from its grey or green samples."""
    rows, columns = pixels.shape[0] // height, pixels.shape[1] // width
    samples = pixels if pixels.ndim == 2 else pixels[..., 1]
    values = np.empty(rows * columns)
    for row in range(rows):
        band = samples[row * height : (row + 1) * height, : columns * width].astype(np.float32)
        for column, tile in enumerate(np.array_split(band, columns, axis=1)):
            squares = [np.square(np.diff(tile, axis=axis)).mean() for axis in (0, 1) if tile.shape[axis] > 1]
            values[row * columns + column] = math.sqrt(sum(squares))
    return values


def _joined_tiles(tiles: list[NDArray[np.uint8]], weights: tuple[float, ...]) -> Probe:
    """Tiles of one size as one picture. Edges lie between MCUs unless a tile is as high or wide as the image."""
    height, width = tiles[0].shape[:2]
    in_column = len(tiles) if width < _TILE_SIDE else 1 if height < _TILE_SIDE else _row_count(len(tiles))
    in_row = len(tiles) // in_column
    bands = (np.concatenate(tiles[row * in_row : (row + 1) * in_row], axis=1) for row in range(in_column))
    tops, lefts = (_inner_slices(side, count) for side, count in ((height, in_column), (width, in_row)))
    return Probe(
        pixels=np.ascontiguousarray(np.concatenate(list(bands), axis=0)),
        areas=tuple((top, left) for top in tops for left in lefts),
        weights=weights,
    )


def _row_count(count: int) -> int:
    """Greatest number of rows, at most the number of columns, that `count` tiles fill."""
    return max(rows for rows in range(1, math.isqrt(count) + 1) if count % rows == 0)


def _inner_slices(side: int, count: int) -> list[slice]:
    """Part of each tile that is not near an edge between two tiles."""
    ring = _TILE_MARGIN if side == _TILE_SIDE else 0
    return [slice(place * side + ring, (place + 1) * side - ring) for place in range(count)]
