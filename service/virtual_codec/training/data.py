"""Pictures to train on: a folder of images in memory, and crops of them that depend on seed and step alone."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Final, final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from virtual_codec import bitstream, images
from virtual_codec.errors import BadInput, BadTrainingData

_SUFFIXES: Final = {".png", ".webp", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".avif"}
_HELD_OUT_EVERY: Final = 16

# Mean of the luma table -> how many times to reduce: libjpeg's qualities 95, 90, 82, 70 and below.
_REDUCTIONS: Final = ((6.0, 1.5), (12.0, 2.0), (21.5, 2.5), (35.0, 3.0), (float("inf"), 4.0))


@final
class Pictures:
    """All images of a folder, decoded once; every sixteenth by name is held out for validation.

    What was compressed before is reduced until its artefacts vanish, and counted in one warning with the files that
    cannot be read or are smaller than `smallest` pixels on a side. Raises `BadTrainingData` when the folder holds
    nothing to train on.
    """

    def __init__(self, folder: Path, *, smallest: int) -> None:
        if not folder.is_dir():
            raise BadTrainingData(f"{folder} is not a folder; give one that holds images")
        paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in _SUFFIXES)
        if not paths:
            raise BadTrainingData(f"{folder} holds no images ({', '.join(sorted(_SUFFIXES))})")
        loaded: list[NDArray[np.uint8]] = []
        unreadable, small, reduced = 0, 0, 0
        for path in paths:
            try:
                source = path.read_bytes()
                pixels = images.decode(source)
                factor = reduction_of(source)
            except (BadInput, OSError):
                unreadable += 1
                continue
            if factor > 1:
                reduced += 1
                pixels = shrunk(pixels, factor)
            if min(pixels.shape[:2]) < smallest:
                small += 1
                continue
            loaded.append(pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, axis=2))
        if unreadable or small or reduced:
            warnings.warn(
                f"{folder}: left out {unreadable} unreadable files and {small} images under {smallest} pixels; "
                f"{reduced} images compressed with losses were reduced, to hide their artefacts",
                stacklevel=2,
            )
        if len(loaded) < 2:
            raise BadTrainingData(f"{folder} holds {len(loaded)} usable images of at least {smallest} pixels; need 2")
        self.held_out = loaded[::_HELD_OUT_EVERY]
        self.train = [pixels for index, pixels in enumerate(loaded) if index % _HELD_OUT_EVERY]

    def crop(
        self, random: np.random.Generator, size: int, *, scale_jitter: float = 1.0, enlargement: float = 1.0
    ) -> NDArray[np.uint8]:
        """A random square of the training images, flipped and turned at random: [size, size, 3].

        With `scale_jitter` above 1 half of the squares are up to so many times larger and reduced to `size`; with
        `enlargement` above 1 half are up to so many times smaller and enlarged: softer, as many photographs are.
        """
        picture = self.train[random.integers(len(self.train))]
        if enlargement > 1 and random.random() < 0.5:
            side = round(size / random.uniform(1, enlargement))
            small = Image.fromarray(_square(random, picture, side))
            return np.asarray(small.resize((size, size), Image.Resampling.BICUBIC))
        if scale_jitter > 1 and random.random() < 0.5:
            largest = min(*picture.shape[:2], round(size * scale_jitter))
            side = int(random.integers(size, largest + 1))
            return shrunk(_square(random, picture, side), side / size)
        return _square(random, picture, size)

    def held_out_crops(self, size: int, most: int) -> list[NDArray[np.uint8]]:
        """The middles of the held-out images: at most `most` squares [size, size, 3], always the same."""
        crops = []
        for picture in self.held_out[:most]:
            top, left = (picture.shape[0] - size) // 2, (picture.shape[1] - size) // 2
            crops.append(np.ascontiguousarray(picture[top : top + size, left : left + size]))
        return crops


def reduction_of(source: bytes) -> float:
    """How many times to reduce an image file so that what its compression did is hidden; 1 where nothing was lost.

    JPEGs are judged by their luma tables, as libjpeg's quality would be; WebP and AVIF say too little of themselves.
    """
    if source[:2] == b"\xff\xd8":
        tables = bitstream.layout(source).tables
        if not tables:  # a lossless process
            return 1.0
        return next(factor for coarsest, factor in _REDUCTIONS if tables[0].mean() <= coarsest)
    is_lossy_webp = source[:4] == b"RIFF" and source[8:12] == b"WEBP" and b"VP8 " in source[12:4096]
    is_avif = source[4:8] == b"ftyp"
    return 2.0 if is_lossy_webp or is_avif else 1.0


def shrunk(pixels: NDArray[np.uint8], factor: float) -> NDArray[np.uint8]:
    """An image so many times smaller, by Lanczos."""
    height, width = (max(1, round(side / factor)) for side in pixels.shape[:2])
    return np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.LANCZOS))


def _square(random: np.random.Generator, picture: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    top = random.integers(picture.shape[0] - size + 1)
    left = random.integers(picture.shape[1] - size + 1)
    square = picture[top : top + size, left : left + size]
    turned = np.rot90(square, k=int(random.integers(4)))
    return np.ascontiguousarray(turned[:, ::-1] if random.random() < 0.5 else turned)
