"""HTTP client of the load generator: Python's `http.client`, called from threads.

It takes 0.1 to 0.35 ms of processor time for a request; aiohttp takes 0.3 to 0.5 and httpx 1.0 to 1.3 (20 kB sent, 450
kB received, 1 to 64 requests at once). If client and server share a machine, the server lacks that time.
"""

from __future__ import annotations

import http.client
import time
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, final

from virtual_codec.load_test._samples import Answer

_MAX_IDLE_S: Final = 1.0  # below the limit of servers (uvicorn: 5 s), which may close a connection during a request


@dataclass(frozen=True, kw_only=True)
class Request:
    """Request body for one path. `label` names its kind in reports; `pixels` is the picture's size, 0 if unknown."""

    path: str
    content: bytes = field(repr=False)
    content_type: str = "application/octet-stream"
    label: str = ""
    pixels: int = 0


@final
class HttpSender:
    """HTTP sender for one server, for any number of threads; connections are kept alive and shared.

    `timeout_s` limits each wait for the server. Raises `ValueError` for a URL that is not http or https.
    """

    def __init__(self, url: str, *, headers: Mapping[str, str] | None = None, timeout_s: float = 130.0) -> None:
        address = urllib.parse.urlsplit(url)
        if address.scheme not in ("http", "https") or not address.hostname:
            raise ValueError(f"{url} is not an http or https URL")
        self._host = address.hostname
        self._port = address.port
        self._kind = http.client.HTTPSConnection if address.scheme == "https" else http.client.HTTPConnection
        self._headers = dict(headers or {})
        self._timeout_s = timeout_s
        self._idle: list[tuple[float, http.client.HTTPConnection]] = []  # the last used is taken first

    def send(self, request: Request) -> Answer:
        """Send a POST and read the whole answer. A failure is an answer whose status is the exception's name."""
        connection = self._connection()
        try:
            headers = {"Content-Type": request.content_type, **self._headers}
            connection.request("POST", request.path, request.content, headers)
            response = connection.getresponse()
            content = response.read()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            return Answer(status=type(error).__name__, failure=str(error))
        if response.status >= 500:
            connection.close()  # some servers close the connection after an error without announcing it
        received = {name.lower(): value for name, value in response.getheaders()}
        self._idle.append((time.monotonic(), connection))
        return Answer(status=str(response.status), headers=received, content=content)

    def close(self) -> None:
        """Close the idle connections."""
        while self._idle:
            self._idle.pop()[1].close()

    def _connection(self) -> http.client.HTTPConnection:
        try:
            last_used, connection = self._idle.pop()
        except IndexError:
            return self._kind(self._host, self._port, timeout=self._timeout_s)
        if time.monotonic() - last_used > _MAX_IDLE_S:
            connection.close()  # `request` opens it again
        return connection
