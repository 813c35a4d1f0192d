"""The OpenAPI document as an adversary reads it: what it allows, and what it does not, gets an answer it tells of."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator
from typing import Any

import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as seeded
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis.core.result import Ok
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi import checks

from tests.fuzz.seeds import seeds


def _no_server_error(_context: object, response: schemathesis.Response, _case: object) -> None:
    """504 is what who allows a millisecond gets, 503 a full service's right answer."""
    assert response.status_code < 500 or response.status_code in (503, 504), response.text


_CHECKS: list[Any] = [
    _no_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
]
_IMAGES = st.sampled_from(sorted(seeds().values())) | st.binary(max_size=200)


def routes(url: str) -> Iterator[str]:
    """The operations of the document that a server shows."""
    for operation in _operations(url):
        yield operation.label


def explore(url: str, label: str, cases: int, *, seed: int = 0) -> Counter[int]:
    """Send so many requests to one operation, or all that there are of it if they are fewer; the statuses that came.

    Raises what schemathesis does for the first not answered right.
    """
    statuses: Counter[int] = Counter()
    for media_type in ("image/*", "image/jpeg", "application/octet-stream"):
        schemathesis.openapi.media_type(media_type, _IMAGES)
    operation = next(operation for operation in _operations(url) if operation.label == label)
    modes = (GenerationMode.NEGATIVE, GenerationMode.POSITIVE)
    has_inputs = next(operation.iter_parameters(), None) is not None or len(operation.body) > 0
    for mode in modes if has_inputs else modes[1:]:
        wanted = cases // 3 if mode is GenerationMode.NEGATIVE else cases - statuses.total()

        @seeded(seed)
        @given(operation.as_strategy(generation_mode=mode))
        @settings(
            max_examples=max(1, wanted),
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        def send(case: schemathesis.Case[Any]) -> None:
            statuses[case.call_and_validate(base_url=url, checks=_CHECKS, timeout=60).status_code] += 1

        # What is wrong with a path that is any string? There nothing can be wrong.
        with contextlib.nullcontext() if mode is GenerationMode.POSITIVE else contextlib.suppress(Unsatisfiable):
            send()
    return statuses


def _operations(url: str) -> Iterator[schemathesis.APIOperation[Any, Any, Any, Any]]:
    for result in schemathesis.openapi.from_url(f"{url}/openapi.json").get_all_operations():
        assert isinstance(result, Ok), result
        yield result.ok()
