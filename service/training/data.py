"""Pictures to train on: a folder of images in memory, and crops of them that depend on seed and step alone."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Final, final

import numpy as np
from numpy.typing import NDArray

from service import images
from service.errors import BadInput, BadTrainingData

_SUFFIXES: Final = {".png", ".webp", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".avif"}
_HELD_OUT_EVERY: Final = 16


@final
class Pictures:
    """All images of a folder, decoded once; every sixteenth by name is held out for validation.

    Raises `BadTrainingData` when the folder holds nothing to train on; files that cannot be read or are smaller than
    `smallest` pixels on a side are counted in one warning.
    """

    def __init__(self, folder: Path, *, smallest: int) -> None:
        if not folder.is_dir():
            raise BadTrainingData(f"{folder} is not a folder; give one that holds images")
        paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in _SUFFIXES)
        if not paths:
            raise BadTrainingData(f"{folder} holds no images ({', '.join(sorted(_SUFFIXES))})")
        loaded: list[NDArray[np.uint8]] = []
        unreadable, small = 0, 0
        for path in paths:
            try:
                pixels = images.decode(path.read_bytes())
            except (BadInput, OSError):
                unreadable += 1
                continue
            if min(pixels.shape[:2]) < smallest:
                small += 1
                continue
            loaded.append(pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, axis=2))
        if unreadable or small:
            warnings.warn(
                f"{folder}: left out {unreadable} unreadable files and {small} images under {smallest} pixels",
                stacklevel=2,
            )
        if len(loaded) < 2:
            raise BadTrainingData(f"{folder} holds {len(loaded)} usable images of at least {smallest} pixels; need 2")
        self.held_out = loaded[::_HELD_OUT_EVERY]
        self.train = [pixels for index, pixels in enumerate(loaded) if index % _HELD_OUT_EVERY]

    def crop(self, random: np.random.Generator, size: int) -> NDArray[np.uint8]:
        """A random square of the training images, flipped and turned at random: [size, size, 3]."""
        picture = self.train[random.integers(len(self.train))]
        top = random.integers(picture.shape[0] - size + 1)
        left = random.integers(picture.shape[1] - size + 1)
        square = picture[top : top + size, left : left + size]
        turned = np.rot90(square, k=int(random.integers(4)))
        return np.ascontiguousarray(turned[:, ::-1] if random.random() < 0.5 else turned)

    def held_out_crops(self, size: int, most: int) -> list[NDArray[np.uint8]]:
        """The middles of the held-out images: at most `most` squares [size, size, 3], always the same."""
        crops = []
        for picture in self.held_out[:most]:
            top, left = (picture.shape[0] - size) // 2, (picture.shape[1] - size) // 2
            crops.append(np.ascontiguousarray(picture[top : top + size, left : left + size]))
        return crops
