"""Cross-origin requests (CORS), for the origins that the operator lists."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, final

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

EXPOSED: Final = (
    *("Vcodec-Model", "Vcodec-Scale", "Vcodec-Size", "Vcodec-Bpp"),
    *("Vcodec-Quality", "Vcodec-Psnr", "Vcodec-Ms-Ssim", "Vcodec-Left-Out"),
    *("Server-Timing", "X-Request-ID", "Retry-After"),
)
_PREFLIGHT_AGE_S: Final = 3600


@final
class Cors:
    """CORS middleware of Starlette for the listed origins; requests of other origins bypass it.

    Starlette would refuse their preflights with plain text. Credentials are not allowed: keys travel in headers
    that a page must set itself, and there are no cookies. All methods and headers are allowed, since the
    service itself refuses or ignores those it does not know.
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
        is_foreign = is_preflight and not self._origins & {Headers(scope=scope).get("origin", ""), "*"}
        await (self._app if is_foreign else self._cors)(scope, receive, send)
