"""Broken images through the whole service: none ends a worker, none is a server error, none costs much."""

from __future__ import annotations

from random import Random
from typing import Final

import httpx2

from tests.fuzz.targets import Finding

_ALLOWED: Final = frozenset({200, 400, 413, 415, 422, 503})
_QUERIES: Final = ("effort=0", "effort=0&quality=7", "effort=0&background=00ff00", "effort=0&scale=2", "effort=4")


def post(client: httpx2.Client, file: bytes, random: Random) -> int:
    """Post one file somewhere. Raises `Finding` for an answer that the contract does not know."""
    is_restoring = file.startswith(b"\xff\xd8") and random.random() < 0.6
    path = "/decompress" if is_restoring else f"/compress?{random.choice(_QUERIES)}"
    if random.random() < 0.2:
        response = client.post(path, files={"file": ("../../etc/passwd", file)})
    else:
        response = client.post(path, content=file)
    if response.status_code not in _ALLOWED:
        raise Finding(f"{path}: {response.status_code} {response.text[:500]}")
    return response.status_code
