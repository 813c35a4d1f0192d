"""Restoring of streams: this project's streams at the original's size, foreign pictures at their own."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from virtual_codec import bitstream, images
from virtual_codec.codec import foreign
from virtual_codec.codec.model import (
    ModelNetworks,
    as_colour,
    as_grey,
    condition_of,
    condition_of_quantisation,
    plain_restore,
)
from virtual_codec.codec.stopwatch import Stopwatch
from virtual_codec.codecs import QUALITY_CODECS, QualityCodec, is_transposed
from virtual_codec.errors import BadStream
from virtual_codec.images import DecodedJpeg, ImageLimits, ParsedJpeg
from virtual_codec.jobs import check_deadline

# Luma step below which a WebP, AVIF or JPEG 2000 of another encoder is shown as decoded.
_MIN_RESTORED_STEP: Final = 2.5


def find_header(data: bytes, limits: ImageLimits) -> bitstream.StreamHeader | None:
    """Header of a stream of this project, or None for any other file.

    Raises `BadStream` for a damaged header, and the errors of `images.sniff` and of parsing.
    """
    form = images.sniff(data)
    if form == "jpeg":
        return bitstream.find(data, max_segments=limits.max_segments)
    codec = QUALITY_CODECS.get(form)
    return None if codec is None else bitstream.find_attached(data, codec.name)


def restored_own(
    data: bytes, header: bitstream.StreamHeader, model: ModelNetworks, limits: ImageLimits, stopwatch: Stopwatch
) -> NDArray[np.uint8]:
    """Image restored from a stream of this project, [H, W, 3] or [H, W].

    An EXIF orientation is not applied; only another tool can have added one. Raises `BadStream` if the header does not
    fit the picture, `TooManyPixels`, `SideTooLong`, `DeadlineExceeded`, and the errors of decoding.
    """
    if (codec := QUALITY_CODECS.get(images.sniff(data))) is not None:
        return _restored_by_quality(data, codec, header, model, limits, stopwatch)
    return _restored_jpeg(data, header, model, limits, stopwatch)[1]


def restored_upright(
    data: bytes, header: bitstream.StreamHeader, model: ModelNetworks, limits: ImageLimits, stopwatch: Stopwatch
) -> NDArray[np.uint8]:
    """Image restored from a stream of this project, rotated by the EXIF orientation that another tool added.

    Raises the errors of `restored_own`.
    """
    if (codec := QUALITY_CODECS.get(images.sniff(data))) is not None:
        return _restored_by_quality(data, codec, header, model, limits, stopwatch)
    jpeg, restored = _restored_jpeg(data, header, model, limits, stopwatch)
    return jpeg.upright(restored)


def restored_foreign(data: bytes, model: ModelNetworks, limits: ImageLimits, stopwatch: Stopwatch) -> NDArray[np.uint8]:
    """Foreign picture with its artefacts removed, upright sRGB, [H, W, 3] or [H, W].

    A JPEG's samples are restored as coded, before orientation and colour profile are applied; a WebP, AVIF or JPEG 2000
    afterwards, its alpha flattened onto white. A picture that the network cannot improve is only decoded. Raises
    `DeadlineExceeded`, and the errors of decoding.
    """
    if (codec := QUALITY_CODECS.get(images.sniff(data))) is not None:
        return _restored_foreign_by_quality(data, codec, model, limits, stopwatch)
    with stopwatch.stage("decode"):
        parsed = images.parse_jpeg(data, limits=limits)
        if parsed.layout.colour_model == "four components":
            return images.decode(data, limits=limits)
        jpeg = images.decode_jpeg(parsed)
        if not foreign.can_restore(parsed.layout):
            return jpeg.to_srgb()
        correction = foreign.primary_luma_correction(jpeg)
    check_deadline()
    with stopwatch.stage("device"):
        restored = foreign.restore(model, jpeg.samples, parsed.layout, correction)
    with stopwatch.stage("decode"):
        if correction is None:
            restored = foreign.within_quantisation(jpeg.samples, restored, parsed.layout)
        return replace(jpeg, samples=restored).to_srgb()


def _restored_jpeg(
    data: bytes, header: bitstream.StreamHeader, model: ModelNetworks, limits: ImageLimits, stopwatch: Stopwatch
) -> tuple[DecodedJpeg, NDArray[np.uint8]]:
    with stopwatch.stage("decode"):
        parsed = images.parse_jpeg(data, limits=limits)
        width, height = _image_size(parsed, header)
        limits.check(width, height)
        layout = parsed.layout
        has_fitting_components = layout.components == 1 or (layout.components == 3 and not header.grey_as_colour)
        if header.scale not in model.manifest.scales or not has_fitting_components or layout.precision != 8:
            raise BadStream("the stream's VCDC segment does not fit its picture, which may have been changed")
        jpeg = images.decode_jpeg(parsed)
    check_deadline()
    with stopwatch.stage("device"):
        if header.show_decoded:
            restored = plain_restore(jpeg.samples, header.scale)
        else:
            restored = model.restore(jpeg.samples, header.scale, condition_of(layout, own=True))
    restored = restored[:height, :width]
    return jpeg, as_colour(restored) if header.grey_as_colour else restored


def _restored_by_quality(
    data: bytes,
    codec: QualityCodec,
    header: bitstream.StreamHeader,
    model: ModelNetworks,
    limits: ImageLimits,
    stopwatch: Stopwatch,
) -> NDArray[np.uint8]:
    """Image restored from a WebP, AVIF or JPEG 2000 stream of this project."""
    with stopwatch.stage("decode"):
        decoded = images.decode(data, limits=limits)
        found = bitstream.quantisation(data, codec.name)
    if (
        found is None
        or header.scale != 1
        or codec.name not in model.manifest.codecs
        or (header.colour_as_grey and (codec.has_grey or decoded.ndim == 2))
        or (header.grey_as_colour and decoded.ndim == 3 and not header.colour_as_grey)
    ):
        raise BadStream("the stream's VCDC header does not fit its picture, which may have been changed")
    check_deadline()
    picture = as_grey(decoded) if header.colour_as_grey else decoded
    if not header.show_decoded:
        with stopwatch.stage("device"):
            picture = model.restore(picture, 1, condition_of_quantisation(found))
    return as_colour(picture) if header.grey_as_colour else picture


def _restored_foreign_by_quality(
    data: bytes, codec: QualityCodec, model: ModelNetworks, limits: ImageLimits, stopwatch: Stopwatch
) -> NDArray[np.uint8]:
    """Foreign WebP, AVIF or JPEG 2000 with its artefacts removed, or as decoded if it has none."""
    with stopwatch.stage("decode"):
        decoded = images.decode(data, limits=limits)
        found = bitstream.quantisation(data, codec.name)
    if found is None or found.is_lossless or found.luma[1] < _MIN_RESTORED_STEP:
        return decoded
    check_deadline()
    with stopwatch.stage("device"):
        return model.restore(decoded, 1, condition_of_quantisation(found))


def _image_size(parsed: ParsedJpeg, header: bitstream.StreamHeader) -> tuple[int, int]:
    """Size (width, height) of the image. In a stream rotated by another tool, the two remainders are swapped."""
    remainders = header.width_remainder, header.height_remainder
    if parsed.layout.tables and is_transposed(parsed.layout.tables[0]):
        remainders = remainders[::-1]
    sides = parsed.layout.width, parsed.layout.height
    width, height = (header.scale * (side - 1) + rest for side, rest in zip(sides, remainders, strict=True))
    return width, height
