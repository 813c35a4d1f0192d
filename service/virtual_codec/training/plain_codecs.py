"""Standard codecs of the published algorithm: grey pictures coded by Pillow.

To add one: a function and a row in `PLAIN_CODECS`.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

# Size of a grey JPEG 2000 code stream without packets. It is added to the size of a small crop, so that the packets
# have the rate of whole pictures.
_JPEG2000_HEADER_BYTES: Final = 110

Grey = NDArray[np.uint8]


def jpeg(picture: Grey, quality: int) -> bytes:
    """JPEG stream with libjpeg's luma table at a quality from 1 to 100 and optimised Huffman codes."""
    return _saved(picture, "JPEG", quality=quality, optimize=True)


def jpeg2000(picture: Grey, ratio: int) -> bytes:
    """JPEG 2000 code stream by OpenJPEG, irreversible, `ratio` times smaller than the samples."""
    layers = [picture.size / (picture.size / ratio + _JPEG2000_HEADER_BYTES)]
    return _saved(picture, "JPEG2000", quality_mode="rates", quality_layers=layers, irreversible=True, no_jp2=True)


PLAIN_CODECS: Final[Mapping[str, Callable[[Grey, int], bytes]]] = {"jpeg": jpeg, "jpeg2000": jpeg2000}


def through_plain(codec: str, setting: int, picture: Grey) -> tuple[Grey, int]:
    """Decoded picture and size in bytes of a grey picture [h, w] coded at a setting."""
    stream = PLAIN_CODECS[codec](picture, setting)
    with Image.open(io.BytesIO(stream), formats=["JPEG", "JPEG2000"]) as image:
        return np.asarray(image), len(stream)


def _saved(picture: Grey, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, kind, **options)
    return file.getvalue()
