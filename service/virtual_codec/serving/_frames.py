"""Frames from a worker to its parent: a JSON header and the raw bytes of a result.

    ┌───────────────────┬───────────────────┬───────────┬──────────┐
    │ head length (u32) │ body length (u64) │ JSON head │ raw body │
    └───────────────────┴───────────────────┴───────────┴──────────┘

A hostile image may take over the worker that decodes it, so the parent does not trust its workers. It never unpickles
their data, checks every type, number and text, and bounds every length. Data from the parent to a worker is pickled.
"""

from __future__ import annotations

import io
import json
import math
import os
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from virtual_codec.counts import Distribution, RunnerCounts
from virtual_codec.errors import VirtualCodecError
from virtual_codec.jobs import CompressResult
from virtual_codec.serving import Result
from virtual_codec.serving._messages import (
    Broken,
    Cancelled,
    CannotOpen,
    Counted,
    Done,
    Failed,
    Logged,
    Message,
    ModelWarmed,
    NoMemory,
    Ready,
)

MAX_HEAD_BYTES: Final = 4 * 2**20
_MAX_TEXT: Final = 20_000  # characters of a text that a worker sends; a traceback's end tells most
_MAX_RESULT_TEXT: Final = 200  # results' texts go into headers
_MAX_NUMBER: Final = 2**53
_MAX_DEPTH: Final = 8
_CHUNK_BYTES: Final = 2**20
_NO_COUNTS: Final = RunnerCounts()
_COUNT_NAMES: Final = tuple(item.name for item in fields(RunnerCounts))
_LENGTHS: Final = struct.Struct(">IQ")
_BODY_FIELDS: Final = {"stream", "image"}


class FrameError(Exception):
    """Invalid frame: too long, malformed, or with values out of range."""


@dataclass(frozen=True, kw_only=True)
class _ErrorFields:
    """Arguments of a `VirtualCodecError`, with its code instead of its class."""

    code: str
    detail: str
    limit: float | None
    actual: float | None
    retry_after_s: float | None


def encode(message: Message) -> tuple[bytes, bytes]:
    """Head and body of a message's frame."""
    values: dict[str, Any] = {"message": type(message).__name__}
    body = b""
    match message:
        case Done():
            body = message.result.stream if isinstance(message.result, CompressResult) else message.result.image
            values |= {"number": message.number, "seconds": message.seconds, "counts": _count_values(message.counts)}
            names = [item.name for item in fields(message.result) if item.name not in _BODY_FIELDS]
            values["result"] = {name: getattr(message.result, name) for name in names}
            values["result"]["stream" if isinstance(message.result, CompressResult) else "image"] = ""
        case Failed() | ModelWarmed():
            values |= {"number": message.number, "error": message.error and _error_values(message.error)}
        case Counted():
            values["counts"] = _count_values(message.counts)
        case _:
            values |= asdict(message)
    return json.dumps(_shortened(values)).encode(), body


def decode(head: bytes, body: bytes) -> Message:
    """Message of a frame. Raises `FrameError`."""
    try:
        values = json.loads(head)
        if not isinstance(values, dict):
            raise FrameError("the head is no object")
        _check(values, depth=0)
        return _DECODERS[values.pop("message")](values, body)
    except FrameError:
        raise
    except (KeyError, TypeError, ValueError, RecursionError) as error:  # ValidationError and JSONDecodeError are such
        raise FrameError(f"a head that no worker sends ({type(error).__name__})") from error


def write_frame(descriptor: int, head: bytes, body: bytes) -> None:
    """Write a frame. Raises `OSError`."""
    for part in (_LENGTHS.pack(len(head), len(body)), head, body):
        view = memoryview(part)
        while view:
            view = view[os.write(descriptor, view) :]


def read_frame(descriptor: int, max_body_bytes: Callable[[], int]) -> tuple[bytes, bytes] | None:
    """Read a frame; None at the end of the pipe. Raises `FrameError` for lengths above the limits.

    `max_body_bytes` is called when a frame has arrived, because the limit may change while the reader waits.
    """
    try:
        head_bytes, body_bytes = _LENGTHS.unpack(_read(descriptor, _LENGTHS.size))
        if head_bytes > MAX_HEAD_BYTES or body_bytes > max_body_bytes():
            raise FrameError(f"a frame of {head_bytes} and {body_bytes} bytes")
        return _read(descriptor, head_bytes), _read(descriptor, body_bytes)
    except EOFError:
        return None


def _read(descriptor: int, count: int) -> bytes:
    parts = io.BytesIO()  # grows with the received bytes, not with the announced length
    while (missing := count - parts.tell()) > 0:
        part = os.read(descriptor, min(missing, _CHUNK_BYTES))
        if not part:
            raise EOFError
        parts.write(part)
    return parts.getvalue()


def _check(value: object, depth: int) -> None:
    """Raise `FrameError` for infinite or inexact numbers, long texts, and deep nesting."""
    if isinstance(value, int | float):
        if not abs(value) <= _MAX_NUMBER:  # NaN too
            raise FrameError("a number out of range")
    elif isinstance(value, str):
        if len(value) > _MAX_TEXT:
            raise FrameError("a text that is too long")
    elif isinstance(value, list | dict):
        if depth == _MAX_DEPTH:
            raise FrameError("values that are nested too deeply")
        if isinstance(value, list):
            for item in value:
                _check(item, depth + 1)
            return
        for key, item in value.items():
            _check(key, depth + 1)
            if not (key == "psnr_db" and item == math.inf):  # of an image that comes back exactly
                _check(item, depth + 1)


def _done(values: Mapping[str, Any], body: bytes) -> Message:
    message: Done = _validated(Done, values)
    if message.seconds < 0 or any(seconds < 0 for seconds in message.result.stages_s.values()):
        raise FrameError("a negative time")
    if not _are_possible(message.counts):
        raise FrameError("counters that no runner has")
    if message.result.width < 1 or message.result.height < 1:
        raise FrameError("an image without pixels")
    texts = [it for item in fields(message.result) if isinstance(it := getattr(message.result, item.name), str)]
    if not all(len(text) <= _MAX_RESULT_TEXT and text.isascii() and text.isprintable() for text in texts if text):
        raise FrameError("a text that no result has")
    return replace(message, result=_with_body(message.result, body))


def _counted(values: Mapping[str, Any], _body: bytes) -> Message:
    message: Counted = _validated(Counted, values)
    if not _are_possible(message.counts):
        raise FrameError("counters that no runner has")
    return message


def _are_possible(counts: RunnerCounts) -> bool:
    """True if the counters are not negative and can be added to others."""
    for name in _COUNT_NAMES:
        value, empty = getattr(counts, name), getattr(_NO_COUNTS, name)
        if isinstance(value, Distribution):
            if value.bounds != empty.bounds or len(value.counts) != len(empty.counts) or value.total < 0:
                return False
            if any(count < 0 for count in value.counts):
                return False
        elif value < 0:
            return False
    return True


def _with_body(result: Result, body: bytes) -> Result:
    return replace(result, stream=body) if isinstance(result, CompressResult) else replace(result, image=body)


def _failed(values: Mapping[str, Any], _body: bytes) -> Message:
    return Failed(number=_number(values), error=_error(values["error"]))


def _model_warmed(values: Mapping[str, Any], _body: bytes) -> Message:
    error = values["error"]
    return ModelWarmed(number=_number(values), error=None if error is None else _error(error))


def _number(values: Mapping[str, Any]) -> int:
    number = values["number"]
    if type(number) is not int:
        raise FrameError("a number that is none")
    return number


def _error(values: object) -> VirtualCodecError:
    found: _ErrorFields = _validated(_ErrorFields, values)
    error = _errors()[found.code]
    return error(found.detail, limit=found.limit, actual=found.actual, retry_after_s=found.retry_after_s)


def _error_values(error: VirtualCodecError) -> dict[str, object]:
    return {
        "code": error.code,
        "detail": error.detail,
        "limit": _finite(error.limit),
        "actual": _finite(error.actual),
        "retry_after_s": _finite(error.retry_after_s),
    }


def _count_values(counts: RunnerCounts) -> dict[str, object]:
    values = {name: getattr(counts, name) for name in _COUNT_NAMES}
    return {name: vars(value) if isinstance(value, Distribution) else value for name, value in values.items()}


def _finite(number: float | None) -> float | None:
    return number if number is not None and math.isfinite(number) else None


def _errors() -> dict[str, type[VirtualCodecError]]:
    return {kind.code: kind for kind in _tree(VirtualCodecError)}


def _tree(kind: type[VirtualCodecError]) -> Iterator[type[VirtualCodecError]]:
    yield kind
    for below in kind.__subclasses__():
        yield from _tree(below)


def _plain(kind: type[Any]) -> Callable[[Mapping[str, Any], bytes], Message]:
    def decoded(values: Mapping[str, Any], _body: bytes) -> Message:
        message: Message = _validated(kind, values)
        return message

    return decoded


def _validated(kind: type[Any], values: object) -> Any:
    try:
        return _ADAPTERS[kind].validate_json(json.dumps(values), strict=True)
    except ValidationError as error:
        raise FrameError(f"a {kind.__name__} that no worker sends") from error


def _shortened(value: Any) -> Any:
    """Copy of a value in which long texts are reduced to their ends."""
    if isinstance(value, str):
        return value[-_MAX_TEXT:]
    if isinstance(value, dict | Mapping):
        return {_shortened(key): _shortened(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_shortened(item) for item in value]
    return value


_ADAPTERS: Final[dict[type[Any], TypeAdapter[Any]]] = {
    kind: TypeAdapter(kind)
    for kind in (Ready, CannotOpen, Done, Broken, NoMemory, Cancelled, Counted, Logged, _ErrorFields)
}
_DECODERS: Final[dict[str, Callable[[Mapping[str, Any], bytes], Message]]] = {
    "Done": _done,
    "Failed": _failed,
    "Counted": _counted,
    "ModelWarmed": _model_warmed,
    **{kind.__name__: _plain(kind) for kind in (Ready, CannotOpen, Broken, NoMemory, Cancelled, Logged)},
}
