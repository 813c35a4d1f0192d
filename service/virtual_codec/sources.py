"""Sources of images: paths, bytes, PIL images and NumPy arrays, as the Python interface takes them."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

    FileSource = str | os.PathLike[str] | bytes | bytearray | memoryview
    ImageSource = FileSource | Image | NDArray[np.uint8]

# Modes that a PNG holds as they are; others are converted to RGB.
_PNG_MODES: Final = frozenset({"1", "L", "LA", "I;16", "P", "RGB", "RGBA"})


def file_bytes(source: FileSource) -> bytes:
    """Content of a file that is given by its path or by its bytes. Raises `TypeError` for anything else."""
    if isinstance(source, bytes | bytearray | memoryview):
        return bytes(source)
    if isinstance(source, str | os.PathLike):
        return Path(source).read_bytes()
    raise TypeError(f"give a path or the bytes of a file, not {type(source).__name__}")


def image_file(image: ImageSource) -> bytes:
    """Image file with the content of any kind of image that is taken."""
    import numpy as np
    from PIL import Image

    if isinstance(image, str | os.PathLike | bytes | bytearray | memoryview):
        return file_bytes(image)
    if isinstance(image, np.ndarray):
        is_shaped = image.ndim == 2 or (image.ndim == 3 and image.shape[2] in (3, 4))
        if image.dtype != np.uint8 or not is_shaped or image.size == 0:
            raise TypeError(
                f"an array must be uint8 and [H, W], [H, W, 3] or [H, W, 4], got {image.dtype} {list(image.shape)}"
            )
        image = Image.fromarray(image)
    if not isinstance(image, Image.Image):
        raise TypeError(f"give a path, the bytes of a file, a PIL image or a uint8 array, not {type(image).__name__}")
    if image.mode not in _PNG_MODES:
        image = image.convert("RGB")
    file = io.BytesIO()
    image.save(file, "PNG", compress_level=1, exif=image.getexif(), icc_profile=image.info.get("icc_profile"))
    return file.getvalue()
