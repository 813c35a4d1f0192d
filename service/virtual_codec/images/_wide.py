"""Wide samples of 16 bits and more: colour conversion before narrowing to 8 bits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from virtual_codec.images._colour import Picture, to_srgb
from virtual_codec.images._colour_space import ColourSpace
from virtual_codec.images._icc import space_of_profile

Rgb = tuple[int, int, int]


@dataclass(frozen=True, kw_only=True, eq=False)
class WideSamples:
    """Picture of 16-bit samples, read in bands of rows [rows, width, channels].

    Channels are those of `colours`, then the alpha if `has_alpha`; further channels are ignored. Pixels of the colour
    `transparent` are transparent.
    """

    width: int
    height: int
    colours: Literal["grey", "rgb", "cmyk"]
    bands: Iterator[NDArray[np.uint16]]
    has_alpha: bool = False
    is_premultiplied: bool = False
    transparent: tuple[int, ...] | None = None


def wide_to_srgb(wide: WideSamples, profile: bytes | None, space: ColourSpace | None, background: Rgb) -> Picture:
    """Convert wide samples: [H, W] if they are grey and the background adds no colour, else [H, W, 3] sRGB.

    A profile with a matrix and tone curves is applied to 16 bits, any other profile to the narrowed samples.
    """
    is_grey = wide.colours == "grey"
    count = {"grey": 1, "rgb": 3, "cmyk": 4}[wide.colours]
    is_transparent = wide.has_alpha or wide.transparent is not None
    stays_grey = is_grey and not (is_transparent and len(set(background)) > 1)
    result = np.empty((wide.height, wide.width) if stays_grey else (wide.height, wide.width, 3), np.uint8)
    if wide.colours == "cmyk":  # EXIF knows RGB only
        space = None
    elif profile is not None:  # it has priority over EXIF
        space = space_of_profile(profile, is_grey=is_grey)
    top, is_flattened = 0, False
    for band in wide.bands:
        colours, alpha = band[..., :count], band[..., count] if wide.has_alpha else None
        if wide.transparent is not None:
            alpha = np.where((colours == wide.transparent).all(axis=2), 0, 65_535).astype(np.uint16)
        if alpha is not None and wide.is_premultiplied:
            straight = colours.astype(np.float32) * (65_535 / np.maximum(alpha, 1).astype(np.float32))[..., None]
            colours = np.rint(np.minimum(straight, 65_535)).astype(np.uint16)
        shown = _converted(colours[..., 0] if is_grey else colours, wide, profile, space)
        if alpha is not None and alpha.min() < 65_535:
            is_flattened = True
            shown = _flattened(shown, alpha, background)
        result[top : top + len(band)] = shown[..., None] if shown.ndim < result.ndim else shown
        top += len(band)
    return Picture(result, is_flattened)


def narrowed(samples: NDArray[np.uint16]) -> NDArray[np.uint8]:
    """Samples of 16 bits rounded to 8."""
    return np.asarray((samples.astype(np.uint32) * 255 + 32_767) // 65_535, np.uint8)


def _converted(
    colours: NDArray[np.uint16], wide: WideSamples, profile: bytes | None, space: ColourSpace | None
) -> NDArray[np.uint8]:
    if space is not None and not space.is_srgb:
        return space.to_srgb(np.ascontiguousarray(colours))
    narrow = (
        Image.fromarray(narrowed(colours), "CMYK") if wide.colours == "cmyk" else Image.fromarray(narrowed(colours))
    )
    return to_srgb(narrow, profile if space is None else None, (255, 255, 255)).pixels


def _flattened(shown: NDArray[np.uint8], alpha: NDArray[np.uint16], background: Rgb) -> NDArray[np.uint8]:
    """Composite over the background: [h, w] stays grey on a grey one."""
    share = alpha.astype(np.float32) / 65_535
    if shown.ndim == 2 and len(set(background)) == 1:
        return np.asarray(np.rint(background[0] + share * (shown - np.float32(background[0]))), np.uint8)
    colour = np.repeat(shown[..., None], 3, axis=2) if shown.ndim == 2 else shown
    canvas = np.array(background, np.float32)
    return np.asarray(np.rint(canvas + share[..., None] * (colour - canvas)), np.uint8)
