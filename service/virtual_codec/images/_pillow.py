"""Pillow with limits: explicit formats, a pixel limit, and every failure as an error of this package."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import numpy as np
from PIL import Image, ImageFile

from virtual_codec.errors import AnimatedImage, TooManyPixels, UndecodableImage, VirtualCodecError
from virtual_codec.images._limits import PILLOW_MAX_PIXELS, ImageLimits

_DECODER_BYTES_PER_PIXEL = 12  # rough upper bound: 4 for the picture, 6 for the levels of a progressive JPEG
# Buffer for an optimised JPEG. Pillow's own has a byte a pixel, which is too small for noise in a narrow picture,
# because most of its blocks are padding. The widest noise that may need more is 230x65500, with 15 MB. The buffer is
# larger than any block that memory allocators keep (`virtual_codec.memory`), so its pages are returned to the system as
# a whole. With 16 MB, in kept memory, each stream left some memory allocated.
_ENCODER_BUFFER_BYTES = 144 << 20


@contextmanager
def open_image(file: bytes, title: str, formats: tuple[str, ...], limits: ImageLimits) -> Iterator[Image.Image]:
    """Open a file as one of Pillow's `formats`. Raises `TooManyPixels`, `SideTooLong` and `AnimatedImage`."""
    with Image.open(io.BytesIO(file), formats=formats) as image:
        limits.check(*image.size)
        if (frames := getattr(image, "n_frames", 1)) > 1:
            raise AnimatedImage(f"the {title} is animated; send one frame of it", limit=1, actual=frames)
        yield image


def load(image: Image.Image, title: str, *, is_complete: bool = True) -> None:
    """Decode the pixels. Raises `MemoryError` if memory may have run out, which decoders report as damage.

    Raises `UndecodableImage` for a file that is not `is_complete` and lacks samples.
    """
    try:
        image.load()
    except Exception as error:
        # Raises MemoryError if it cannot be allocated. Its pages are never used.
        np.empty((*image.size, _DECODER_BYTES_PER_PIXEL), np.uint8)
        if not is_complete:
            raise UndecodableImage(f"the {title} is truncated") from error
        raise


@contextmanager
def foreign_errors(title: str, limits: ImageLimits) -> Iterator[None]:
    """Convert the many kinds of exceptions that Pillow raises for bad bytes to `UndecodableImage`."""
    configure_pillow()
    try:
        yield
    except (VirtualCodecError, MemoryError):
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise TooManyPixels(f"the {title} has too many pixels", limit=limits.max_pixels) from error
    except Exception as error:  # OSError, SyntaxError, struct.error, KeyError, ...
        message = f"the {title} cannot be decoded: it is damaged, truncated or of an unusual variant"
        raise UndecodableImage(message) from error


@cache
def configure_pillow() -> None:
    """Set Pillow's process-wide settings, once: pixel limit, warnings, and buffer for encoded files.

    The server and `VirtualCodec` call it when they start, so that no job changes the settings; otherwise the first
    picture does. This pixel limit is above that of `ImageLimits`, which can differ between calls and threads. It is a
    safeguard for pictures that a decoder finds inside a file.
    """
    Image.MAX_IMAGE_PIXELS = PILLOW_MAX_PIXELS
    ImageFile.MAXBLOCK = max(ImageFile.MAXBLOCK, _ENCODER_BUFFER_BYTES)
    warnings.filterwarnings("error", category=Image.DecompressionBombWarning)
    warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
