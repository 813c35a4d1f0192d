"""Table of problems: a row for the code of each error that serving raises."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, kw_only=True)
class Problem:
    """Problem type: HTTP status, title, meaning and remedy."""

    status: int
    title: str
    meaning: str
    remedy: str


_SMALLER_IMAGE_REMEDY: Final = "Send a smaller image: scale it down, or cut it into pieces."
_RETRY_REMEDY: Final = "Send the request again after the number of seconds in Retry-After."

PROBLEMS: Final[dict[str, Problem]] = {
    "empty_body": Problem(
        status=400,
        title="The request has no image",
        meaning="The request has no body, or the file in it has no bytes.",
        remedy="Send the image as the body, or as the part `file` of multipart/form-data.",
    ),
    "bad_multipart": Problem(
        status=400,
        title="The multipart body cannot be read",
        meaning="The body is not well-formed multipart/form-data, or it is truncated.",
        remedy="Send one file part named `file`, and options as query parameters or as short form fields.",
    ),
    "missing_file": Problem(
        status=400,
        title="There is no part named file",
        meaning="The multipart body has no part named `file`, or the file is in another part.",
        remedy='Name the part `file`, as in: curl -F "file=@photo.png".',
    ),
    "too_many_parts": Problem(
        status=400,
        title="The multipart body has too many parts",
        meaning="The multipart body has a second file, or more fields than the service accepts.",
        remedy="Send one file a request, and each option once: as a query parameter or as a form field.",
    ),
    "field_too_large": Problem(
        status=400,
        title="A form field is too large",
        meaning="A form field has more bytes than any option can need.",
        remedy="Send the image as the part named `file`, and options as short fields.",
    ),
    "headers_too_large": Problem(
        status=400,
        title="The headers are too large",
        meaning="The request line and the headers together have more bytes than the service accepts.",
        remedy="Send fewer or shorter headers; cookies are the usual cause.",
    ),
    "bad_input": Problem(
        status=400,
        title="The request is invalid",
        meaning="The request is malformed, or of a kind that this service does not accept.",
        remedy="Compare the request with the documentation under /docs.",
    ),
    "unauthorized": Problem(
        status=401,
        title="An API key is needed",
        meaning="This service requires an API key. The request has no key, or a wrong one.",
        remedy="Send it as `Authorization: Bearer <key>` or as `X-API-Key: <key>`.",
    ),
    "not_found": Problem(
        status=404,
        title="The path does not exist",
        meaning="No endpoint, page or problem has this path.",
        remedy="See /docs for the endpoints and /problems for the problems.",
    ),
    "model_not_found": Problem(
        status=404,
        title="The model does not exist",
        meaning="The model store has no model with this name or id that can do the job.",
        remedy="See /models for the available models, or omit `model` to use the default.",
    ),
    "method_not_allowed": Problem(
        status=405,
        title="The method is not allowed",
        meaning="The path does not support the method of the request.",
        remedy="Use a method in the Allow header.",
    ),
    "not_acceptable": Problem(
        status=406,
        title="No acceptable image type",
        meaning="The Accept header excludes every type that the service can send.",
        remedy="Accept image/png, image/webp or image/bmp, or omit the Accept header.",
    ),
    "headers_timeout": Problem(
        status=408,
        title="The headers arrived too slowly",
        meaning="The request line and the headers did not arrive within the time limit.",
        remedy="Send the request again over a faster connection.",
    ),
    "body_timeout": Problem(
        status=408,
        title="The body arrived too slowly",
        meaning="The body of the request did not arrive within the time limit.",
        remedy="Send the request again over a faster connection, or send a smaller file.",
    ),
    "body_too_large": Problem(
        status=413,
        title="The body is too large",
        meaning="The body has more bytes than the service accepts.",
        remedy="Send a smaller file: the same image in a more compact format, or a smaller image.",
    ),
    "too_many_pixels": Problem(
        status=413,
        title="The image has too many pixels",
        meaning="According to its header, the image has more pixels than the service decodes.",
        remedy=_SMALLER_IMAGE_REMEDY,
    ),
    "side_too_long": Problem(
        status=413,
        title="A side of the image is too long",
        meaning="According to its header, the image is wider or higher than the service decodes.",
        remedy=_SMALLER_IMAGE_REMEDY,
    ),
    "unsupported_media_type": Problem(
        status=415,
        title="The body has an unsupported type",
        meaning="The Content-Type is application/x-www-form-urlencoded, which curl sends with --data by default.",
        remedy="Set the image's type: `curl -H 'Content-Type: image/png' --data-binary @photo.png`, or send a form: "
        "`curl -F file=@photo.png`.",
    ),
    "unsupported_encoding": Problem(
        status=415,
        title="The body has a Content-Encoding",
        meaning="The request has a Content-Encoding header, which this service does not support.",
        remedy="Send the image without Content-Encoding; images are compressed already.",
    ),
    "unsupported_format": Problem(
        status=415,
        title="The file format is not supported",
        meaning="The first bytes of the file belong to no format that this endpoint accepts.",
        remedy="/compress accepts PNG, JPEG, WebP, TIFF, BMP, GIF, AVIF and JPEG 2000; "
        "/decompress accepts JPEG, WebP, AVIF and JPEG 2000.",
    ),
    "undecodable_image": Problem(
        status=422,
        title="The image cannot be decoded",
        meaning="The image is damaged or truncated, or uses a variant of its format that is not supported.",
        remedy="Check that the whole file was sent and that other programs open it, or save the image again.",
    ),
    "too_many_scans": Problem(
        status=422,
        title="The JPEG has too many scans",
        meaning="The progressive JPEG has more scans than the service decodes, because each scan costs time.",
        remedy="Save the image again: ordinary encoders write at most about a dozen scans.",
    ),
    "too_many_segments": Problem(
        status=422,
        title="The file has too many segments",
        meaning="The file has more segments, chunks, blocks or tags than the service reads.",
        remedy="Save the image again with any program, without its metadata.",
    ),
    "profile_too_large": Problem(
        status=422,
        title="The colour profile is too large",
        meaning="The decompressed ICC profile in the file has more bytes than the service reads.",
        remedy="Convert the image to sRGB and save it without a profile.",
    ),
    "animated_image": Problem(
        status=422,
        title="The image is animated",
        meaning="The file has more than one frame or page.",
        remedy="Send a single frame.",
    ),
    "bad_option": Problem(
        status=422,
        title="An option is invalid",
        meaning="An option is unknown, given twice, out of range, or contradicts another one.",
        remedy="See /docs for the options. Send them as query parameters or as form fields, not both.",
    ),
    "unreachable_target": Problem(
        status=422,
        title="The target cannot be reached",
        meaning="No stream of this image is small enough, or good enough, for the target.",
        remedy="Use the nearest reachable value, which `detail` names.",
    ),
    "bad_stream": Problem(
        status=422,
        title="The stream is damaged",
        meaning="The file has this service's segment, but the segment is damaged, repeated, or of a later version.",
        remedy="Send the stream as /compress returned it; programs that rewrite files may damage it.",
    ),
    "unknown_stream_model": Problem(
        status=422,
        title="The stream's model is missing",
        meaning="The stream was made by a model that this server does not have.",
        remedy="Restore the stream on a server that has the model; `detail` names the model's id.",
    ),
    "poison_input": Problem(
        status=422,
        title="The input crashes workers",
        meaning="Two workers ended while they processed only this input, so the service refuses it.",
        remedy="Save the image again. If it is an ordinary image, please report this.",
    ),
    "quota_exceeded": Problem(
        status=429,
        title="The quota is used up",
        meaning="The API key has used up its quota of requests or megapixels.",
        remedy=_RETRY_REMEDY,
    ),
    "internal": Problem(
        status=500,
        title="Internal error",
        meaning="The service has a bug or a fault. The log has the details under the request id.",
        remedy="Report the request id to the operator.",
    ),
    "bad_model": Problem(
        status=500,
        title="The model is damaged",
        meaning="A model in this server's store is damaged or incomplete.",
        remedy="Tell the operator: the log names the damaged file.",
    ),
    "unavailable": Problem(
        status=503,
        title="The service is unavailable",
        meaning="The service cannot do this at the moment, for example because memory is short.",
        remedy=_RETRY_REMEDY,
    ),
    "overloaded": Problem(
        status=503,
        title="The service is overloaded",
        meaning="The queue holds as much work as the service can do in time. No work was done for this request.",
        remedy=_RETRY_REMEDY,
    ),
    "draining": Problem(
        status=503,
        title="The service is shutting down",
        meaning="The service is shutting down and accepts no new requests.",
        remedy=_RETRY_REMEDY,
    ),
    "no_worker": Problem(
        status=503,
        title="No worker is ready",
        meaning="No worker process is ready: the workers are starting, or cannot start.",
        remedy=_RETRY_REMEDY,
    ),
    "deadline_exceeded": Problem(
        status=504,
        title="The deadline has passed",
        meaning="The deadline of the request passed before the work was done.",
        remedy="Allow more time with Request-Timeout-Ms, choose a lower effort, or send a smaller image.",
    ),
}
