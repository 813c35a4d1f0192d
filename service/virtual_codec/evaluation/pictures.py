"""Test pictures of a folder, by set."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from virtual_codec import images
from virtual_codec.errors import BadTrainingData, VirtualCodecError
from virtual_codec.metrics import Pixels

_SUFFIXES: Final = frozenset({".png", ".webp", ".bmp", ".tif", ".tiff", ".jpg", ".jpeg", ".gif", ".avif"})


@dataclass(frozen=True, kw_only=True)
class Picture:
    """Test picture: its set, its name in the set, and its file."""

    set: str
    name: str
    path: Path

    def pixels(self) -> Pixels:
        """Decode the file: [H, W, 3], or [H, W] if red, green and blue are equal everywhere.

        Raises `BadTrainingData` with the path if the file cannot be decoded.
        """
        try:
            pixels = images.decode(self.path.read_bytes())
        except VirtualCodecError as error:
            raise BadTrainingData(f"{self.path}: {error}; repair the file, or remove it from the folder") from error
        is_colour = pixels.ndim == 3 and bool((pixels != pixels[..., :1]).any())
        return pixels if is_colour or pixels.ndim == 2 else np.ascontiguousarray(pixels[..., 0])


def find_pictures(data_dir: Path, *, per_set: int | None = None) -> list[Picture]:
    """Pictures of `data_dir` and of the folders in it. Each folder is a set with the folder's name.

    `per_set` limits the pictures of each set, evenly spread. Raises `BadTrainingData` if there is no picture.
    """
    if not data_dir.is_dir():
        raise BadTrainingData(f"{data_dir} is not a folder of pictures")
    folders = [data_dir, *sorted(path for path in data_dir.iterdir() if path.is_dir())]
    pictures = [picture for folder in folders for picture in _pictures_of_folder(folder, per_set)]
    if not pictures:
        raise BadTrainingData(
            f"no picture in {data_dir} or the folders in it; suffixes are {', '.join(sorted(_SUFFIXES))}"
        )
    return pictures


def digest(pixels: Pixels) -> str:
    """Hash of a picture's shape and samples, the key of its cached measurements."""
    return hashlib.sha256(repr(pixels.shape).encode() + np.ascontiguousarray(pixels).tobytes()).hexdigest()


def _pictures_of_folder(folder: Path, count: int | None) -> list[Picture]:
    paths = sorted(path for path in folder.iterdir() if path.is_file() and path.suffix.lower() in _SUFFIXES)
    if count is not None and len(paths) > count:
        paths = [paths[index * len(paths) // count] for index in range(count)]
    return [Picture(set=folder.resolve().name, name=path.stem, path=path) for path in paths]
