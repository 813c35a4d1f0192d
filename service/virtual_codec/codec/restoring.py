"""Restoring of streams: those of this project at the image's size, foreign JPEGs at their own."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from virtual_codec import bitstream, images
from virtual_codec.codec import foreign
from virtual_codec.codec.model import LoadedModel, as_colour, condition_of, plain_restore
from virtual_codec.codec.trial import Stopwatch
from virtual_codec.errors import BadStream, TooManyPixels
from virtual_codec.images import ImageLimits
from virtual_codec.jobs import check_deadline


def restored_own(
    data: bytes,
    header: bitstream.StreamHeader,
    model: LoadedModel,
    limits: ImageLimits,
    stopwatch: Stopwatch,
) -> NDArray[np.uint8]:
    """Image restored from a stream of this project, [H, W, 3] or [H, W].

    Raises `BadStream` when the header does not fit the picture, `TooManyPixels`, `DeadlineExceeded`, and the errors of
    decoding.
    """
    with stopwatch.stage("decode"):
        parsed = images.parse_jpeg(data, limits=limits)
        layout = parsed.layout
        width = header.scale * (layout.width - 1) + header.width_remainder
        height = header.scale * (layout.height - 1) + header.height_remainder
        if width * height > limits.max_pixels:
            raise TooManyPixels(
                f"the stream restores to {width}x{height} pixels; at most {limits.max_pixels} are made",
                limit=limits.max_pixels,
                actual=width * height,
            )
        has_fitting_components = layout.components == 1 or (layout.components == 3 and not header.grey_as_colour)
        if header.scale not in model.manifest.scales or not has_fitting_components or layout.precision != 8:
            raise BadStream("the stream carries a VCDC segment that does not belong to its picture")
        decoded = images.decode_jpeg(parsed).samples
    check_deadline()
    with stopwatch.stage("device"):
        if header.show_decoded:
            restored = plain_restore(decoded, header.scale)
        else:
            restored = model.restore(decoded, header.scale, condition_of(layout, own=True))
    restored = restored[:height, :width]
    return as_colour(restored) if header.grey_as_colour else restored


def restored_foreign(data: bytes, model: LoadedModel, limits: ImageLimits, stopwatch: Stopwatch) -> NDArray[np.uint8]:
    """Foreign JPEG with its artefacts removed, upright, [H, W, 3] or [H, W]; plainly decoded where nothing can be done.

    Raises `DeadlineExceeded`, and the errors of decoding.
    """
    with stopwatch.stage("decode"):
        parsed = images.parse_jpeg(data, limits=limits)
        if parsed.layout.colour_model == "four components":
            return images.decode(data, limits=limits)
        jpeg = images.decode_jpeg(parsed)
        decoded = jpeg.to_srgb()
        if not foreign.can_restore(parsed.layout):
            return decoded
        correction = foreign.primary_luma_correction(jpeg)
    check_deadline()
    with stopwatch.stage("device"):
        return foreign.restore(model, decoded, parsed.layout, correction)
