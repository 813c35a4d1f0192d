"""YCbCr to RGB with the same bits as libjpeg (jdcolor.c): JFIF's equations in 16-bit fixed point."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from virtual_codec.compiled_loops import compiled

_ROUNDING_HALF = 1 << 15
_RED, _BLUE, _GREEN_OF_RED, _GREEN_OF_BLUE = (int(factor * 65536 + 0.5) for factor in (1.402, 1.772, 0.71414, 0.34414))


def rgb_of(ycc: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """RGB samples of full-range YCbCr samples: [h, w, 3] -> [h, w, 3]."""
    rgb = np.empty(ycc.shape, np.uint8)
    _convert(ycc.reshape(-1, 3), rgb.reshape(-1, 3))
    return rgb


@compiled
def _convert(ycc: NDArray[np.uint8], rgb: NDArray[np.uint8]) -> None:
    for i in range(len(ycc)):
        luma, blue, red = int(ycc[i, 0]), int(ycc[i, 1]) - 128, int(ycc[i, 2]) - 128
        rgb[i, 0] = _clamp(luma + ((_RED * red + _ROUNDING_HALF) >> 16))
        rgb[i, 1] = _clamp(luma + ((-_GREEN_OF_BLUE * blue - _GREEN_OF_RED * red + _ROUNDING_HALF) >> 16))
        rgb[i, 2] = _clamp(luma + ((_BLUE * blue + _ROUNDING_HALF) >> 16))


@compiled
def _clamp(value: int) -> int:
    return min(max(value, 0), 255)
