"""Training pictures: a folder of images in memory, and random crops of them."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from virtual_codec import bitstream, images
from virtual_codec.cores import usable_cores
from virtual_codec.errors import BadInput, BadTrainingData
from virtual_codec.training.dataset_manifest import DatasetEntry, read_manifests

_SUFFIXES: Final = {".png", ".webp", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".avif"}
_HELD_OUT_INTERVAL: Final = 16

# Mean of the luma table -> reduction factor: libjpeg's qualities 95, 90, 82, 70 and below.
_REDUCTIONS: Final = ((6.0, 1.5), (12.0, 2.0), (21.5, 2.5), (35.0, 3.0), (float("inf"), 4.0))


@final
class Pictures:
    """Images of a folder, decoded once, with a held-out part for validation and calibration.

    A MANIFEST.tsv (`virtual_codec.training.dataset_manifest`) says which images are held out. Without one, every
    sixteenth image by name is. Images that were compressed with losses are reduced until the artefacts vanish, unless
    the manifest says that this was done. A warning counts the reduced images, the unreadable files, and the images with
    a side under `smallest` pixels, which are left out. With `only_held_out` the training images are not read. Raises
    `BadTrainingData` if either part would be empty.
    """

    def __init__(self, folder: Path, *, smallest: int, only_held_out: bool = False) -> None:
        if not folder.is_dir():
            raise BadTrainingData(f"{folder} is not a folder; give one that holds images")
        paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in _SUFFIXES)
        if not paths:
            raise BadTrainingData(f"{folder} holds no images ({', '.join(sorted(_SUFFIXES))})")
        entries = read_manifests(folder)
        listed = [path for path in paths if path in entries and entries[path].is_held_out]
        reader = _Reader(smallest)
        self.train: list[NDArray[np.uint8]] = []
        if listed:
            chosen = set(listed)
            self.held_out = reader.read(listed, entries)
            if not only_held_out:
                self.train = reader.read([path for path in paths if path not in chosen], entries)
        else:
            usable = reader.read(paths, entries)
            self.held_out = usable[::_HELD_OUT_INTERVAL]
            if not only_held_out:
                self.train = [pixels for index, pixels in enumerate(usable) if index % _HELD_OUT_INTERVAL]
        if reader.has_complaints:
            warnings.warn(f"{folder}: {reader.complaints()}", stacklevel=2)
        found = len(self.train) + len(self.held_out)
        if not self.held_out or not (self.train or only_held_out):
            raise BadTrainingData(
                f"{folder} holds {found} usable images of at least {smallest} pixels; "
                f"need 1 to hold out (here {len(self.held_out)}) and 1 to train on (here {len(self.train)})"
            )

    def crop(
        self, random: np.random.Generator, size: int, *, scale_jitter: float = 1.0, enlargement: float = 1.0
    ) -> NDArray[np.uint8]:
        """Random square of the training images, flipped and turned at random: [size, size, 3].

        With `scale_jitter` above 1, half of the squares are larger by a factor of up to `scale_jitter` and reduced to
        `size`. With `enlargement` above 1, half are smaller by a factor of up to `enlargement` and enlarged, which
        makes them as soft as many photographs.
        """
        picture = self.train[random.integers(len(self.train))]
        if enlargement > 1 and random.random() < 0.5:
            side = round(size / random.uniform(1, enlargement))
            small = Image.fromarray(_square(random, picture, side))
            return np.asarray(small.resize((size, size), Image.Resampling.BICUBIC))
        if scale_jitter > 1 and random.random() < 0.5:
            largest = min(*picture.shape[:2], round(size * scale_jitter))
            side = int(random.integers(size, largest + 1))
            return downscaled(_square(random, picture, side), side / size)
        return _square(random, picture, size)

    def held_out_crops(self, size: int, most: int) -> list[NDArray[np.uint8]]:
        """Middles of the held-out images: at most `most` squares [size, size, 3], always the same."""
        crops = []
        for picture in self.held_out[:most]:
            top, left = (picture.shape[0] - size) // 2, (picture.shape[1] - size) // 2
            crops.append(np.ascontiguousarray(picture[top : top + size, left : left + size]))
        return crops


def reduction_of(source: bytes) -> float:
    """Factor by which an image is reduced to hide its compression artefacts; 1 if it was coded without losses.

    The factor of a JPEG follows from its luma table. Lossy WebP and AVIF have a factor of 2, because their files do not
    state enough.
    """
    if source[:2] == b"\xff\xd8":
        tables = bitstream.layout(source).tables
        if not tables:  # a lossless process
            return 1.0
        return next(factor for coarsest, factor in _REDUCTIONS if tables[0].mean() <= coarsest)
    is_lossy_webp = source[:4] == b"RIFF" and source[8:12] == b"WEBP" and b"VP8 " in source[12:4096]
    is_avif = source[4:8] == b"ftyp"
    return 2.0 if is_lossy_webp or is_avif else 1.0


def downscaled(pixels: NDArray[np.uint8], factor: float) -> NDArray[np.uint8]:
    """Image reduced by a factor, by Lanczos."""
    height, width = (max(1, round(side / factor)) for side in pixels.shape[:2])
    return np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.LANCZOS))


@final
class _Reader:
    """Reads image files as [H, W, 3] and counts those that could not be used as they are."""

    def __init__(self, smallest: int) -> None:
        self._smallest = smallest
        self._unreadable = self._small = self._reduced = 0
        self._lock = threading.Lock()

    @property
    def has_complaints(self) -> bool:
        """True if any file was left out or reduced."""
        return bool(self._unreadable or self._small or self._reduced)

    def complaints(self) -> str:
        """Sentence with the counts of files left out or reduced."""
        return (
            f"left out {self._unreadable} unreadable files and {self._small} images under {self._smallest} pixels; "
            f"{self._reduced} images compressed with losses were reduced, to hide their artefacts"
        )

    def read(self, paths: Iterable[Path], entries: Mapping[Path, DatasetEntry]) -> list[NDArray[np.uint8]]:
        """Usable images among `paths`, in their order."""

        def read(path: Path) -> NDArray[np.uint8] | None:
            return self._read_one(path, is_reduced=path in entries and entries[path].is_reduced)

        with ThreadPoolExecutor(usable_cores()) as pool:  # decoders run without the interpreter's lock
            return [pixels for pixels in pool.map(read, paths) if pixels is not None]

    def _read_one(self, path: Path, *, is_reduced: bool) -> NDArray[np.uint8] | None:
        try:
            source = path.read_bytes()
            pixels = images.decode(source)
            factor = 1.0 if is_reduced else reduction_of(source)
        except (BadInput, OSError):
            with self._lock:
                self._unreadable += 1
            return None
        if factor > 1:
            with self._lock:
                self._reduced += 1
            pixels = downscaled(pixels, factor)
        if min(pixels.shape[:2]) < self._smallest:
            with self._lock:
                self._small += 1
            return None
        return pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, axis=2)


def _square(random: np.random.Generator, picture: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    top = random.integers(picture.shape[0] - size + 1)
    left = random.integers(picture.shape[1] - size + 1)
    square = picture[top : top + size, left : left + size]
    turned = np.rot90(square, k=int(random.integers(4)))
    return np.ascontiguousarray(turned[:, ::-1] if random.random() < 0.5 else turned)
