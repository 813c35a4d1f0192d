"""Reader of job requests: options, deadline and body, within limits."""

from __future__ import annotations

import asyncio
import contextlib
import math
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import Message, Receive

from virtual_codec.api._budget import Reservation
from virtual_codec.api._exchange import exchange_of
from virtual_codec.api._multipart import FormLimits, read_form
from virtual_codec.errors import (
    BadOption,
    BodyTimeout,
    BodyTooLarge,
    DeadlineExceeded,
    EmptyInput,
    UnsupportedEncoding,
    UnsupportedMediaType,
)

TIMEOUT_HEADER: Final = "Request-Timeout-Ms"
SLOWEST_BYTES_PER_S: Final = 128 * 1024

_BELOW_ONE: Final = re.compile(r"0{1,15}|-[0-9]{1,15}")


@dataclass(frozen=True, kw_only=True)
class BodyPolicy:
    """Limits of a body's bytes and seconds. `timeout_s` grows by a second for every 128 KiB received."""

    max_bytes: int
    timeout_s: float
    default_deadline_s: float
    max_deadline_s: float
    form: FormLimits


@dataclass(frozen=True, kw_only=True)
class RequestBody:
    """Body of a request: the file, and the form fields as text."""

    data: bytes = field(repr=False)
    fields: Mapping[str, str]


@final
class BodyReader:
    """Reader of requests under one policy."""

    def __init__(self, policy: BodyPolicy) -> None:
        self._policy = policy

    def deadline(self, request: Request) -> float:
        """Deadline of the request, on `time.monotonic`'s clock. Raises `BadOption`."""
        seconds = self._policy.default_deadline_s
        if (text := request.headers.get(TIMEOUT_HEADER)) is not None:
            if not (text.isascii() and text.isdigit() and text.strip("0")):
                is_below = _BELOW_ONE.fullmatch(text) is not None
                raise BadOption(
                    f"{TIMEOUT_HEADER} must be a whole number of milliseconds, at least 1, got {text[:40]!r}",
                    limit=1 if is_below else None,
                    actual=int(text) if is_below else None,
                )
            seconds = min(int(text.lstrip("0")[:15]) / 1000, self._policy.max_deadline_s)
        exchange = exchange_of(request.scope)
        exchange.time_limit_s = seconds
        return exchange.started_at + seconds

    def query(self, request: Request) -> dict[str, str]:
        """Query parameters as text. Raises `BadOption` for one that is given twice."""
        return _single(request.query_params.multi_items(), "as a query parameter")

    async def read(
        self, request: Request, deadline: float, reservation: Reservation, *, has_query: bool
    ) -> RequestBody:
        """Read the file and the form's fields. Raises the errors of bodies and time.

        Raises `BadOption` for a form with fields if `has_query`, which means that the query has options too.
        """
        _check_encoding(request)
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind == "application/x-www-form-urlencoded":
            raise UnsupportedMediaType(
                "application/x-www-form-urlencoded is not supported; send the image with its own Content-Type, as "
                "curl -H 'Content-Type: image/png' --data-binary @photo.png does, or as a form: curl -F file=@photo.png"
            )
        reservation.check(_declared_bytes(request))
        timed = _TimedBody(request, deadline, reservation, self._policy)
        fields: dict[str, str] = {}
        if kind != "multipart/form-data":
            data = await Request(request.scope, timed).body()
        else:
            data, fields = await self._read_form(Request(request.scope, timed))
            if fields and has_query:
                raise BadOption("give options as query parameters or as form fields, not both")
        exchange = exchange_of(request.scope)
        exchange.stages_s["receive"] = time.monotonic() - exchange.started_at
        if not data:
            raise EmptyInput("the body is empty; send an image")
        return RequestBody(data=data, fields=fields)

    async def _read_form(self, request: Request) -> tuple[bytes, dict[str, str]]:
        content_type = request.headers["content-type"]
        async with contextlib.aclosing(request.stream()) as body:
            data, fields = await read_form(body, content_type, self._policy.form)
        return data, _single(fields, "as a form field")


@final
class _TimedBody:
    """ASGI `receive` of a request, with the policy's limits and the deadline."""

    def __init__(self, request: Request, deadline: float, reservation: Reservation, policy: BodyPolicy) -> None:
        self._receive: Receive = request.receive
        self._exchange = exchange_of(request.scope)
        self._started_at = time.monotonic()
        self._deadline = deadline
        self._reservation = reservation
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
        self._reservation.grow(self._bytes)
        return message


def too_large(limit: int, actual: int) -> BodyTooLarge:
    """Error for a body of `actual` bytes, or of at least that many if it was not read to its end."""
    return BodyTooLarge(f"the body has {actual} bytes or more; at most {limit} are read", limit=limit, actual=actual)


def _declared_bytes(request: Request) -> int:
    text = request.headers.get("content-length", "")
    return int(text) if text.isascii() and text.isdigit() else 0


def _check_encoding(request: Request) -> None:
    for encoding in request.headers.getlist("content-encoding"):
        if encoding.strip():
            raise UnsupportedEncoding(f"send the body without Content-Encoding, got {encoding.strip()[:40]!r}")


def _single(items: list[tuple[str, str]], where: str) -> dict[str, str]:
    options: dict[str, str] = {}
    for name, value in items:
        if name in options:
            raise BadOption(f"the option {name[:40]!r} is given twice {where}")
        options[name] = value
    return options
