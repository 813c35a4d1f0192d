"""A codec with the interface of ours and no networks, and a few small pictures."""

from __future__ import annotations

import io
import threading
from pathlib import Path
from typing import final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter
from skimage import data

from virtual_codec.jobs import CompressOptions, CompressResult, RestoreResult


@final
class PlainJpeg:
    """Ordinary JPEG there and back; remembers how often it was asked. `blur` spoils what is restored."""

    def __init__(self, *, model: str = "0badcafe", blur: float = 0, fails_after: int | None = None) -> None:
        self.model = model
        self.blur = blur
        self.fails_after = fails_after
        self.compressed = 0
        self.restored = 0
        self._lock = threading.Lock()

    def compress(self, data: bytes, options: CompressOptions) -> CompressResult:
        with self._lock:
            self.compressed += 1
            if self.fails_after is not None and self.compressed > self.fails_after:
                raise KeyboardInterrupt
        with Image.open(io.BytesIO(data)) as image:
            stream = io.BytesIO()
            quality = options.quality if options.quality is not None else 50
            image.save(stream, "JPEG", quality=quality, optimize=True, subsampling="4:2:0")
            return CompressResult(
                stream=stream.getvalue(),
                media_type="image/jpeg",
                model=self.model,
                scale=1 if quality > 20 else 2,
                width=image.width,
                height=image.height,
                quality=quality,
            )

    def restore(self, data: bytes) -> RestoreResult:
        with self._lock:
            self.restored += 1
        with Image.open(io.BytesIO(data)) as image:
            file = io.BytesIO()
            restored = image.filter(ImageFilter.GaussianBlur(self.blur)) if self.blur else image
            restored.save(file, "PNG", compress_level=1)
            return RestoreResult(
                image=file.getvalue(),
                media_type="image/png",
                model=self.model,
                scale=1,
                width=image.width,
                height=image.height,
                rate_bpp=8 * len(data) / (image.width * image.height),
            )


def write_sets(folder: Path) -> None:
    """Two sets: `photos` of two colour pictures and a grey one saved as colour, and `small` of one."""
    astronaut: NDArray[np.uint8] = data.astronaut()  # type: ignore[no-untyped-call]
    cat: NDArray[np.uint8] = data.chelsea()  # type: ignore[no-untyped-call]
    grey = np.repeat(cat[60:230, 100:276, :1], 3, axis=2)
    pictures = {
        "photos/astronaut.png": astronaut[:176, 120:312],
        "photos/cat.webp": cat[80:250, 90:260],
        "photos/grey.png": grey,
        "small/face.png": astronaut[60:140, 180:270],
    }
    for name, pixels in pictures.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path, lossless=True)
