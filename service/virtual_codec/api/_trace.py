"""W3C Trace Context of requests, and the interface of tracers that record spans.

https://www.w3.org/TR/trace-context/
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from typing import Final, Protocol, Self, final

from starlette.datastructures import Headers

from virtual_codec.api._exchange import Exchange

PARENT_HEADER: Final = "traceparent"
RESPONSE_HEADER: Final = "traceresponse"

_VERSION_0: Final = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")
_LATER_VERSION: Final = re.compile(r"(?!00|ff)[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?")
_SAMPLED_FLAG: Final = 1


@final
@dataclass(frozen=True, kw_only=True)
class TraceContext:
    """Trace context: trace id (32 hex digits), span id (16), neither all zeros, and the sampled flag."""

    trace_id: str
    span_id: str
    is_sampled: bool

    @classmethod
    def of(cls, headers: Headers) -> Self | None:
        """Trace context in a request's `traceparent` header, or None if it is missing or malformed."""
        given = headers.getlist(PARENT_HEADER)
        if len(given) != 1:
            return None
        text = given[0].strip()
        found = _VERSION_0.fullmatch(text) or _LATER_VERSION.fullmatch(text)
        if found is None:
            return None
        trace_id, span_id, flags = found.groups()
        if not (trace_id.strip("0") and span_id.strip("0")):
            return None
        return cls(trace_id=trace_id, span_id=span_id, is_sampled=bool(int(flags, 16) & _SAMPLED_FLAG))

    @property
    def header(self) -> str:
        """Value of the headers `traceparent` and `traceresponse`."""
        return f"00-{self.trace_id}-{self.span_id}-{_SAMPLED_FLAG if self.is_sampled else 0:02x}"


class Span(Protocol):
    """Span of a request."""

    @property
    def context(self) -> TraceContext | None:
        """Trace context of the span, or None without a trace."""

    def end(self, exchange: Exchange, route: str) -> None:
        """End the span with the facts of the exchange."""


class Tracer(Protocol):
    """Source of spans."""

    def begin(self, parent: TraceContext | None, headers: Headers) -> Span:
        """Begin the span of a request."""

    def close(self) -> None:
        """Export the recorded spans and shut down."""


@final
class NoTracer:
    """Tracer that records nothing. The trace id of a request still appears in log lines and answers."""

    def begin(self, parent: TraceContext | None, headers: Headers) -> Span:  # noqa: ARG002
        """Begin a span that is not recorded."""
        if parent is None:
            return _Unrecorded(None)
        own = TraceContext(trace_id=parent.trace_id, span_id=secrets.token_hex(8), is_sampled=False)
        return _Unrecorded(own)

    def close(self) -> None:
        """Do nothing: there are no spans to export."""


@final
class _Unrecorded:
    def __init__(self, context: TraceContext | None) -> None:
        self.context = context

    def end(self, exchange: Exchange, route: str) -> None:
        pass
