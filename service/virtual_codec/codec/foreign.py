"""Foreign JPEGs, made by other encoders: restored at their own size, with limits on the network's changes.

finest luma tables    the luma as decoded; the network's chroma if it was subsampled
double compression    an interpolation between the primary JPEG's picture and the network's
all others            the network's picture, within the cells of the quantisation
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
from virtual_codec.codecs import keep_flat_areas, within_cells
from virtual_codec.images import DecodedJpeg

Pixels = NDArray[np.uint8]
Plane = NDArray[np.float16]

# Mean of the luma table (libjpeg's quality 97) below which the network makes the luma worse: on held-out crops by 0.1
# dB at quality 98 and 1.5 dB at 100. Subsampled chroma still gains.
_FINE_TABLE_MEAN: Final = 3.5

# Share of the distance to the point where the estimated error equals that of the plain decode. On training crops, 1 is
# up to 0.5 dB worse than the plain decode, 0.8 at most 0.2 dB. With 0.8, nine tenths of the gain of 1 against the
# original picture remain.
_INTERPOLATION_SHARE: Final = 0.8

_ROUNDING_TOLERANCE: Final = 0.5  # added to half a step of each coefficient, because decoded samples are rounded

# Mean of the tables of an RGB JPEG (libjpeg's quality 75) from which the network, trained on YCbCr, is used. On 12
# training crops it gains at least 0.04 dB there; at quality 80 it loses up to 0.15 dB, at 95 up to 2.1.
_COARSE_RGB_TABLE_MEAN: Final = 28.0

_BAND_ROWS: Final = 256  # rows processed at once, so that large images need little memory
_LUMA_WEIGHTS: Final = np.array([0.299, 0.587, 0.114], np.float32)
# JFIF's YCbCr of RGB, without offsets.
_RGB_TO_YCC: Final = np.array(
    [_LUMA_WEIGHTS, [-0.168735892, -0.331264108, 0.5], [0.5, -0.418687589, -0.081312411]], np.float32
)


def can_restore(layout: JpegLayout) -> bool:
    """True if the network can improve the picture.

    It cannot for CMYK and lossless files, nor for finely quantised RGB or fine tables without subsampling.
    """
    if layout.components not in (1, 3) or layout.precision != 8 or not layout.tables:
        return False
    if layout.colour_model == "rgb":
        return all(float(table.mean()) >= _COARSE_RGB_TABLE_MEAN for table in layout.tables)
    return not _has_fine_luma_table(layout) or layout.is_subsampled


def primary_luma_correction(jpeg: DecodedJpeg) -> Plane | None:
    """Luma correction towards the primary JPEG, [h, w] as coded, or None if there was only one compression."""
    layout = jpeg.layout
    if jpeg.luma is None or (layout.components == 3 and layout.sampling[0] != _largest_sampling(layout)):
        return None  # not YCbCr, or a luma plane that the decoder has enlarged
    return primary_correction(jpeg.luma, layout.tables[0])


def restore(model: ModelNetworks, decoded: Pixels, layout: JpegLayout, correction: Plane | None) -> Pixels:
    """Restored picture: [h, w, 3] or [h, w] -> the same kind. `correction` comes from `primary_luma_correction`."""
    restored = model.restore(decoded, 1, condition_of(layout, own=False))
    if correction is not None:
        return _interpolated(decoded, restored, correction)
    return _with_luma_of(decoded, restored) if _has_fine_luma_table(layout) else restored


def within_quantisation(decoded: Pixels, restored: Pixels, layout: JpegLayout) -> Pixels:
    """Limit `restored` to pictures that the encoder may have quantised to `decoded`: [h, w, 3] or [h, w].

    Each coefficient of the change, in the components that were coded, is limited to half a quantisation step. Areas
    where whole neighbourhoods of blocks have one colour stay as decoded.
    """
    height, width = decoded.shape[:2]
    channels = decoded.reshape(height, width, -1)
    bounds = np.full((channels.shape[2], 8, 8), np.inf, np.float32)
    for component, table in enumerate(layout.tables):
        # Chroma of reduced resolution has been interpolated, so its coefficients are not known.
        if layout.sampling[component] == _largest_sampling(layout):
            bounds[component] = 0.5 * table + _ROUNDING_TOLERANCE
    to_coded = _RGB_TO_YCC if layout.colour_model == "ycbcr" else np.eye(len(bounds), dtype=np.float32)
    limited = within_cells(channels, restored.reshape(channels.shape), bounds, to_coded)
    across, down = _largest_sampling(layout)
    keep_flat_areas(channels, limited, 8 * down, 8 * across)
    return limited.reshape(decoded.shape)


def _has_fine_luma_table(layout: JpegLayout) -> bool:
    return float(layout.tables[0].mean()) < _FINE_TABLE_MEAN


def _largest_sampling(layout: JpegLayout) -> tuple[int, int]:
    across, down = zip(*layout.sampling, strict=True)
    return max(across), max(down)


def _interpolated(decoded: Pixels, restored: Pixels, correction: Plane) -> Pixels:
    """Interpolation between the primary JPEG's picture and the network's.

    The input of the second compression is the primary JPEG's picture. The network's picture lies beyond it, towards the
    original. The result may be at most as far from the primary JPEG's picture as the plain decode is; this distance is
    the norm of the correction.
    """
    correction_energy = change_energy = 0.0
    for band in _bands(decoded):
        moved = restored[band].astype(np.float32) - decoded[band]
        luma = moved @ _LUMA_WEIGHTS if moved.ndim == 3 else moved
        corrected = correction[band].astype(np.float32)
        correction_energy += float(np.square(corrected).sum())
        change_energy += float(np.square(luma - corrected).sum())
    share = _INTERPOLATION_SHARE * min(1.0, math.sqrt(correction_energy / max(change_energy, 1e-9)))
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
        shown += ((decoded[band].astype(np.float32) - shown) @ _LUMA_WEIGHTS)[..., None]
        result[band] = np.clip(np.rint(shown), 0, 255)
    return result


def _bands(picture: Pixels) -> Iterator[slice]:
    for top in range(0, len(picture), _BAND_ROWS):
        yield slice(top, top + _BAND_ROWS)
