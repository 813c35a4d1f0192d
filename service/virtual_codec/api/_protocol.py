"""HTTP/1.1 protocol of uvicorn with timeouts against slow callers.

    connect ──► head (bytes, seconds) ──► body (_request) ──► answer taken (seconds) ──► rest of the body (seconds)

Malformed HTTP and oversized heads are answered with a problem document, as all errors are.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, final

import h11
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from virtual_codec.api._request import SLOWEST_BYTES_PER_S
from virtual_codec.api.problems import MEDIA_TYPE, PROBLEMS
from virtual_codec.errors import BadInput, HeadersTimeout, HeadersTooLarge, VirtualCodecError
from virtual_codec.logs import Event

_LOG: Final = logging.getLogger("virtual_codec.api")
_PHRASES: Final = {400: "Bad Request", 408: "Request Timeout"}
_MAX_REASON: Final = 200  # characters of h11's messages, which may quote a line of the request
_HEADERS_TOO_LARGE: Final = 431  # h11's hint for oversized headers; here they are a 400 with its own code


@dataclass(frozen=True, kw_only=True)
class ConnectionPolicy:
    """Limits of a connection: bytes and seconds of a request head, seconds of an answer's transfer.

    `transfer_timeout_s` is for the answer, or for the rest of a body after the answer; both get more at
    `slowest_bytes_per_s`.
    """

    max_header_bytes: int
    header_timeout_s: float
    transfer_timeout_s: float
    slowest_bytes_per_s: float = SLOWEST_BYTES_PER_S


@final
class BoundedProtocol(H11Protocol):
    """Connection under one policy. (`_request` times the body.)"""

    def __init__(
        self,
        policy: ConnectionPolicy,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._policy = policy
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._received_bytes = 0
        self._patience_s = policy.transfer_timeout_s
        self._paused_at = 0.0
        self._paused_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # uvicorn's way
        """Start the timeout of the request head."""
        super().connection_made(transport)
        self._start("head", self._policy.header_timeout_s, self._on_slow_head)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop all timers."""
        for name in list(self._timers):
            self._stop(name)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Restart or stop the timeout of the head as bytes arrive."""
        self._received_bytes += len(data)
        super().data_received(data)
        if self.conn.their_state is not h11.IDLE:
            self._stop("head")
        elif "head" not in self._timers and not self.transport.is_closing():
            self._start("head", self._policy.header_timeout_s, self._on_slow_head)

    def on_response_complete(self) -> None:
        """Start the timeout of the rest of the request's body and of the buffered answer."""
        super().on_response_complete()
        self._patience_s = self._policy.transfer_timeout_s
        is_unfinished = self.conn.their_state is h11.SEND_BODY or self.transport.get_write_buffer_size() > 0
        if is_unfinished and "rest" not in self._timers:
            allowed_s = self._allowed_s(self.transport.get_write_buffer_size())
            self._start("rest", allowed_s, self._on_slow_rest, self._received_bytes)

    def pause_writing(self) -> None:
        """Start the timeout of an answer that is read too slowly.

        An answer is sent in pieces. Each pause uses up `transfer_timeout_s` by the time that it exceeds the pause at
        the slowest allowed rate. Otherwise a caller could hold an answer for hours with one small read in each period.
        """
        super().pause_writing()
        self._paused_at = self.loop.time()
        self._paused_bytes = self.transport.get_write_buffer_size()
        allowed_s = self._patience_s + self._paused_bytes / self._policy.slowest_bytes_per_s
        self._start("answer", allowed_s, self._on_slow_reader)

    def resume_writing(self) -> None:
        """Stop the timeout of the answer: the buffered bytes were read."""
        super().resume_writing()
        self._stop("answer")
        read_bytes = self._paused_bytes - self.transport.get_write_buffer_size()
        late_s = self.loop.time() - self._paused_at - read_bytes / self._policy.slowest_bytes_per_s
        self._patience_s = min(self._policy.transfer_timeout_s, self._patience_s - late_s)

    def send_400_response(self, msg: str) -> None:
        """Answer a request that h11 could not parse, and close the connection."""
        error = sys.exception()
        if isinstance(error, h11.RemoteProtocolError) and error.error_status_hint == _HEADERS_TOO_LARGE:
            limit, actual = self._policy.max_header_bytes, len(self.conn.trailing_data[0])
            detail = f"the head has {actual} bytes or more; at most {limit} are read"
            self._refuse(HeadersTooLarge(detail, limit=limit, actual=actual))
        else:
            reason = str(error) if isinstance(error, h11.RemoteProtocolError) else msg
            self._refuse(BadInput(f"the request is not well-formed HTTP/1.1: {reason[:_MAX_REASON]}"))

    def _refuse(self, error: VirtualCodecError) -> None:
        # The caller would take a second answer for the answer to its next request.
        is_unanswered = self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE)
        if is_unanswered and not self.transport.is_closing():
            request_id = str(uuid.uuid4())
            _LOG.info(Event("refused", code=error.code, request_id=request_id))
            self.transport.write(_answer(error, request_id))
        self.transport.close()

    def _on_slow_head(self) -> None:
        if not self.conn.trailing_data[0]:  # no byte at all: a browser's preconnect, or a port scan
            self.transport.close()
            return
        limit_s = self._policy.header_timeout_s
        self._refuse(
            HeadersTimeout(f"the head of the request was not complete after {limit_s:g} seconds", limit=limit_s)
        )

    def _on_slow_rest(self, received_before: int) -> None:
        """Extend the timeout of a caller that still sends at the least rate; abort the connection of a slower one."""
        if self.conn.their_state is h11.SEND_BODY and self.conn.our_state is h11.DONE:
            earned_s = self._allowed_s(self._received_bytes - received_before) - self._policy.transfer_timeout_s
            if earned_s >= self._policy.transfer_timeout_s:
                self._start("rest", earned_s, self._on_slow_rest, self._received_bytes)
            else:
                self.transport.abort()
        elif self.transport.is_closing():  # if the caller had read the answer, it would be flushed by now
            self.transport.abort()

    def _on_slow_reader(self) -> None:
        _LOG.info(Event("abandoned", unfetched=self.transport.get_write_buffer_size()))
        self.transport.abort()

    def _allowed_s(self, size_bytes: int) -> float:
        return self._policy.transfer_timeout_s + size_bytes / self._policy.slowest_bytes_per_s

    def _start(self, name: str, seconds: float, callback: Callable[..., None], *arguments: object) -> None:
        def ring() -> None:
            del self._timers[name]
            callback(*arguments)

        self._stop(name)
        self._timers[name] = self.loop.call_later(seconds, ring)

    def _stop(self, name: str) -> None:
        if (timer := self._timers.pop(name, None)) is not None:
            timer.cancel()


def _answer(error: VirtualCodecError, request_id: str) -> bytes:
    """Complete HTTP response. Without a parsed request there is no path and no id."""
    problem = PROBLEMS[error.code]
    content = {
        "type": f"/problems/{error.code}",
        "title": problem.title,
        "status": problem.status,
        "detail": error.detail,
        "instance": "/",
        "code": error.code,
        "request_id": request_id,
        **{name: value for name in ("limit", "actual") if (value := getattr(error, name)) is not None},
    }
    body = json.dumps(content).encode()
    head = (
        f"HTTP/1.1 {problem.status} {_PHRASES[problem.status]}\r\ncontent-type: {MEDIA_TYPE}\r\n"
        f"content-length: {len(body)}\r\nx-request-id: {request_id}\r\nconnection: close\r\n\r\n"
    )
    return head.encode() + body
