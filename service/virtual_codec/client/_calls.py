"""Calls of the service: the requests that the verbs of a client stand for."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from virtual_codec.errors import BadOption
from virtual_codec.jobs import CompressOptions, OutputFormat
from virtual_codec.sources import file_bytes, image_file
from virtual_codec.stream import Stream

if TYPE_CHECKING:
    from virtual_codec.sources import FileSource, ImageSource

_MEDIA_TYPES: Final[Mapping[str, str]] = {"png": "image/png", "webp": "image/webp", "bmp": "image/bmp"}
_ANY_TYPE: Final = "application/octet-stream"  # the server tells formats by their first bytes


@dataclass(frozen=True, kw_only=True)
class Call:
    """Request without server and deadline. The body is bytes, or a file that is sent from disk in pieces."""

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | Path | None = field(default=None, repr=False)


def compress_call(image: ImageSource, given: Mapping[str, object]) -> Call:
    """Call that compresses an image. Raises `BadOption`, and `TypeError` for a wrong kind of image.

    Only the options that are given are sent: a server may have defaults of its own.
    """
    query = CompressOptions.of(given).to_text(given)
    body = Path(image) if isinstance(image, str | os.PathLike) else image_file(image)
    return Call(method="POST", path="/compress", query=query, headers={"Content-Type": _ANY_TYPE}, body=body)


def restore_call(stream: FileSource | Stream, output: OutputFormat) -> Call:
    """Call that restores a stream, or any other JPEG. Raises `BadOption` for an unknown output format."""
    if output not in _MEDIA_TYPES:
        raise BadOption(f"output must be png, webp or bmp, got {output!r}")
    body: bytes | Path
    if isinstance(stream, Stream):
        body = bytes(stream)
    elif isinstance(stream, str | os.PathLike):
        body = Path(stream)
    else:
        body = file_bytes(stream)
    headers = {"Content-Type": _ANY_TYPE, "Accept": _MEDIA_TYPES[output]}
    return Call(method="POST", path="/decompress", headers=headers, body=body)


def models_call() -> Call:
    """Call that lists the models."""
    return Call(method="GET", path="/models")


def model_call(name_or_id: str) -> Call:
    """Call that describes one model."""
    return Call(method="GET", path=f"/models/{quote(name_or_id, safe='')}")


def ready_call() -> Call:
    """Call that asks if the server is ready."""
    return Call(method="GET", path="/readyz")
