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


_SMALLER: Final = "Send a smaller image: scale it down, or cut it into pieces."
_AGAIN: Final = "Send the request again after the seconds that Retry-After names."

PROBLEMS: Final[dict[str, Problem]] = {
    "empty_body": Problem(
        status=400,
        title="There is no image",
        meaning="The request has no body, or the file in it has no bytes.",
        remedy="Send the image as the body, or as the part `file` of multipart/form-data.",
    ),
    "bad_multipart": Problem(
        status=400,
        title="The multipart body cannot be read",
        meaning="The body is not well-formed multipart/form-data, or it is cut short.",
        remedy="Send one file part named `file`, and options as query parameters or as short form fields.",
    ),
    "missing_file": Problem(
        status=400,
        title="There is no part named file",
        meaning="The multipart body lacks a part whose name is `file`, or that part is not the one with the file.",
        remedy='Name the part `file`, as in: curl -F "file=@photo.png".',
    ),
    "too_many_parts": Problem(
        status=400,
        title="The multipart body has too many parts",
        meaning="The multipart body has a second file, or more fields than are read.",
        remedy="Send one file a request, and each option once: as a query parameter or as a form field.",
    ),
    "field_too_large": Problem(
        status=400,
        title="A form field is too large",
        meaning="A part of the multipart body that is no file has more bytes than any option can need.",
        remedy="Send the image as the part named `file`, and options as short fields.",
    ),
    "headers_too_large": Problem(
        status=400,
        title="The headers are too large",
        meaning="The request line and the headers together have more bytes than are read.",
        remedy="Send fewer or shorter headers; cookies are the usual cause.",
    ),
    "bad_input": Problem(
        status=400,
        title="The request cannot be understood",
        meaning="What was sent is not a request that is understood here.",
        remedy="Compare the request with the documentation under /docs.",
    ),
    "unauthorized": Problem(
        status=401,
        title="An API key is needed",
        meaning="This service wants an API key, and the request has none, or a wrong one.",
        remedy="Send it as `Authorization: Bearer <key>` or as `X-API-Key: <key>`.",
    ),
    "not_found": Problem(
        status=404,
        title="There is nothing here",
        meaning="No page, model or problem has this path.",
        remedy="See /docs for what there is, /problems for the problems.",
    ),
    "model_not_found": Problem(
        status=404,
        title="There is no such model",
        meaning="The model store has no model of that name or id that could do this.",
        remedy="See /models for the models there are, or leave `model` out for the default.",
    ),
    "method_not_allowed": Problem(
        status=405,
        title="Not with this method",
        meaning="The path exists, but not for the method of the request.",
        remedy="Use a method that the Allow header names.",
    ),
    "not_acceptable": Problem(
        status=406,
        title="No image type that is accepted",
        meaning="The Accept header excludes every type that the restored image can be sent in.",
        remedy="Accept image/png, image/webp or image/bmp, or leave Accept out.",
    ),
    "headers_timeout": Problem(
        status=408,
        title="The headers came too slowly",
        meaning="The request line and the headers were not complete in the time they may take.",
        remedy="Send the request again, over a faster line.",
    ),
    "body_timeout": Problem(
        status=408,
        title="The body came too slowly",
        meaning="The body of the request was not complete in the time it may take.",
        remedy="Send it again over a faster line, or send a smaller file.",
    ),
    "body_too_large": Problem(
        status=413,
        title="The body is too large",
        meaning="The body has more bytes than are read.",
        remedy="Send a smaller file: the same image in a tighter format, or a smaller image.",
    ),
    "too_many_pixels": Problem(
        status=413,
        title="The image has too many pixels",
        meaning="By its header the image has more pixels than are decoded.",
        remedy=_SMALLER,
    ),
    "side_too_long": Problem(
        status=413,
        title="A side of the image is too long",
        meaning="By its header the image is wider or higher than is decoded.",
        remedy=_SMALLER,
    ),
    "unsupported_media_type": Problem(
        status=415,
        title="Not a kind of body that is read",
        meaning="Bodies of application/x-www-form-urlencoded, which curl calls all that --data sends, are not read.",
        remedy="Say what it is: `curl -H 'Content-Type: image/png' --data-binary @photo.png`, or send a form: "
        "`curl -F file=@photo.png`.",
    ),
    "unsupported_encoding": Problem(
        status=415,
        title="The body is encoded",
        meaning="The body was sent under a Content-Encoding. Images are compressed already.",
        remedy="Send it without Content-Encoding.",
    ),
    "unsupported_format": Problem(
        status=415,
        title="Not an image format that is read",
        meaning="By their first bytes the data are not of a format that is taken here.",
        remedy="/compress takes PNG, JPEG, WebP, TIFF, BMP, GIF, AVIF and JPEG 2000; "
        "/decompress JPEG, WebP, AVIF and JPEG 2000.",
    ),
    "undecodable_image": Problem(
        status=422,
        title="The image cannot be decoded",
        meaning="The image is damaged, truncated, or of a variant that is not read.",
        remedy="Check that the whole file was sent and that other programs open it; save it anew.",
    ),
    "too_many_scans": Problem(
        status=422,
        title="The JPEG has too many scans",
        meaning="The progressive JPEG has so many scans that it is not decoded.",
        remedy="Save it anew: no ordinary encoder writes more than about a dozen scans.",
    ),
    "too_many_segments": Problem(
        status=422,
        title="The file is in too many pieces",
        meaning="The file has more segments, chunks, blocks or tags than any honest image; reading them all is work.",
        remedy="Save the image anew with any program, without its metadata.",
    ),
    "profile_too_large": Problem(
        status=422,
        title="The colour profile is too large",
        meaning="The ICC profile in the file has more bytes, once decompressed, than are read.",
        remedy="Convert the image to sRGB and save it without a profile.",
    ),
    "animated_image": Problem(
        status=422,
        title="The image is animated",
        meaning="The file holds more than one frame.",
        remedy="Send one frame of it.",
    ),
    "bad_option": Problem(
        status=422,
        title="An option is wrong",
        meaning="An option is unknown, given twice, out of range, or contradicts another.",
        remedy="See /docs for the options. Send them as query parameters or as form fields, not both.",
    ),
    "unreachable_target": Problem(
        status=422,
        title="The target cannot be reached",
        meaning="No stream of this image is that small, or that good.",
        remedy="Ask for the nearest value that can be had, which the detail names.",
    ),
    "bad_stream": Problem(
        status=422,
        title="The stream is damaged",
        meaning="The file carries this service's segment, but damaged, doubled, or from a later version.",
        remedy="Send the stream as /compress made it; programs that rewrite files may damage it.",
    ),
    "unknown_stream_model": Problem(
        status=422,
        title="The stream's model is not here",
        meaning="The stream was made by a model that this server's store lacks.",
        remedy="Restore it on a server that has the model; the detail names its id.",
    ),
    "poison_input": Problem(
        status=422,
        title="This input ends its workers",
        meaning="Twice a worker ended while it had this input and nothing else; it is not taken again.",
        remedy="Save the image anew. If it is an ordinary image, please report it.",
    ),
    "quota_exceeded": Problem(
        status=429,
        title="The quota is used up",
        meaning="The caller has sent more than its own quota allows.",
        remedy=_AGAIN,
    ),
    "internal": Problem(
        status=500,
        title="An error of the service",
        meaning="Something went wrong that should not. It has been logged under the request's id.",
        remedy="Report it with the request id.",
    ),
    "bad_model": Problem(
        status=500,
        title="The model is damaged",
        meaning="A model in this server's store is damaged or incomplete.",
        remedy="Tell the operator: the log says which file it is.",
    ),
    "unavailable": Problem(
        status=503,
        title="Not now",
        meaning="The service cannot do this at the moment: there is not enough memory for it, for example.",
        remedy=_AGAIN,
    ),
    "overloaded": Problem(
        status=503,
        title="The service is full",
        meaning="As much work waits as can be done in time. Nothing was begun for this request.",
        remedy=_AGAIN,
    ),
    "draining": Problem(
        status=503,
        title="The service is stopping",
        meaning="The service is about to stop and takes nothing new.",
        remedy=_AGAIN,
    ),
    "no_worker": Problem(
        status=503,
        title="No worker is up",
        meaning="No worker is there that could do the work: they are starting, or cannot start.",
        remedy=_AGAIN,
    ),
    "deadline_exceeded": Problem(
        status=504,
        title="The time is over",
        meaning="The deadline of the request passed before the work was done.",
        remedy="Allow more time with Request-Timeout-Ms, ask for less effort, or send a smaller image.",
    ),
}
