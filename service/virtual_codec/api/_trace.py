"""W3C Trace Context: which trace a request belongs to, and what records its spans, if anything does.

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
_LATER: Final = re.compile(r"(?!00|ff)[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?")
_SAMPLED: Final = 1


@final
@dataclass(frozen=True, kw_only=True)
class TraceContext:
    """A place in a trace: 32 and 16 hex digits, neither all zeros, and whether somebody records it."""

    trace_id: str
    span_id: str
    is_sampled: bool

    @classmethod
    def of(cls, headers: Headers) -> Self | None:
        """The one that a request says it comes from; None where it says nothing, or nothing that can be meant."""
        given = headers.getlist(PARENT_HEADER)
        if len(given) != 1:
            return None
        text = given[0].strip()
        found = _VERSION_0.fullmatch(text) or _LATER.fullmatch(text)
        if found is None:
            return None
        trace_id, span_id, flags = found.groups()
        if not (trace_id.strip("0") and span_id.strip("0")):
            return None
        return cls(trace_id=trace_id, span_id=span_id, is_sampled=bool(int(flags, 16) & _SAMPLED))

    @property
    def header(self) -> str:
        """As the headers `traceparent` and `traceresponse` spell it."""
        return f"00-{self.trace_id}-{self.span_id}-{_SAMPLED if self.is_sampled else 0:02x}"


class Span(Protocol):
    """A request in a trace."""

    @property
    def context(self) -> TraceContext | None:
        """Where it is; None where there is no trace."""

    def end(self, exchange: Exchange, route: str) -> None:
        """The request is over, and this is what is known of it."""


class Tracer(Protocol):
    """What begins spans."""

    def begin(self, parent: TraceContext | None, headers: Headers) -> Span:
        """A span for a request that has just come."""

    def close(self) -> None:
        """Send what was recorded, and end."""


@final
class NoTracer:
    """Records nothing. A trace that a request brings is taken over all the same, into log lines and answers."""

    def begin(self, parent: TraceContext | None, headers: Headers) -> Span:  # noqa: ARG002
        """A span that is told to nobody."""
        if parent is None:
            return _Unrecorded(None)
        own = TraceContext(trace_id=parent.trace_id, span_id=secrets.token_hex(8), is_sampled=False)
        return _Unrecorded(own)

    def close(self) -> None:
        """Nothing was recorded."""


@final
class _Unrecorded:
    def __init__(self, context: TraceContext | None) -> None:
        self.context = context

    def end(self, exchange: Exchange, route: str) -> None:
        pass
