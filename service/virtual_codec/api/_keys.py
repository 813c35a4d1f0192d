"""API key check of requests."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import Request, Security
from fastapi.security import APIKeyHeader, HTTPAuthorizationCredentials, HTTPBearer

from virtual_codec.api._exchange import exchange_of
from virtual_codec.errors import Unauthorized
from virtual_codec.keys import KeyRing

_BEARER = HTTPBearer(auto_error=False, description="An API key, where the server requires one.")
_KEY_HEADER = APIKeyHeader(name="X-API-Key", auto_error=False, description="The same, in a header of its own.")


def key_check(ring: KeyRing) -> Callable[..., Awaitable[None]]:
    """FastAPI dependency that raises `Unauthorized` unless a request carries a key of the ring.

    It stores the key in the exchange; logs and metrics show the key's id.
    """

    async def check(
        request: Request,
        bearer: Annotated[HTTPAuthorizationCredentials | None, Security(_BEARER)] = None,
        header: Annotated[str | None, Security(_KEY_HEADER)] = None,
    ) -> None:
        given = bearer.credentials if bearer is not None else header
        if given is None:
            raise Unauthorized("send an API key as `Authorization: Bearer <key>` or `X-API-Key: <key>`")
        key = ring.find(given)
        if key is None:
            raise Unauthorized("the API key is unknown to this service")
        exchange = exchange_of(request.scope)
        exchange.key = key
        exchange.facts["key"] = key.id

    return check
