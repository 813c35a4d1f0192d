"""Connection settings that both clients share."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

import httpx2

from virtual_codec import __version__
from virtual_codec.client._calls import Call
from virtual_codec.client._retries import Attempts

# A server closes connections that are idle for longer (5 s), and a request sent at that moment would fail.
LIMITS: Final = httpx2.Limits(max_connections=None, max_keepalive_connections=20, keepalive_expiry=3.0)
PIECE_BYTES: Final = 256 * 1024
_CONNECT_TIMEOUT_S: Final = 10.0
_GRACE_S: Final = 5.0  # seconds after the deadline in which the server's own 504 may still arrive


@dataclass(frozen=True, kw_only=True)
class Connection:
    """Address of a server and the headers of every request.

    Raises `ValueError` for a URL other than http or https, and for a key that no header can hold.
    """

    url: str
    api_key: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        address = urlsplit(self.url)
        if address.scheme not in ("http", "https") or not address.hostname:
            raise ValueError(f"the url must begin with http:// or https://, got {self.url!r}")
        if self.api_key is not None and not (self.api_key.isascii() and self.api_key.isprintable() and self.api_key):
            raise ValueError("the API key must be printable ASCII characters")

    @property
    def headers(self) -> Mapping[str, str]:
        """Headers of every request."""
        key = {} if self.api_key is None else {"Authorization": f"Bearer {self.api_key}"}
        return {"User-Agent": f"virtual-codec/{__version__}", "Accept-Encoding": "identity", **key}


def head_of(call: Call, attempts: Attempts) -> tuple[dict[str, str], httpx2.Timeout]:
    """Headers of a call at this moment, its remaining time among them, and the timeouts of its connection."""
    remaining_s = attempts.remaining_s()
    headers = {**call.headers, "Request-Timeout-Ms": str(math.ceil(1000 * remaining_s))}
    timeout = httpx2.Timeout(remaining_s + _GRACE_S, connect=min(_CONNECT_TIMEOUT_S, remaining_s), pool=remaining_s)
    return headers, timeout
