"""OpenAPI descriptions of the endpoints, beyond those that FastAPI derives from the code."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, get_args

from virtual_codec.api.problems import MEDIA_TYPE, PROBLEMS
from virtual_codec.jobs import DEFAULT_EFFORT, DEFAULT_QUALITY, OrdinaryFormat
from virtual_codec.option_text import RANGES

JsonObject = dict[str, Any]

DESCRIPTION: Final = """
Image compression that stays inside a plain JPEG: `/compress` makes a small standard JPEG that every program
opens, `/decompress` restores the image from it with a neural network. Any other JPEG can be restored too.

    curl -fsS -F "file=@photo.png" "$SERVER/compress?quality=40" -o photo.jpg
    curl -fsS -H "Content-Type: image/jpeg" --data-binary @photo.jpg "$SERVER/decompress" -o back.png

`$SERVER` is the address of this server.

Every error is an [RFC 9457](https://www.rfc-editor.org/rfc/rfc9457) problem whose `type` leads to its page.
"""

_BINARY: Final[JsonObject] = {"schema": {"type": "string", "format": "binary"}}


def _numbers(name: str) -> JsonObject:
    allowed = RANGES[name]
    kind, low = ("integer", "minimum") if allowed.is_whole else ("number", "exclusiveMinimum")
    return {"type": kind, low: allowed.low, "maximum": allowed.high}


_OPTIONS: Final[tuple[tuple[str, JsonObject, str], ...]] = (
    (
        "quality",
        _numbers("quality") | {"default": DEFAULT_QUALITY},
        (
            "Quality on JPEG's own scale. From 5 to 95 the mean PSNR of photographs is at least that of JPEGs of the "
            "same quality, in no more bytes. Other pictures, or a fixed `scale`, come as close to this as possible."
        ),
    ),
    (
        "max_bytes",
        _numbers("max_bytes"),
        "Instead of `quality`: the best image within this many bytes.",
    ),
    (
        "max_bpp",
        _numbers("max_bpp"),
        "Instead of `quality`: the best image within this many bits per pixel.",
    ),
    (
        "min_psnr",
        _numbers("min_psnr"),
        "Instead of `quality`: the smallest stream whose restored image has this PSNR (RGB, dB).",
    ),
    (
        "min_ms_ssim",
        _numbers("min_ms_ssim"),
        "Instead of `quality`: the smallest stream whose restored image has this MS-SSIM (RGB mean, sides from 161).",
    ),
    (
        "effort",
        _numbers("effort") | {"default": DEFAULT_EFFORT},
        "Higher values take more time to make the stream smaller at equal quality.",
    ),
    (
        "scale",
        {"type": "string", "enum": ["auto", "1", "2"], "default": "auto"},
        "Downscaling factor of the picture in the stream.",
    ),
    (
        "codec",
        {"type": "string", "enum": ["jpeg", "webp", "avif", "jpeg2000"], "default": "jpeg"},
        "The standard codec of the stream; all but `jpeg` work at scale 1.",
    ),
    (
        "metadata",
        {"type": "string", "enum": ["none", "exif", "xmp", "all"], "default": "none"},
        "Metadata that the stream and the restored PNG or WebP keep; location only with `all`.",
    ),
    ("model", {"type": "string"}, "A model's name or id, see /models. Default: the store's default."),
    (
        "measure",
        {"type": "boolean", "default": False},
        "`true` reports PSNR and MS-SSIM of the restored image even if no target needs them.",
    ),
    (
        "background",
        {"type": "string", "pattern": "^[0-9a-fA-F]{6}$", "default": "ffffff"},
        "Colour behind transparent pixels, as rrggbb.",
    ),
)

_STREAM_TYPES: Final = ["image/jpeg", "image/webp", "image/avif", "image/jp2"]

_COMMON_HEADERS: Final[dict[str, str]] = {
    "Vcodec-Model": "Id of the model.",
    "Vcodec-Scale": "Downscaling factor of the picture in the stream.",
    "Vcodec-Size": "WIDTHxHEIGHT of the image.",
    "Vcodec-Bpp": "Bits of the stream per pixel of the image.",
    "Server-Timing": "Milliseconds of the stages decode, queue, device and encode.",
    "X-Request-ID": "The request's id: the caller's own, if it sent one.",
}
_COMPRESS_HEADERS: Final[dict[str, str]] = {
    "Vcodec-Quality": "The quality that was used.",
    "Vcodec-Psnr": "PSNR of the restored image (RGB, dB).",
    "Vcodec-Ms-Ssim": "MS-SSIM of the restored image, if the request has `min_ms_ssim` or `measure`.",
    "Vcodec-Left-Out": "Comma-separated parts of the image that the stream does not keep: exif, xmp, location, "
    "maker-notes (see `metadata`), transparency (see `background`). Absent if there are none.",
}
_ORDINARY_OPTIONS: Final[tuple[tuple[str, JsonObject, str], ...]] = (
    ("format", {"type": "string", "enum": list(get_args(OrdinaryFormat)), "default": "jpeg"}, "The file's format."),
    ("quality", _numbers("quality"), "The encoder's own quality."),
    ("max_bytes", _numbers("max_bytes"), "Instead of `quality`: the highest quality within this many bytes."),
)
_ORDINARY_HEADERS: Final[dict[str, str]] = {
    "Vcodec-Size": "WIDTHxHEIGHT of the image.",
    "Vcodec-Bpp": "Bits of the file per pixel of the image.",
    "Vcodec-Quality": "The quality that was used.",
    "Vcodec-Psnr": "PSNR of the decoded file (RGB, dB).",
    "Vcodec-Ms-Ssim": "MS-SSIM of the decoded file, if both sides have at least 161 pixels.",
    "Server-Timing": "Milliseconds of the stages decode, queue, device and encode.",
    "X-Request-ID": "The request's id: the caller's own, if it sent one.",
}

_BODY_PROBLEMS: Final = (
    *("empty_body", "bad_multipart", "missing_file", "too_many_parts", "field_too_large", "headers_too_large"),
    *("bad_input", "unauthorized", "headers_timeout", "body_timeout", "body_too_large"),
    *("too_many_pixels", "side_too_long", "unsupported_media_type", "unsupported_encoding"),
    *("unsupported_format", "undecodable_image", "too_many_scans", "too_many_segments", "profile_too_large"),
    *("bad_option", "poison_input"),
    *("overloaded", "draining", "no_worker", "unavailable", "deadline_exceeded", "quota_exceeded"),
    *("internal", "bad_model"),
)


def compress_docs(*, max_effort: int, timeout_s: float, max_timeout_s: float) -> JsonObject:
    """Keyword arguments of the /compress route of a server with these limits."""
    effort = {"maximum": max_effort, "default": min(DEFAULT_EFFORT, max_effort)}
    options = [(name, schema | effort if name == "effort" else schema, meaning) for name, schema, meaning in _OPTIONS]
    parameters, fields = _option_docs(options)
    of_streams = ("bad_stream", "unknown_stream_model")  # a stream of this project is restored first
    codes = (*_BODY_PROBLEMS, "model_not_found", "animated_image", "unreachable_target", *of_streams)
    return {
        "summary": "Image to stream",
        "tags": ["codec"],
        "responses": {
            200: _answer("The stream.", _STREAM_TYPES, _COMMON_HEADERS | _COMPRESS_HEADERS),
            **problem_docs(codes),
        },
        "openapi_extra": {
            "parameters": [*parameters, _timeout(timeout_s, max_timeout_s)],
            "requestBody": _body(["image/*"], fields),
        },
    }


def ordinary_docs(*, timeout_s: float, max_timeout_s: float) -> JsonObject:
    """Keyword arguments of the /playground/ordinary route of a server with these limits."""
    parameters, fields = _option_docs(_ORDINARY_OPTIONS)
    codes = (*_BODY_PROBLEMS, "animated_image", "unreachable_target")
    return {
        "summary": "Image to ordinary JPEG, WebP or AVIF, for comparison",
        "tags": ["playground"],
        "responses": {
            200: _answer("The file.", ["image/jpeg", "image/webp", "image/avif"], _ORDINARY_HEADERS),
            **problem_docs(codes),
        },
        "openapi_extra": {
            "parameters": [*parameters, _timeout(timeout_s, max_timeout_s)],
            "requestBody": _body(["image/*"], fields),
        },
    }


def decompress_docs(*, timeout_s: float, max_timeout_s: float) -> JsonObject:
    """Keyword arguments of the /decompress route of a server with these limits."""
    codes = (*_BODY_PROBLEMS, "animated_image", "not_acceptable", "bad_stream", "unknown_stream_model")
    return {
        "summary": "Stream to restored image",
        "tags": ["codec"],
        "responses": {
            200: _answer("The restored image.", ["image/png", "image/webp", "image/bmp"], _COMMON_HEADERS),
            **problem_docs(codes),
        },
        "openapi_extra": {
            "parameters": [_timeout(timeout_s, max_timeout_s)],
            "requestBody": _body(_STREAM_TYPES, {}),
        },
    }


def file_docs(media_type: str, docs: JsonObject) -> JsonObject:
    """Keyword arguments of a route that answers with a file of this type, added to those in `docs`."""
    answer = {200: {"description": "The file.", "content": {media_type: _BINARY}}}
    return {**docs, "tags": ["web"], "responses": answer | docs["responses"]}


def path_docs(meanings: Mapping[str, str], codes: Iterable[str]) -> JsonObject:
    """Keyword arguments of a route with these parameters in its path: name -> meaning."""
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}, "description": meaning}
        for name, meaning in meanings.items()
    ]
    return {"responses": problem_docs(codes), "openapi_extra": {"parameters": parameters}}


def problem_docs(codes: Iterable[str]) -> dict[int | str, JsonObject]:
    """The `responses` of a route that may end in these problems, by status."""
    by_status: dict[int, list[str]] = {}
    for code in codes:
        by_status.setdefault(PROBLEMS[code].status, []).append(code)
    return {
        status: {
            "description": " / ".join(PROBLEMS[code].title for code in found),
            "content": {
                MEDIA_TYPE: {
                    "schema": _PROBLEM_SCHEMA,
                    "examples": {code: {"value": _example(code)} for code in found},
                }
            },
        }
        for status, found in sorted(by_status.items())
    }


def _option_docs(options: Sequence[tuple[str, JsonObject, str]]) -> tuple[list[JsonObject], JsonObject]:
    """Query parameters of these options, and the same as fields of a form."""
    parameters: list[JsonObject] = [
        {"name": name, "in": "query", "schema": schema, "description": meaning} for name, schema, meaning in options
    ]
    return parameters, {name: schema | {"description": meaning} for name, schema, meaning in options}


def _timeout(timeout_s: float, max_timeout_s: float) -> JsonObject:
    usual, most = (max(1, round(1000 * seconds)) for seconds in (min(timeout_s, max_timeout_s), max_timeout_s))
    return {
        "name": "Request-Timeout-Ms",
        "in": "header",
        "schema": {"type": "integer", "minimum": 1, "default": usual},
        "description": f"Deadline of the request in milliseconds. Values above {most} count as {most}.",
    }


def _answer(description: str, media_types: list[str], headers: dict[str, str]) -> JsonObject:
    return {
        "description": description,
        "content": dict.fromkeys(media_types, _BINARY),
        "headers": {name: {"description": meaning, "schema": {"type": "string"}} for name, meaning in headers.items()},
    }


def _body(media_types: list[str], fields: JsonObject) -> JsonObject:
    form = {
        "type": "object",
        "required": ["file"],
        "properties": {"file": {"type": "string", "format": "binary"}, **fields},
    }
    return {
        "required": True,
        "content": {
            "multipart/form-data": {"schema": form},
            **dict.fromkeys(media_types, _BINARY),
            "application/octet-stream": _BINARY,
        },
    }


def _example(code: str) -> JsonObject:
    problem = PROBLEMS[code]
    return {
        "type": f"/problems/{code}",
        "title": problem.title,
        "status": problem.status,
        "detail": problem.meaning,
        "instance": "/compress",
        "code": code,
        "request_id": "5f3b2a0c-6c8e-4a51-9a54-1f1d3a1f9b7e",
    }


_PROBLEM_SCHEMA: Final[JsonObject] = {
    "type": "object",
    "title": "Problem",
    "required": ["type", "title", "status", "detail", "instance", "code", "request_id"],
    "properties": {
        "type": {"type": "string", "format": "uri-reference"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "instance": {"type": "string", "format": "uri-reference"},
        "code": {"type": "string", "enum": sorted(PROBLEMS)},
        "request_id": {"type": "string"},
        "limit": {"type": "number", "description": "The limit that was exceeded."},
        "actual": {"type": "number", "description": "The value that was sent."},
    },
}
