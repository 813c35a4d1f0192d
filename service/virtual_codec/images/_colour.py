"""Colour conversion: any of Pillow's modes to 8-bit sRGB or grey."""

from __future__ import annotations

import io
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from virtual_codec.errors import UndecodableImage
from virtual_codec.images._colour_space import ColourSpace

WHITE = (255, 255, 255)

_INTENT = ImageCms.Intent.RELATIVE_COLORIMETRIC
_FLAGS = ImageCms.Flags.BLACKPOINTCOMPENSATION
_PHOTOMETRIC, _BITS_PER_SAMPLE, _WHITE_IS_ZERO = 262, 258, 0

# Colour space of a profile for each mode. A profile of another colour space is ignored.
_PROFILE_SPACES = {"RGB": "RGB ", "L": "GRAY", "CMYK": "CMYK", "LAB": "Lab "}


class Picture(NamedTuple):
    """Picture in sRGB, [H, W, 3] or grey [H, W]; `is_flattened` is true if it had transparent pixels."""

    pixels: NDArray[np.uint8]
    is_flattened: bool = False


def to_srgb(
    image: Image.Image,
    profile: bytes | None,
    background: tuple[int, int, int],
    space: ColourSpace | None = None,
) -> Picture:
    """Convert a loaded picture: [H, W] where its mode is grey, else [H, W, 3] sRGB. Raises `UndecodableImage`.

    `space` is the colour space of a file without profile, None for sRGB. A BMP whose alpha is 0 everywhere counts as
    opaque, because many programs write such files.
    """
    colour, alpha = _split(image)
    if profile is not None:
        colour = _apply_profile(colour, profile)
    elif space is not None and colour.mode in ("L", "RGB") and not space.is_srgb:
        colour = Image.fromarray(space.to_srgb(np.asarray(colour)))
    if colour.mode == "LAB":
        colour = _apply(colour, ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")))
    if colour.mode not in ("L", "RGB"):
        colour = colour.convert("RGB")
    if alpha is not None and image.format == "BMP" and alpha.getextrema() == (0, 0):
        alpha = None
    is_flattened = alpha is not None and alpha.getextrema() != (255, 255)
    if alpha is not None and is_flattened:
        colour = _flatten(colour, alpha, background)
    return Picture(np.array(colour), is_flattened)  # a copy, because Pillow's own memory is read-only as an array


def _split(image: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """Colours, in a mode to which a profile can apply, and the alpha, if any."""
    mode = image.mode
    if mode == "F":
        raise UndecodableImage("the image has floating-point samples; save it with 8 or 16 bits")
    if mode == "I" or mode.startswith("I;16"):
        return _narrow(image)
    if mode in ("1", "L", "LA", "La"):
        is_opaque = mode in ("1", "L") and "transparency" not in image.info
        if is_opaque:
            return image.convert("L"), None
        grey, alpha = image.convert("LA").split()
        return grey, alpha
    if image.has_transparency_data:
        *colours, alpha = image.convert("RGBA").split()
        return Image.merge("RGB", colours), alpha
    return (image.convert("RGB") if mode in ("P", "RGBX", "YCbCr") else image), None


def _narrow(image: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """Grey of 16 bits, or 12 in a TIFF, rounded to 8, and its alpha. Wider samples are clipped to 16 bits."""
    tags = getattr(image, "tag_v2", {})
    bits = tags.get(_BITS_PER_SAMPLE, (16,))[0]
    most = (1 << bits) - 1 if bits in (12, 16) else 65_535
    values = np.asarray(image)
    transparent = image.info.get("transparency")
    alpha = (
        Image.fromarray(np.where(values == transparent, 0, 255).astype(np.uint8)) if transparent is not None else None
    )
    table = (np.arange(65_536, dtype=np.uint32) * 255 + most // 2) // most
    if image.mode != "I" and tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO:  # the decoder turns 8 bits only
        table = 255 - np.minimum(table, 255)
    grey = np.minimum(table, 255).astype(np.uint8)[np.clip(values, 0, 65_535)]
    return Image.fromarray(grey), alpha


def _flatten(colour: Image.Image, alpha: Image.Image, background: tuple[int, int, int]) -> Image.Image:
    """Composite with straight alpha over the background, in sRGB as viewers do, rounded."""
    if colour.mode == "L":
        if len(set(background)) == 1:
            canvas = Image.new("L", colour.size, background[0])
            canvas.paste(colour, mask=alpha)
            return canvas
        colour = colour.convert("RGB")
    canvas = Image.new("RGB", colour.size, background)
    canvas.paste(colour, mask=alpha)
    return canvas


def _apply_profile(colour: Image.Image, profile: bytes) -> Image.Image:
    """Colours as sRGB; unchanged if the profile is broken, of another colour space, or sRGB itself."""
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if source.profile.xcolor_space != _PROFILE_SPACES.get(colour.mode):
            return colour
        if colour.mode == "L":
            return _apply_grey(colour, source)
        if colour.mode == "RGB" and _is_srgb(source):
            return colour
        return _apply(colour, source)
    except (ImageCms.PyCMSError, OSError, TypeError, ValueError):
        return colour


def _apply_grey(grey: Image.Image, source: ImageCms.ImageCmsProfile) -> Image.Image:
    ramp = Image.fromarray(np.arange(256, dtype=np.uint8).reshape(1, 256))
    table = np.asarray(_apply(ramp, source)).astype(np.uint16)
    return grey.point([int(value) for value in (table.sum(axis=2)[0] + 1) // 3])


def _is_srgb(source: ImageCms.ImageCmsProfile) -> bool:
    """True if the profile changes no colour by more than one level. (Profile names are unreliable.)"""
    steps = np.linspace(0, 255, 16).astype(np.uint8)
    lattice = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), axis=-1).reshape(256, 16, 3)
    converted = np.asarray(_apply(Image.fromarray(lattice), source))
    return bool(np.abs(converted.astype(np.int16) - lattice).max() <= 1)


def _apply(colour: Image.Image, source: ImageCms.ImageCmsProfile) -> Image.Image:
    srgb = ImageCms.createProfile("sRGB")
    transform = ImageCms.buildTransform(source, srgb, colour.mode, "RGB", _INTENT, _FLAGS)
    return transform.apply(colour)
