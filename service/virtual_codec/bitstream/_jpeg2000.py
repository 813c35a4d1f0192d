"""Rate and transform of a JPEG 2000 codestream (ITU-T T.800, Annex A), read without decoding.

The step sizes in a codestream apply before its encoder drops bit planes, so its effective steps are larger. They are
therefore estimated from the rate.
"""

from __future__ import annotations

from typing import Final

from virtual_codec.bitstream._boxes import boxes
from virtual_codec.bitstream._quantisation import Quantisation

_START_MARKERS: Final = b"\xff\x4f\xff\x51"
_COD, _SOT, _EOC = 0xFF52, 0xFF90, 0xFFD9
_MAX_MARKERS: Final = 4096

# Steps of an orthonormal transform that give about the squared error of OpenJPEG's photographs at a rate.
_STEP_AT_ONE_BPP: Final = 24.0
_EXPONENT: Final = 1.2


def jpeg2000_quantisation(file: bytes) -> Quantisation | None:
    """Quantisation of a JP2 file or a codestream; None if no codestream is found."""
    stream = jpeg2000_code_stream(file)
    if stream is None or len(stream) < 48:
        return None
    width, height, left, top = (int.from_bytes(stream[at : at + 4], "big") for at in (8, 12, 16, 20))
    components = int.from_bytes(stream[40:42], "big")
    factors = {stream[43 + 3 * index : 45 + 3 * index] for index in range(min(components, 4))}
    pixels = max(1, (width - left) * (height - top))
    is_reversible, data_bytes = _walk(stream)
    rate_bpp = max(8 * data_bytes / pixels, 0.01)
    step = min(_STEP_AT_ONE_BPP / rate_bpp**_EXPONENT, 400.0)
    return Quantisation(
        codec="jpeg2000",
        luma=(step, step),
        chroma=(step, step),
        is_subsampled=len(factors) > 1,
        is_grey=components < 3,
        is_lossless=is_reversible and rate_bpp > 6,
    )


def jpeg2000_code_stream(file: bytes) -> bytes | None:
    """Codestream of a JP2 file, or the file itself if it is a codestream."""
    if file.startswith(_START_MARKERS):
        return file
    box = next((each for each in boxes(file) if each.kind == b"jp2c"), None)
    return file[box.start : box.end] if box is not None and file.startswith(_START_MARKERS, box.start) else None


def _walk(stream: bytes) -> tuple[bool, int]:
    """Reversibility of the transform, and the bytes of all tile parts without their headers."""
    is_reversible, total = False, 0
    position = 2
    for _ in range(_MAX_MARKERS):
        marker = int.from_bytes(stream[position : position + 2], "big")
        length = int.from_bytes(stream[position + 2 : position + 4], "big")
        if marker == _EOC or length < 2 or marker < 0xFF00:
            break
        if marker == _COD:
            is_reversible = stream[position + 13 : position + 14] == b"\1"
        if marker == _SOT:
            part = int.from_bytes(stream[position + 6 : position + 10], "big") or len(stream) - position
            total += min(part, len(stream) - position)
            position += max(part, 12)
        else:
            position += 2 + length
    return is_reversible, total
