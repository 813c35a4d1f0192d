"""Foreign JPEGs, made by other encoders: restored at their own size, with limits on the network's changes.

finest luma tables               the luma as decoded; the network's chroma where that was subsampled
double compression               between the primary JPEG's picture and the network's
everything else                  the network's picture, within the cells of the quantisation
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from virtual_codec.bitstream import JpegLayout
from virtual_codec.codec.model import ModelNetworks, condition_of
from virtual_codec.codec.recompression import primary_correction
from virtual_codec.codecs import excess_over_cells
from virtual_codec.images import DecodedJpeg

Pixels = NDArray[np.uint8]
Plane = NDArray[np.float16]
Change = NDArray[np.float32]

# Below this mean of the luma table (libjpeg's quality 97) the network makes the luma worse: on held-out crops by 0.1 dB
# at quality 98 and 1.5 dB at 100. Subsampled chroma still gains.
_FINE_TABLE: Final = 3.5

# Fraction of the way to the point where the estimated error equals that of the plain decode. On training crops 1 goes
# 0.5 dB too far, 0.8 at most 0.2 dB, and 0.8 keeps nine tenths of the gain of 1 against the original picture.
_SHARE: Final = 0.8

_ROUNDING: Final = 0.5  # of coefficients, beside half a step: decoded samples are whole numbers

# Mean of the tables of an RGB JPEG (libjpeg's quality 75) from which on the network, trained on YCbCr, is used. On 12
# training crops it gains 0.04 dB and more there; at quality 80 it loses up to 0.15 dB, at 95 up to 2.1.
_COARSE_RGB_TABLE: Final = 28.0

_BAND: Final = 256  # rows at once, a multiple of every MCU's, so that large images need little memory
_LUMA: Final = np.array([0.299, 0.587, 0.114], np.float32)
# JFIF's YCbCr of RGB, without offsets, and its inverse.
_YCC: Final = np.array([_LUMA, [-0.168735892, -0.331264108, 0.5], [0.5, -0.418687589, -0.081312411]], np.float32)
_RGB: Final = np.array([[1, 0, 1.402], [1, -0.344136286, -0.714136286], [1, 1.772, 0]], np.float32)


def can_restore(layout: JpegLayout) -> bool:
    """True if the network can improve the picture.

    It cannot for CMYK and lossless files, nor for finely quantised RGB or fine tables without subsampling.
    """
    if layout.components not in (1, 3) or layout.precision != 8 or not layout.tables:
        return False
    if layout.colour_model == "rgb":
        return all(float(table.mean()) >= _COARSE_RGB_TABLE for table in layout.tables)
    return not _is_fine(layout) or layout.is_subsampled


def primary_luma_correction(jpeg: DecodedJpeg) -> Plane | None:
    """Luma correction towards the primary JPEG, [h, w] as coded, or None if there was only one compression."""
    layout = jpeg.layout
    if jpeg.luma is None or (layout.components == 3 and layout.sampling[0] != _largest(layout)):
        return None  # not YCbCr, or a luma plane that the decoder has enlarged
    return primary_correction(jpeg.luma, layout.tables[0])


def restore(model: ModelNetworks, decoded: Pixels, layout: JpegLayout, correction: Plane | None) -> Pixels:
    """Restored picture: [h, w, 3] or [h, w] -> the same kind. `correction` comes from `primary_luma_correction`."""
    restored = model.restore(decoded, 1, condition_of(layout, own=False))
    if correction is not None:
        return _between(decoded, restored, correction)
    return _with_luma_of(decoded, restored) if _is_fine(layout) else restored


def within_quantisation(decoded: Pixels, restored: Pixels, layout: JpegLayout) -> Pixels:
    """Limit `restored` to pictures that the encoder may have quantised to `decoded`: [h, w, 3] or [h, w].

    Each coefficient of the change, in the components that were coded, is limited to half a quantisation step. Areas
    where whole neighbourhoods of blocks have one colour stay as decoded.
    """
    limited = np.empty_like(decoded)
    for band in _bands(decoded):
        change = restored[band].astype(np.float32) - decoded[band]
        limited[band] = np.clip(np.rint(decoded[band] + _within_cells(change, layout)), 0, 255)
    is_flat = _is_flat(decoded, layout)
    if is_flat.any():
        limited[is_flat] = decoded[is_flat]
    return limited


def _within_cells(change: Change, layout: JpegLayout) -> Change:
    """Change [h, w, 3] or [h, w], limited to the quantisation cells of each component of full resolution.

    Chroma of reduced resolution has been interpolated, so that the coefficients of its blocks are not known here.
    """
    if change.ndim == 2:
        return change - _excess(change, layout, 0)
    is_ycc = layout.colour_model == "ycbcr"
    to_coded, back = (_YCC, _RGB) if is_ycc else (np.eye(3, dtype=np.float32),) * 2
    for component in range(3):
        if layout.sampling[component] == _largest(layout):
            excess = _excess(np.ascontiguousarray(change @ to_coded[component]), layout, component)
            change = change - excess[..., None] * back[:, component]
    return change


def _excess(change: Change, layout: JpegLayout, component: int) -> Change:
    """Part of a component's change [h, w] that leads out of its quantisation cells."""
    return excess_over_cells(change, 0.5 * layout.tables[component].astype(np.float32) + _ROUNDING)


def _is_flat(decoded: Pixels, layout: JpegLayout) -> NDArray[np.bool_]:
    """Mask [h, w] of the MCUs that have one colour, together with all their neighbours.

    All their coefficients but DC are zero, and their DCs equal: nothing is left of any texture there was.
    """
    across, down = _largest(layout)
    columns, rows = 8 * across, 8 * down
    height, width = decoded.shape[:2]
    planes = decoded.reshape(height, width, -1)
    padded = np.pad(planes, ((0, -height % rows), (0, -width % columns), (0, 0)), mode="edge")
    units = padded.reshape(len(padded) // rows, rows, -1, columns, planes.shape[2])
    low, high = units.min(axis=(1, 3)), units.max(axis=(1, 3))
    bordered_low, bordered_high = (np.pad(each, ((1, 1), (1, 1), (0, 0)), mode="edge") for each in (low, high))
    shifts = [(slice(y, y + len(low)), slice(x, x + low.shape[1])) for y in range(3) for x in range(3)]
    is_flat = np.logical_and.reduce([bordered_low[shift] == low for shift in shifts])
    is_flat &= np.logical_and.reduce([bordered_high[shift] == low for shift in shifts])
    return np.asarray(is_flat.all(axis=2).repeat(rows, axis=0).repeat(columns, axis=1)[:height, :width], np.bool_)


def _is_fine(layout: JpegLayout) -> bool:
    return float(layout.tables[0].mean()) < _FINE_TABLE


def _largest(layout: JpegLayout) -> tuple[int, int]:
    across, down = zip(*layout.sampling, strict=True)
    return max(across), max(down)


def _between(decoded: Pixels, restored: Pixels, correction: Plane) -> Pixels:
    """Interpolation between the primary JPEG's picture and the network's.

    The second compression's input is the primary JPEG's picture; the network moves on towards the picture before it.
    The distance of the plain decode from the primary JPEG's picture, which is the norm of the correction, bounds how
    far the result may be from it.
    """
    allowed = asked = 0.0
    for band in _bands(decoded):
        moved = restored[band].astype(np.float32) - decoded[band]
        luma = moved @ _LUMA if moved.ndim == 3 else moved
        corrected = correction[band].astype(np.float32)
        allowed += float(np.square(corrected).sum())
        asked += float(np.square(luma - corrected).sum())
    share = _SHARE * min(1.0, math.sqrt(allowed / max(asked, 1e-9)))
    result = np.empty_like(decoded)
    for band in _bands(decoded):
        shown = decoded[band].astype(np.float32)
        corrected = (1 - share) * correction[band].astype(np.float32)
        shown += share * (restored[band] - shown)
        shown += corrected[..., None] if shown.ndim == 3 else corrected
        result[band] = np.clip(np.rint(shown), 0, 255)
    return result


def _with_luma_of(decoded: Pixels, restored: Pixels) -> Pixels:
    """Chroma of `restored` with the luma of `decoded`: [h, w, 3] each."""
    result = np.empty_like(restored)
    for band in _bands(restored):
        shown = restored[band].astype(np.float32)
        shown += ((decoded[band].astype(np.float32) - shown) @ _LUMA)[..., None]
        result[band] = np.clip(np.rint(shown), 0, 255)
    return result


def _bands(picture: Pixels) -> Iterator[slice]:
    for top in range(0, len(picture), _BAND):
        yield slice(top, top + _BAND)
