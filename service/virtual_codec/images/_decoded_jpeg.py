"""JPEG files for restoring, parsed once and decoded once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from virtual_codec.bitstream import JpegLayout
from virtual_codec.images import _jpeg
from virtual_codec.images._colour import WHITE, to_srgb
from virtual_codec.images._colour_space import ColourSpace
from virtual_codec.images._limits import DEFAULT_LIMITS, ImageLimits
from virtual_codec.images._orientation import Sample, upright
from virtual_codec.images._pillow import foreign_errors, load, open_image
from virtual_codec.images._stripped import StrippedFile

_TITLE, _FORMATS = "JPEG", ("JPEG", "MPO")


@dataclass(frozen=True, kw_only=True, eq=False)
class ParsedJpeg:
    """JPEG whose markers have been parsed and checked against limits, but which is not decoded yet."""

    layout: JpegLayout
    stripped: StrippedFile
    limits: ImageLimits


@dataclass(frozen=True, kw_only=True, eq=False)
class DecodedJpeg:
    """Samples of a JPEG as coded, and the facts in its markers.

    `samples` are [h, w, 3] RGB, or [h, w] for one component, neither rotated nor converted by a profile. `luma` [h, w]
    is the luma plane before the conversion to RGB, or None if the file is neither YCbCr nor grey. `orientation` is
    EXIF's.
    """

    layout: JpegLayout
    samples: NDArray[np.uint8]
    luma: NDArray[np.uint8] | None
    orientation: int
    profile: bytes | None
    space: ColourSpace | None

    def upright(self, plane: NDArray[Sample]) -> NDArray[Sample]:
        """Apply the file's orientation to a plane with the layout of the samples."""
        return upright(plane, self.orientation)

    def to_srgb(self) -> NDArray[np.uint8]:
        """Convert the samples as `decode` does: upright sRGB [H, W, 3], or [H, W] grey."""
        return self.upright(to_srgb(Image.fromarray(self.samples), self.profile, WHITE, self.space).pixels)


def parse_jpeg(jpeg: bytes, *, limits: ImageLimits = DEFAULT_LIMITS) -> ParsedJpeg:
    """Parse a JPEG's markers. Raises the errors that `decode` raises before decoding."""
    with foreign_errors(_TITLE, limits):
        stripped, layout = _jpeg.strip_with_layout(jpeg, limits)
        return ParsedJpeg(layout=layout, stripped=stripped, limits=limits)


def decode_jpeg(parsed: ParsedJpeg) -> DecodedJpeg:
    """Decode a parsed JPEG. Raises the errors of `decode`. A file of four components is converted to plain RGB."""
    from virtual_codec.codecs import rgb_of  # compiled loops, not needed in the API process

    stripped, limits = parsed.stripped, parsed.limits
    luma: NDArray[np.uint8] | None = None
    with foreign_errors(_TITLE, limits), open_image(stripped.file, _TITLE, _FORMATS, limits) as image:
        profile: bytes | None = image.info.get("icc_profile")
        limits.check_profile(len(profile or b""))
        if parsed.layout.colour_model == "ycbcr":
            image.draft("YCbCr", image.size)  # the planes before libjpeg converts them to RGB
        load(image, "JPEG")
        _jpeg.check_whole(stripped, image)
        if image.mode == "YCbCr":
            planes = np.asarray(image)
            luma = np.ascontiguousarray(planes[..., 0])
            samples = rgb_of(planes)
        else:
            samples = np.array(image if image.mode in ("RGB", "L") else image.convert("RGB"))
            luma = samples if samples.ndim == 2 else None
    return DecodedJpeg(
        layout=parsed.layout,
        samples=samples,
        luma=luma,
        orientation=stripped.orientation,
        profile=profile,
        space=stripped.space,
    )
