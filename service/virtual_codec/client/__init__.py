"""HTTP client of a running server, with the verbs of the library: `Client`, and `AsyncClient` for asyncio.

    import virtual_codec as vc

    with vc.Client("http://127.0.0.1:8000") as client:
        stream = client.compress("photo.png", quality=30)
        image = client.restore(stream)

Needs the package httpx2 (extra `client`). Calls are retried if that may help: see `RetryPolicy`.
"""

from __future__ import annotations

try:
    import httpx2 as _httpx2  # noqa: F401  # said here once, not by each module
except ImportError as error:
    raise ImportError("the client needs httpx2: pip install 'virtual-codec[client]' brings it") from error

from virtual_codec.client._answers import ModelInfo
from virtual_codec.client._asynchronous import AsyncClient
from virtual_codec.client._retries import RetryPolicy
from virtual_codec.client._synchronous import Client

__all__ = ["AsyncClient", "Client", "ModelInfo", "RetryPolicy"]
