"""Errors of the caller's input, which the caller can correct."""

from __future__ import annotations

from typing import final

from virtual_codec.errors._base import VirtualCodecError


class BadInput(VirtualCodecError):
    """Caller's input that cannot be processed."""

    code = "bad_input"


@final
class EmptyInput(BadInput):
    """Empty input: no bytes at all."""

    code = "empty_body"


@final
class BadMultipart(BadInput):
    """Multipart body that is malformed or truncated."""

    code = "bad_multipart"


@final
class MissingFile(BadInput):
    """Multipart body without exactly one file part named `file`."""

    code = "missing_file"


@final
class UnsupportedMediaType(BadInput):
    """Content-Type that is not accepted."""

    code = "unsupported_media_type"


@final
class UnsupportedEncoding(BadInput):
    """Request body with a Content-Encoding."""

    code = "unsupported_encoding"


@final
class UnsupportedFormat(BadInput):
    """Input that is in no supported image format."""

    code = "unsupported_format"


@final
class HeadersTooLarge(BadInput):
    """Request line and headers above the size limit."""

    code = "headers_too_large"


@final
class BodyTooLarge(BadInput):
    """Request body above the size limit."""

    code = "body_too_large"


@final
class TooManyParts(BadInput):
    """Multipart body with too many parts."""

    code = "too_many_parts"


@final
class FieldTooLarge(BadInput):
    """Multipart field above the size limit."""

    code = "field_too_large"


@final
class TooManyPixels(BadInput):
    """Image whose header states more pixels than the limit."""

    code = "too_many_pixels"


@final
class SideTooLong(BadInput):
    """Image whose header states a side above the limit."""

    code = "side_too_long"


@final
class TooManyScans(BadInput):
    """JPEG with too many scans; each scan adds decoding time."""

    code = "too_many_scans"


@final
class TooManySegments(BadInput):
    """Image file with too many segments, chunks, blocks or tags."""

    code = "too_many_segments"


@final
class ProfileTooLarge(BadInput):
    """ICC profile above the size limit after decompression."""

    code = "profile_too_large"


@final
class UndecodableImage(BadInput):
    """Image that is damaged, truncated or of an unsupported variant."""

    code = "undecodable_image"


@final
class AnimatedImage(BadInput):
    """Animated image: more than one frame."""

    code = "animated_image"


@final
class BadStream(BadInput):
    """Stream of this project whose segment is damaged, repeated or of a later version."""

    code = "bad_stream"


@final
class UnknownStreamModel(BadInput):
    """Stream of this project, made by a model that is missing from the store."""

    code = "unknown_stream_model"


@final
class BadOption(BadInput):
    """Option that is unknown, repeated, out of range, or contradicts another one."""

    code = "bad_option"


@final
class UnreachableTarget(BadInput):
    """Target that no stream reaches; the message names the nearest reachable value."""

    code = "unreachable_target"


@final
class NotAcceptable(BadInput):
    """Accept header that excludes every output type."""

    code = "not_acceptable"


@final
class PoisonInput(BadInput):
    """Input that killed the workers that processed it, and is now refused."""

    code = "poison_input"
