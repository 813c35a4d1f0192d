"""The HTTP service: reads bodies within limits, asks the pool, sends the answer back. Never loads torch.

    uvicorn ──► _middleware (ids, log, metrics, limits) ──► _jobs, _pages ──► virtual_codec.serving.Pool

A new error is a row in `problems.PROBLEMS`; a new page is a function in `_pages`.
"""

from virtual_codec.api.app import Drain, create_app

__all__ = ["Drain", "create_app"]
