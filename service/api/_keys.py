"""API keys, where the operator wants them."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from typing import Annotated

from fastapi import Security
from fastapi.security import APIKeyHeader, HTTPAuthorizationCredentials, HTTPBearer

from service.errors import Unauthorized

_BEARER = HTTPBearer(auto_error=False, description="An API key, where the server wants one.")
_HEADER = APIKeyHeader(name="X-API-Key", auto_error=False, description="The same, in a header of its own.")


def key_check(digests: frozenset[bytes]) -> Callable[..., None]:
    """A dependency that raises `Unauthorized` unless a request bears a key with one of these digests."""

    def check(
        bearer: Annotated[HTTPAuthorizationCredentials | None, Security(_BEARER)] = None,
        header: Annotated[str | None, Security(_HEADER)] = None,
    ) -> None:
        given = bearer.credentials if bearer is not None else header
        if given is None:
            raise Unauthorized("send an API key as `Authorization: Bearer <key>` or `X-API-Key: <key>`")
        digest = hashlib.sha256(given.encode()).digest()
        # All are compared, so that the time says nothing about which of them is near.
        matches = [hmac.compare_digest(digest, known) for known in digests]
        if not any(matches):
            raise Unauthorized("the API key is not one that may call this service")

    return check
