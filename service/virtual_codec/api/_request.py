"""A job out of a request: its options, its deadline, and the image in its body, all within limits."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import Message, Receive

from virtual_codec.api._exchange import exchange_of
from virtual_codec.api._multipart import FormLimits, read_form
from virtual_codec.errors import (
    BadOption,
    BodyTimeout,
    BodyTooLarge,
    DeadlineExceeded,
    EmptyInput,
    Overloaded,
    UnsupportedEncoding,
    UnsupportedMediaType,
)

TIMEOUT_HEADER: Final = "Request-Timeout-Ms"
SLOWEST_BYTES_PER_S: Final = 128 * 1024


@dataclass(frozen=True, kw_only=True)
class BodyPolicy:
    """How much is read of a body, and for how long. `timeout_s` gets a second more for every 128 KiB."""

    max_bytes: int
    max_pending_bytes: int
    timeout_s: float
    default_deadline_s: float
    max_deadline_s: float
    form: FormLimits


@dataclass(frozen=True, kw_only=True)
class Sent:
    """What a request holds: the file, options as text, and its absolute deadline."""

    data: bytes = field(repr=False)
    options: Mapping[str, str]
    deadline: float


@final
class BodyReader:
    """Reads requests under one policy, and knows how many bytes all of them hold together."""

    def __init__(self, policy: BodyPolicy) -> None:
        self._policy = policy
        self._pending_bytes = 0

    def deadline(self, request: Request) -> float:
        """When the request's time is over, on `time.monotonic`'s clock. Raises `BadOption`."""
        seconds = self._policy.default_deadline_s
        if (text := request.headers.get(TIMEOUT_HEADER)) is not None:
            if not (text.isascii() and text.isdigit() and text.strip("0")):
                raise BadOption(
                    f"{TIMEOUT_HEADER} must be a whole number of milliseconds, at least 1, got {text[:40]!r}"
                )
            seconds = min(int(text.lstrip("0")[:15]) / 1000, self._policy.max_deadline_s)
        exchange = exchange_of(request.scope)
        exchange.time_limit_s = seconds
        return exchange.started_at + seconds

    @contextlib.contextmanager
    def room(self) -> Iterator[Room]:
        """Room for one request's bytes, among those of all others, until the context ends."""
        room = Room(self)
        try:
            yield room
        finally:
            self._pending_bytes -= room.bytes

    def take(self, count: int) -> None:
        """Count bytes that are now held. Raises `Overloaded` when they are too many."""
        self.check(count)
        self._pending_bytes += count

    def check(self, count: int) -> None:
        """Raise `Overloaded` when so many bytes more would be too many."""
        if self._pending_bytes + count > self._policy.max_pending_bytes:
            raise Overloaded(
                "the service holds as many bytes of other requests as it may",
                limit=self._policy.max_pending_bytes,
                actual=self._pending_bytes + count,
                retry_after_s=2.0,
            )

    def query(self, request: Request) -> dict[str, str]:
        """The options that are query parameters, as text. Raises `BadOption` for one that is given twice."""
        return _single(request.query_params.multi_items(), "as a query parameter")

    async def read(self, request: Request, deadline: float, room: Room) -> Sent:
        """The file and the options. Raises the errors of bodies, options and time."""
        _check_encoding(request)
        options = self.query(request)
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind == "application/x-www-form-urlencoded":
            raise UnsupportedMediaType(
                "application/x-www-form-urlencoded is not read; send the image under its own Content-Type, as "
                "curl -H 'Content-Type: image/png' --data-binary @photo.png does, or as a form: curl -F file=@photo.png"
            )
        room.expect(_declared_bytes(request))
        timed = _TimedBody(request, deadline, room, self._policy)
        if kind != "multipart/form-data":
            data = await Request(request.scope, timed).body()
        else:
            data, fields = await self._read_form(Request(request.scope, timed))
            if fields and options:
                raise BadOption("give options as query parameters or as form fields, not both")
            options |= fields
        exchange = exchange_of(request.scope)
        exchange.stages_s["receive"] = time.monotonic() - exchange.started_at
        if not data:
            raise EmptyInput("the body is empty; send an image")
        return Sent(data=data, options=options, deadline=deadline)

    async def _read_form(self, request: Request) -> tuple[bytes, dict[str, str]]:
        content_type = request.headers["content-type"]
        async with contextlib.aclosing(request.stream()) as body:
            data, fields = await read_form(body, content_type, self._policy.form)
        return data, _single(fields, "as a form field")


@final
class Room:
    """The bytes that one request holds."""

    def __init__(self, reader: BodyReader) -> None:
        self._reader = reader
        self.bytes = 0

    def expect(self, total: int) -> None:
        """Refuse now what there is no room for now; hold nothing yet, for a caller can promise bytes and send none.

        Raises `Overloaded`.
        """
        self._reader.check(total - self.bytes)

    def reserve(self, total: int) -> None:
        """Have room for `total` bytes. Raises `Overloaded`."""
        if total > self.bytes:
            self._reader.take(total - self.bytes)
            self.bytes = total


@final
class _TimedBody:
    """A request's `receive` that keeps to a policy and a deadline."""

    def __init__(self, request: Request, deadline: float, room: Room, policy: BodyPolicy) -> None:
        self._receive: Receive = request.receive
        self._exchange = exchange_of(request.scope)
        self._started_at = time.monotonic()
        self._deadline = deadline
        self._room = room
        self._policy = policy
        self._bytes = 0

    async def __call__(self) -> Message:
        allowed_s = self._policy.timeout_s + self._bytes / SLOWEST_BYTES_PER_S
        until = min(self._started_at + allowed_s, self._deadline)
        try:
            async with asyncio.timeout(until - time.monotonic()):
                message = await self._receive()
        except TimeoutError:
            if until == self._deadline:
                raise DeadlineExceeded("the deadline passed while the body was being received") from None
            raise BodyTimeout(
                f"the body was not complete after {allowed_s:.0f} seconds; {self._bytes} bytes had come",
                limit=math.ceil(allowed_s),
                actual=round(time.monotonic() - self._started_at, 1),
            ) from None
        except HTTPException as error:  # Starlette's limit on bodies
            if error.status_code != 413:
                raise
            raise too_large(self._policy.max_bytes, self._exchange.received_bytes) from error
        self._bytes += len(message.get("body", b""))
        self._room.reserve(self._bytes)
        return message


def too_large(limit: int, actual: int) -> BodyTooLarge:
    """The error of a body of `actual` bytes, or of as many by now."""
    return BodyTooLarge(f"the body has {actual} bytes or more; at most {limit} are read", limit=limit, actual=actual)


def _declared_bytes(request: Request) -> int:
    text = request.headers.get("content-length", "")
    return int(text) if text.isascii() and text.isdigit() else 0


def _check_encoding(request: Request) -> None:
    for item in request.headers.getlist("content-encoding"):
        for encoding in item.split(","):
            if encoding.strip().lower() not in ("", "identity"):
                raise UnsupportedEncoding(f"send the body without Content-Encoding, got {encoding.strip()[:40]!r}")


def _single(items: list[tuple[str, str]], where: str) -> dict[str, str]:
    options: dict[str, str] = {}
    for name, value in items:
        if name in options:
            raise BadOption(f"the option {name[:40]!r} is given twice {where}")
        options[name] = value
    return options
