"""RFC 9457 problem documents: the HTTP answers of errors."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping
from typing import Final
from urllib.parse import quote

from starlette.responses import Response
from starlette.types import Scope

from virtual_codec.api._exchange import exchange_of
from virtual_codec.api._problem_table import PROBLEMS, Problem
from virtual_codec.errors import DeadlineExceeded, VirtualCodecError

__all__ = ["MEDIA_TYPE", "PROBLEMS", "Problem", "answer"]

MEDIA_TYPE: Final = "application/problem+json"

_EXACT: Final = 2**53  # floats have all whole numbers below it


def answer(scope: Scope, error: VirtualCodecError, *, more: Mapping[str, object] | None = None) -> Response:
    """Problem document of an error, as the answer to the request with this scope. `more` are extension members."""
    code = (
        error.code if error.code in PROBLEMS else "internal"
    )  # an error without a row here is never raised by serving, so it is a bug
    problem = PROBLEMS[code]
    exchange = exchange_of(scope)
    exchange.code = code
    body: dict[str, object] = {
        "type": f"/problems/{code}",
        "title": problem.title,
        "status": problem.status,
        "detail": error.detail or problem.meaning,
        "instance": _reference(scope["path"]),
        "code": code,
        "request_id": exchange.request_id,
    }
    limit, actual = error.limit, error.actual
    if isinstance(error, DeadlineExceeded):  # the limit is the request's own deadline, wherever the error was raised
        limit, actual = exchange.time_limit_s, round(time.monotonic() - exchange.started_at, 3)
    for name, value in (("limit", limit), ("actual", actual)):
        if value is not None:
            body[name] = _number(value)
    body |= more or {}
    headers = {"Cache-Control": "no-store"}
    if problem.status in (429, 503):
        headers["Retry-After"] = str(max(1, math.ceil(error.retry_after_s or 1)))
    if problem.status == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="virtual-codec"'
    content = json.dumps(body, ensure_ascii=False, allow_nan=False).encode("utf-8", "replace")
    return Response(content, problem.status, headers, media_type=MEDIA_TYPE)


def _reference(path: str) -> str:
    """URI reference of a path. A leading // would name a host."""
    quoted = quote(path, safe="/:@!$&'()*+,;=~")
    return f"/.{quoted}" if quoted.startswith("//") else quoted


def _number(value: float) -> float | int:
    if not math.isfinite(value):
        return 0
    return int(value) if abs(value) < _EXACT and value == int(value) else value
