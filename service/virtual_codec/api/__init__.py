"""HTTP service: it reads bodies within limits, submits jobs to the pool and sends the results. It never loads torch.

    uvicorn ──► _middleware (ids, log, metrics, limits) ──► _jobs, _pages ──► virtual_codec.serving.Pool

A new error is a row in `problems.PROBLEMS`; a new page is a function in `_pages`.
"""

from virtual_codec.api.app import Drain, create_app

__all__ = ["Drain", "create_app"]
