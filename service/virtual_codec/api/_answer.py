"""Answers with large bodies, sent in pieces."""

from __future__ import annotations

from typing import Final, final

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

_PIECE_BYTES: Final = 256 * 2**10


@final
class PiecewiseResponse(Response):
    """Response whose body is sent in pieces of 256 KiB.

    The server waits before each piece until the connection's write buffer has drained. A body sent at once would be
    copied into that buffer whole.
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the head, then the pieces."""
        del scope, receive
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        body = memoryview(self.body)
        for start in range(0, max(1, len(body)), _PIECE_BYTES):
            end = start + _PIECE_BYTES
            piece = bytes(body[start:end])
            await send({"type": "http.response.body", "body": piece, "more_body": end < len(body)})
