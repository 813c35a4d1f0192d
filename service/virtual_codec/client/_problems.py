"""Problem documents (RFC 9457) and failures of connections as the errors of this package."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final

import httpx2

from virtual_codec import errors
from virtual_codec.errors import BadInput, DeadlineExceeded, ServerUnreachable, Unavailable, VirtualCodecError

MAX_PROBLEM_BYTES: Final = 64 * 1024
_TYPE_PREFIX: Final = "/problems/"
_ERRORS: Final[Mapping[str, type[VirtualCodecError]]] = {
    kind.code: kind
    for kind in (getattr(errors, name) for name in errors.__all__)
    if isinstance(kind, type) and issubclass(kind, VirtualCodecError)
}


def error_of(status: int, headers: Mapping[str, str], body: bytes) -> VirtualCodecError:
    """Error for an answer other than 200.

    The problem's type, `/problems/<code>`, determines its class. A code of a later server, or an answer that is not a
    problem document (from a proxy), becomes `BadInput`, `Unavailable` or `VirtualCodecError` by its status.
    """
    problem = _problem(headers, body)
    code = str(problem.get("type", "")).rpartition(_TYPE_PREFIX)[2]
    detail = problem.get("detail") or f"the server answers {status}"
    error = _ERRORS.get(code, _kind_of_status(status))(
        str(detail),
        limit=_number(problem.get("limit")),
        actual=_number(problem.get("actual")),
        retry_after_s=_seconds(headers.get("Retry-After")),
    )
    error.request_id = str(problem.get("request_id", ""))
    return error


@contextmanager
def connection_errors(timeout_s: float) -> Iterator[None]:
    """Context that converts httpx2's errors to `ServerUnreachable`, `DeadlineExceeded` or `VirtualCodecError`."""
    try:
        yield
    except (httpx2.ReadTimeout, httpx2.WriteTimeout) as error:
        raise DeadlineExceeded(
            f"the server did not answer within {timeout_s:.1f} seconds; allow more by timeout_s", limit=timeout_s
        ) from error
    except (httpx2.LocalProtocolError, httpx2.DecodingError) as error:
        raise VirtualCodecError(f"the exchange with the server failed: {error}") from error
    except httpx2.TransportError as error:
        reason = str(error) or type(error).__name__
        raise ServerUnreachable(f"the server cannot be reached: {reason}") from error


def _problem(headers: Mapping[str, str], body: bytes) -> dict[str, Any]:
    if headers.get("Content-Type", "").partition(";")[0].strip() != "application/problem+json":
        return {}
    try:
        problem = json.loads(body)
    except ValueError:
        return {}
    return problem if isinstance(problem, dict) else {}


def _kind_of_status(status: int) -> type[VirtualCodecError]:
    if status in (429, 502, 503):
        return Unavailable
    if status == 504:
        return DeadlineExceeded
    return BadInput if 400 <= status < 500 else VirtualCodecError


def _number(value: object) -> float | None:
    return value if isinstance(value, int | float) else None


def _seconds(retry_after: str | None) -> float | None:
    """Seconds that a Retry-After header names, as a number or a date; None if it is missing or malformed."""
    if retry_after is None:
        return None
    try:
        seconds = float(retry_after)
    except ValueError:
        try:
            date = parsedate_to_datetime(retry_after)
        except ValueError:
            return None
        seconds = (date.replace(tzinfo=date.tzinfo or UTC) - datetime.now(UTC)).total_seconds()
    return max(0.0, seconds) if math.isfinite(seconds) else None
