"""Content security policy of pages: only their own inline scripts and styles, and requests to this service."""

from __future__ import annotations

import base64
import hashlib
import re
from typing import Final

_INLINE: Final = {name: re.compile(rf"<{name}>(.*?)</{name}>", re.DOTALL) for name in ("script", "style")}


def page_headers(page: str, *, restores: bool = False) -> dict[str, str]:
    """Security headers of a self-contained HTML page.

    Its scripts and styles are allowed by their hashes. Injected scripts, event handlers and style attributes do not
    run. `restores` allows what `/web/restore.js` needs besides: itself, WebAssembly, and workers started from a blob.
    """
    more = " 'self' 'wasm-unsafe-eval'; worker-src blob:" if restores else ""
    policy = (
        "default-src 'none'",
        f"script-src {_sources('script', page)}{more}",
        f"style-src {_sources('style', page)}",
        "connect-src 'self'",
        "img-src 'self' blob: data:",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
    )
    return {"Content-Security-Policy": "; ".join(policy), "Cross-Origin-Opener-Policy": "same-origin"}


def _sources(name: str, page: str) -> str:
    digests = [hashlib.sha256(text.encode()).digest() for text in _INLINE[name].findall(page)]
    return " ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests) or "'none'"
