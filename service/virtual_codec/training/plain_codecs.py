"""Standard codecs around which the published algorithm is run, as Pillow has them, for grey pictures.

To add one: a function and a row in `PLAIN_CODECS`.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

# Of a grey JPEG 2000 code stream without its packets: what a picture of any size pays once. Small crops get it on top
# of their share, so that training sees the rates that whole pictures have.
_JPEG2000_HEADER_BYTES: Final = 110

Grey = NDArray[np.uint8]


def jpeg(picture: Grey, quality: int) -> bytes:
    """Libjpeg's standard luma table at a quality from 1 to 100, optimised Huffman codes."""
    return _saved(picture, "JPEG", quality=quality, optimize=True)


def jpeg2000(picture: Grey, ratio: int) -> bytes:
    """OpenJPEG, irreversible, at so many times fewer bytes than samples."""
    layers = [picture.size / (picture.size / ratio + _JPEG2000_HEADER_BYTES)]
    return _saved(picture, "JPEG2000", quality_mode="rates", quality_layers=layers, irreversible=True, no_jp2=True)


PLAIN_CODECS: Final[Mapping[str, Callable[[Grey, int], bytes]]] = {"jpeg": jpeg, "jpeg2000": jpeg2000}


def through_plain(codec: str, setting: int, picture: Grey) -> tuple[Grey, int]:
    """Code and decode a grey picture [h, w]: what a decoder shows, and the bytes it took."""
    stream = PLAIN_CODECS[codec](picture, setting)
    with Image.open(io.BytesIO(stream), formats=["JPEG", "JPEG2000"]) as image:
        return np.asarray(image), len(stream)


def _saved(picture: Grey, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, kind, **options)
    return file.getvalue()
