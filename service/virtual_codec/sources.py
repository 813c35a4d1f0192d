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

# Modes that a PNG holds as they are, and modes with the PNG mode that holds all their content.
_PNG_MODES: Final = frozenset({"1", "L", "LA", "I;16", "P", "RGB", "RGBA"})
_CONVERTED_MODES: Final = {
    "CMYK": "RGB",
    "HSV": "RGB",
    "La": "LA",
    "PA": "RGBA",
    "RGBX": "RGB",
    "RGBa": "RGBA",
    "YCbCr": "RGB",
}
_WIDE_MODES: Final = frozenset({"I;16B", "I;16L", "I;16N"})  # 16 bits in a byte order of their own


def file_bytes(source: FileSource) -> bytes:
    """Content of a file that is given by its path or by its bytes. Raises `TypeError` for anything else."""
    if isinstance(source, bytes | bytearray | memoryview):
        return bytes(source)
    if isinstance(source, str | os.PathLike):
        return Path(source).read_bytes()
    raise TypeError(f"give a path or the bytes of a file, not {type(source).__name__}")


def image_file(image: ImageSource) -> bytes:
    """Image file with the content of an image of any accepted kind.

    Raises `TypeError` for other kinds, such as PIL's modes I and F, whose samples have no fixed range.
    """
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
    file = io.BytesIO()
    converted = _in_png_mode(image)
    converted.save(file, "PNG", compress_level=1, exif=image.getexif(), icc_profile=image.info.get("icc_profile"))
    return file.getvalue()


def _in_png_mode(image: Image) -> Image:
    import numpy as np
    from PIL import Image

    if image.mode in _PNG_MODES:
        return image
    if image.mode in _WIDE_MODES:
        return Image.fromarray(np.asarray(image).astype(np.uint16))
    if image.mode in _CONVERTED_MODES:
        return image.convert(_CONVERTED_MODES[image.mode])
    known = ", ".join(sorted(_PNG_MODES | _WIDE_MODES | _CONVERTED_MODES.keys()))
    raise TypeError(f"a PIL image must have one of the modes {known}, got {image.mode}; convert it first")
