"""EXIF orientation of pixels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

Sample = TypeVar("Sample", bound=np.generic)

_TRANSFORMS: dict[int, Callable[[NDArray[Any]], NDArray[Any]]] = {
    1: lambda pixels: pixels,
    2: np.fliplr,
    3: lambda pixels: np.rot90(pixels, 2),
    4: np.flipud,
    5: lambda pixels: np.swapaxes(pixels, 0, 1),
    6: lambda pixels: np.rot90(pixels, -1),
    7: lambda pixels: np.swapaxes(np.rot90(pixels, 2), 0, 1),
    8: np.rot90,
}


def upright(pixels: NDArray[Sample], orientation: int) -> NDArray[Sample]:
    """Apply an EXIF orientation (1-8) to [h, w] or [h, w, 3] samples."""
    return np.ascontiguousarray(_TRANSFORMS[orientation](pixels))


def swaps_sides(orientation: int) -> bool:
    """True if the orientation exchanges width and height."""
    return orientation >= 5
