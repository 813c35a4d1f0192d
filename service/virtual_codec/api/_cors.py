"""Which pages of other origins may call, where the operator wants any."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, final

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

EXPOSED: Final = (
    *("Vcodec-Model", "Vcodec-Scale", "Vcodec-Size", "Vcodec-Bpp"),
    *("Vcodec-Quality", "Vcodec-Psnr", "Vcodec-Ms-Ssim"),
    *("Server-Timing", "X-Request-ID", "Retry-After"),
)
_PREFLIGHT_AGE_S: Final = 3600


@final
class Cors:
    """Starlette's, for those origins; the others meet the service as if it were not there.

    Starlette would refuse their preflights with plain text. Credentials are not allowed: keys travel in headers
    that a page must set itself, and there are no cookies. Methods and headers are all allowed, since what the
    service does not know of them it refuses, or passes over, itself.
    """

    def __init__(self, app: ASGIApp, origins: Sequence[str]) -> None:
        self._app = app
        self._origins = frozenset(origins)
        self._cors = CORSMiddleware(
            app,
            allow_origins=tuple(origins),
            allow_methods=("*",),
            allow_headers=("*",),
            expose_headers=EXPOSED,
            max_age=_PREFLIGHT_AGE_S,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """An ASGI call."""
        is_preflight = scope["type"] == "http" and scope["method"] == "OPTIONS"
        is_stranger = is_preflight and not self._origins & {Headers(scope=scope).get("origin", ""), "*"}
        await (self._app if is_stranger else self._cors)(scope, receive, send)
