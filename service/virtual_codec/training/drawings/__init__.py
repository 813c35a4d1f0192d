"""Synthetic drawings for training: text, interfaces, charts, maps, line art and pixel art, rendered by code.

A kind of drawing is a function of a random generator and a side in pixels. It returns a picture [side, side, 3] of
uint8. On one machine, equal generator states give equal pictures. Other machines may have other fonts.

To add a kind: a function in one of the private modules, and a row in `DRAWINGS`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from virtual_codec.training.drawings._figures import line_art, shapes, street_map
from virtual_codec.training.drawings._interfaces import chart, window
from virtual_codec.training.drawings._pixels import dithered, pixel_art, tile_map
from virtual_codec.training.drawings._text import page, scan, terminal

__all__ = ["DRAWINGS", "drawing"]

DRAWINGS: Final[dict[str, Callable[[np.random.Generator, int], NDArray[np.uint8]]]] = {
    "page": page,
    "terminal": terminal,
    "scan": scan,
    "window": window,
    "chart": chart,
    "line-art": line_art,
    "shapes": shapes,
    "map": street_map,
    "pixel-art": pixel_art,
    "tile-map": tile_map,
    "dithered": dithered,
}


def drawing(random: np.random.Generator, side: int) -> NDArray[np.uint8]:
    """Drawing of a random kind: [side, side, 3], uint8."""
    kinds = list(DRAWINGS.values())
    return kinds[int(random.integers(len(kinds)))](random, side)
