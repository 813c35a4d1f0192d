"""SSIMULACRA2 by the optional package of that name. It is slow, and measured only on request."""

from __future__ import annotations

import importlib
import importlib.util
import io
from typing import Final

import numpy as np
from PIL import Image

from virtual_codec.metrics import Pixels

MIN_SIDE: Final = 8  # of its smallest scale
MISSING: Final = "SSIMULACRA2 is missing: pip install 'virtual-codec[ssimulacra2]' brings it."


def is_available() -> bool:
    """True if the package is installed."""
    return importlib.util.find_spec("ssimulacra2") is not None


def ssimulacra2(original: Pixels, restored: Pixels) -> float | None:
    """SSIMULACRA2 score: 100 for equal pictures, about 90, 70, 50 and 30 for very high to low quality, or below 0.

    Both [H, W, 3] or both [H, W]. None for a side under 8 pixels.
    """
    if min(original.shape[:2]) < MIN_SIDE:
        return None
    package = importlib.import_module("ssimulacra2")
    return float(package.compute_ssimulacra2(_file(original), _file(restored)))


def _file(pixels: Pixels) -> io.BytesIO:
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(file, "BMP")
    return file
