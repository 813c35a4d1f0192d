"""Pictures that tests make for themselves: smooth, detailed, and like nothing in particular."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def scene(height: int, width: int, *, seed: int = 0) -> NDArray[np.uint8]:
    """Smooth colour fields with edges and a little noise: [height, width, 3]."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width].astype(np.float64) / 32
    planes = []
    for _ in range(3):
        a, b, c = random.uniform(0.3, 2.0, 3)
        plane = 128 + 60 * np.sin(a * x + c) * np.cos(b * y) + 30 * ((x * a + y * b) % 3 > 1.5)
        planes.append(plane + random.normal(0, 3, plane.shape))
    picture: NDArray[np.uint8] = np.clip(np.rint(np.stack(planes, axis=2)), 0, 255).astype(np.uint8)
    return picture


def saved(pixels: NDArray[np.uint8], kind: str = "PNG", **options: Any) -> bytes:
    """The bytes of a picture in one of Pillow's formats."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind, **options)
    return file.getvalue()


def opened(data: bytes) -> NDArray[np.uint8]:
    """The pixels of an image file."""
    return np.asarray(Image.open(io.BytesIO(data)))
