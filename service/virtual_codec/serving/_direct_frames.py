"""Frames between a pool and a replica on a direct connection.

    ┌──────────────┬───────────────────┬───────────────────┬───────────┬──────┐
    │ number (u64) │ head length (u32) │ body length (u64) │ JSON head │ body │
    └──────────────┴───────────────────┴───────────────────┴───────────┴──────┘

A call's head holds options and times, its body the image. An answer has the number of its call, and head and body of
`virtual_codec.serving._frames`. A frame to a replica without a head cancels the call of that number.
"""

from __future__ import annotations

import json
import struct
from asyncio import StreamReader, StreamWriter
from dataclasses import asdict
from typing import Any, Final

from pydantic import TypeAdapter

from virtual_codec.jobs import CompressOptions, OrdinaryOptions, RestoreOptions
from virtual_codec.serving._frames import MAX_HEAD_BYTES, FrameError
from virtual_codec.serving._replicas import Call, Frame

TOKEN_BYTES: Final = 32
BUFFER_BYTES: Final = 2**20
_LENGTHS: Final = struct.Struct(">QIQ")
_OPTIONS: Final[dict[str, TypeAdapter[Any]]] = {
    kind.__name__: TypeAdapter(kind) for kind in (CompressOptions, RestoreOptions, OrdinaryOptions)
}


def encode_call(call: Call) -> Frame:
    """Head and body of a call's frame."""
    values = {
        "kind": type(call.options).__name__,
        "options": asdict(call.options),
        "pixels": call.pixels,
        "request_id": call.request_id,
        "trace_id": call.trace_id,
        "seconds_left": call.seconds_left,
    }
    return json.dumps(values).encode(), call.data


def decode_call(head: bytes, body: bytes) -> Call:
    """Call of a frame. Raises `FrameError`."""
    try:
        values = json.loads(head)
        options = _OPTIONS[values.pop("kind")].validate_python(values.pop("options"))
        return Call(data=body, options=options, **values)
    except (KeyError, TypeError, ValueError) as error:
        raise FrameError(f"a call that no pool sends ({type(error).__name__})") from error


def write_numbered(writer: StreamWriter, number: int, head: bytes = b"", body: bytes = b"") -> None:
    """Write a frame into the writer's buffer; the caller drains it."""
    writer.write(_LENGTHS.pack(number, len(head), len(body)) + head)
    if body:
        writer.write(body)


async def read_numbered(reader: StreamReader) -> tuple[int, bytes, bytes]:
    """Number, head and body of the next frame. Raises `FrameError`, `EOFError` and `OSError`."""
    number, head_bytes, body_bytes = _LENGTHS.unpack(await reader.readexactly(_LENGTHS.size))
    if head_bytes > MAX_HEAD_BYTES:
        raise FrameError(f"a frame whose head has {head_bytes} bytes")
    return number, await reader.readexactly(head_bytes), await reader.readexactly(body_bytes)
