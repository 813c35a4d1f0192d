"""Other encoders' JPEGs, restored at their own size: how far the network is followed.

finest luma tables               the luma as decoded, the network's chroma where that was subsampled
had been a JPEG before           near what that JPEG showed, and so far towards the network as costs nothing
everything else                  the network's picture
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from virtual_codec import images
from virtual_codec.bitstream import JpegLayout
from virtual_codec.codec.earlier import correction
from virtual_codec.codec.model import LoadedModel, condition_of
from virtual_codec.images import ImageLimits

Pixels = NDArray[np.uint8]
Plane = NDArray[np.float16]

# Below this mean of the luma table (libjpeg's quality 97) other encoders' luma is better than a network makes it, on
# held-out crops by 0.1 dB at quality 98 and 1.5 dB at 100; what 4:2:0 did to the chroma is still worth mending.
_FINE_TABLE: Final = 3.5

# Of the way at whose end what was compressed is as far as from the plain decode, by estimate; on training crops 1 ends
# 0.5 dB too far, 0.8 nowhere more than 0.2, and keeps nine tenths of what 1 gains against the picture before both.
_SHARE: Final = 0.8

_BAND: Final = 256  # rows at once, so that large images need little memory
_LUMA: Final = np.array([0.299, 0.587, 0.114], np.float32)


def can_restore(layout: JpegLayout) -> bool:
    """Whether there is something to do: CMYK, and what is coded without tables, no network was trained for."""
    if layout.components not in (1, 3) or layout.precision != 8 or not layout.tables:
        return False
    return not _is_fine(layout) or _is_subsampled(layout)


def earlier_luma(data: bytes, layout: JpegLayout, limits: ImageLimits) -> Plane | None:
    """What leads from the upright picture's luma to that of a JPEG it had been before; None where it had not."""
    if layout.components == 3 and (layout.adobe_transform == 0 or layout.sampling[0] != _largest(layout)):
        return None  # not YCbCr, or a luma plane of which the samples are not the decoder's
    found = correction(images.decode_luma(data, limits=limits), layout.tables[0])
    return None if found is None else images.upright(found, data, limits=limits)


def restore(model: LoadedModel, decoded: Pixels, layout: JpegLayout, earlier: Plane | None) -> Pixels:
    """The picture to show: [h, w, 3] or [h, w] -> the same kind. `earlier` is what `earlier_luma` found."""
    restored = model.restore(decoded, 1, condition_of(layout, own=False))
    if earlier is not None:
        return _between(decoded, restored, earlier)
    return _with_luma_of(decoded, restored) if _is_fine(layout) else restored


def _is_fine(layout: JpegLayout) -> bool:
    return float(layout.tables[0].mean()) < _FINE_TABLE


def _is_subsampled(layout: JpegLayout) -> bool:
    return len(set(layout.sampling)) > 1


def _largest(layout: JpegLayout) -> tuple[int, int]:
    across, down = zip(*layout.sampling, strict=True)
    return max(across), max(down)


def _between(decoded: Pixels, restored: Pixels, earlier: Plane) -> Pixels:
    """Some way from the earlier JPEG's picture to the network's.

    What is compressed after a JPEG is that JPEG's picture: the network, which does not know, would go on from it to
    the picture before. The plain decode is as far from it as the correction is large; no further may we go.
    """
    allowed = asked = 0.0
    for band in _bands(decoded):
        moved = restored[band].astype(np.float32) - decoded[band]
        luma = moved @ _LUMA if moved.ndim == 3 else moved
        mended = earlier[band].astype(np.float32)
        allowed += float(np.square(mended).sum())
        asked += float(np.square(luma - mended).sum())
    share = _SHARE * min(1.0, math.sqrt(allowed / max(asked, 1e-9)))
    result = np.empty_like(decoded)
    for band in _bands(decoded):
        shown = decoded[band].astype(np.float32)
        mended = (1 - share) * earlier[band].astype(np.float32)
        shown += share * (restored[band] - shown)
        shown += mended[..., None] if shown.ndim == 3 else mended
        result[band] = np.clip(np.rint(shown), 0, 255)
    return result


def _with_luma_of(decoded: Pixels, restored: Pixels) -> Pixels:
    """`restored` with its luma put back to that of `decoded`: [h, w, 3] each."""
    result = np.empty_like(restored)
    for band in _bands(restored):
        shown = restored[band].astype(np.float32)
        shown += ((decoded[band].astype(np.float32) - shown) @ _LUMA)[..., None]
        result[band] = np.clip(np.rint(shown), 0, 255)
    return result


def _bands(picture: Pixels) -> Iterator[slice]:
    for top in range(0, len(picture), _BAND):
        yield slice(top, top + _BAND)
