"""Everything that can go wrong, as one tree.

    VirtualCodecError
    ├── BadInput             the caller sent something that cannot be done
    │   ├── EmptyInput  BadMultipart  MissingFile                                   request body
    │   ├── UnsupportedMediaType  UnsupportedEncoding  UnsupportedFormat            kind of body
    │   ├── HeadersTooLarge  BodyTooLarge  TooManyParts  FieldTooLarge              limits of requests
    │   ├── TooManyPixels  SideTooLong  TooManyScans  TooManySegments  ProfileTooLarge        of images
    │   ├── UndecodableImage  AnimatedImage  BadStream  UnknownStreamModel          contents
    │   ├── BadOption  UnreachableTarget  NotAcceptable                             wishes
    │   └── PoisonInput                                                             killed its workers
    ├── NotFound             no such thing
    │   └── ModelNotFound
    ├── Unavailable          not now; try again after `retry_after_s`
    │   ├── Overloaded  Draining  NoWorker
    │   └── QuotaExceeded
    ├── Unauthorized  MethodNotAllowed  HeadersTimeout  BodyTimeout
    ├── DeadlineExceeded     the time the caller gave has passed
    ├── BadModel             a model folder is damaged or of an unknown kind
    └── BadTrainingData      a data folder nothing can be trained on

Each class has a `code`: stable, public and documented under /problems/<code>, but for that of BadTrainingData, which
serving never raises. HTTP statuses live in `virtual_codec.api.problems` only. Messages say what was wrong and
what would be right, and are safe to show.
"""

from __future__ import annotations

from typing import ClassVar, final


class VirtualCodecError(Exception):
    """The root: an error with a stable code, and the limit that was passed where there was one.

    `worker` is the name of who met it, where a pool knows; it stays in the log.
    """

    code: ClassVar[str] = "internal"

    def __init__(
        self,
        detail: str = "",
        *,
        limit: float | None = None,
        actual: float | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.limit = limit
        self.actual = actual
        self.retry_after_s = retry_after_s
        self.worker = ""

    def __reduce__(self) -> tuple[object, ...]:  # keyword arguments do not survive Exception's own pickling
        return (_rebuild, (type(self), self.detail, self.limit, self.actual, self.retry_after_s))


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out, the machine's or a device's: libraries have no one exception for it."""
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"  # PyTorch's, of a device
        or any(words in str(error) for words in ("can't allocate memory", "bad_alloc"))
    )


def _rebuild(
    kind: type[VirtualCodecError],
    detail: str,
    limit: float | None,
    actual: float | None,
    retry_after_s: float | None,
) -> VirtualCodecError:
    return kind(detail, limit=limit, actual=actual, retry_after_s=retry_after_s)


class BadInput(VirtualCodecError):
    """What the caller sent cannot be done."""

    code = "bad_input"


@final
class EmptyInput(BadInput):
    """There are no bytes."""

    code = "empty_body"


@final
class BadMultipart(BadInput):
    """The multipart body is malformed or cut short."""

    code = "bad_multipart"


@final
class MissingFile(BadInput):
    """A multipart body without exactly one file part named `file`."""

    code = "missing_file"


@final
class UnsupportedMediaType(BadInput):
    """A Content-Type that is not read at all."""

    code = "unsupported_media_type"


@final
class UnsupportedEncoding(BadInput):
    """A request body under a Content-Encoding."""

    code = "unsupported_encoding"


@final
class UnsupportedFormat(BadInput):
    """The bytes are not of an image format that is taken here."""

    code = "unsupported_format"


@final
class HeadersTooLarge(BadInput):
    """More bytes before the body than are read."""

    code = "headers_too_large"


@final
class BodyTooLarge(BadInput):
    """More bytes than are read."""

    code = "body_too_large"


@final
class TooManyParts(BadInput):
    """A multipart body with more parts than are read."""

    code = "too_many_parts"


@final
class FieldTooLarge(BadInput):
    """A multipart field with more bytes than are read."""

    code = "field_too_large"


@final
class TooManyPixels(BadInput):
    """More pixels than are decoded, by the header."""

    code = "too_many_pixels"


@final
class SideTooLong(BadInput):
    """A side longer than is decoded, by the header."""

    code = "side_too_long"


@final
class TooManyScans(BadInput):
    """A JPEG with so many scans that decoding it is an attack."""

    code = "too_many_scans"


@final
class TooManySegments(BadInput):
    """An image file in more pieces than are walked: segments, chunks, blocks or tags."""

    code = "too_many_segments"


@final
class ProfileTooLarge(BadInput):
    """An ICC profile of more bytes, once decompressed, than are read."""

    code = "profile_too_large"


@final
class UndecodableImage(BadInput):
    """The image is damaged, truncated or of a variant no decoder here reads."""

    code = "undecodable_image"


@final
class AnimatedImage(BadInput):
    """More than one frame."""

    code = "animated_image"


@final
class BadStream(BadInput):
    """A stream of ours whose segment is damaged, doubled or of a version from the future."""

    code = "bad_stream"


@final
class UnknownStreamModel(BadInput):
    """A stream of ours, made by a model this store lacks."""

    code = "unknown_stream_model"


@final
class BadOption(BadInput):
    """An option is unknown, given twice, out of range, or contradicts another."""

    code = "bad_option"


@final
class UnreachableTarget(BadInput):
    """No stream meets the target; the message says the nearest that can be had."""

    code = "unreachable_target"


@final
class NotAcceptable(BadInput):
    """No output type that the caller accepts."""

    code = "not_acceptable"


@final
class PoisonInput(BadInput):
    """This input killed the workers that had it, and is refused from then on."""

    code = "poison_input"


class NotFound(VirtualCodecError):
    """There is nothing of that name."""

    code = "not_found"


@final
class ModelNotFound(NotFound):
    """The store has no model of that name or id."""

    code = "model_not_found"


class Unavailable(VirtualCodecError):
    """Not now; `retry_after_s` says when."""

    code = "unavailable"


@final
class Overloaded(Unavailable):
    """The queue holds as much work as can be done in time."""

    code = "overloaded"


@final
class Draining(Unavailable):
    """The service is about to stop and takes nothing new."""

    code = "draining"


@final
class NoWorker(Unavailable):
    """No worker is up."""

    code = "no_worker"


@final
class QuotaExceeded(Unavailable):
    """The caller's own quota is used up."""

    code = "quota_exceeded"


@final
class Unauthorized(VirtualCodecError):
    """An API key is required, and missing or wrong."""

    code = "unauthorized"


@final
class MethodNotAllowed(VirtualCodecError):
    """The path exists, the method does not."""

    code = "method_not_allowed"


@final
class HeadersTimeout(VirtualCodecError):
    """What comes before the body arrived too slowly."""

    code = "headers_timeout"


@final
class BodyTimeout(VirtualCodecError):
    """The body arrived too slowly."""

    code = "body_timeout"


@final
class DeadlineExceeded(VirtualCodecError):
    """The time the caller gave has passed."""

    code = "deadline_exceeded"


@final
class BadModel(VirtualCodecError):
    """A model folder is damaged, incomplete or of an unknown kind."""

    code = "bad_model"


@final
class BadTrainingData(VirtualCodecError):
    """A data folder that nothing can be trained or measured on."""

    code = "bad_training_data"
