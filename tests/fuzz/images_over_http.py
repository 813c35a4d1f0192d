"""Broken images through the whole service: none ends a worker, none is a server error, none costs much."""

from __future__ import annotations

import io
from random import Random
from typing import Final

import httpx2
from PIL import Image

from tests.fuzz.targets import Finding

_ALLOWED: Final = frozenset({200, 400, 413, 415, 422, 503})
_QUERIES: Final = ("effort=0", "effort=0&quality=7", "effort=0&background=00ff00", "effort=0&scale=2", "effort=4")


def post(client: httpx2.Client, file: bytes, random: Random) -> int:
    """Post one file somewhere. Raises `Finding` for an answer that the contract does not know, or no picture in it."""
    is_restoring = file.startswith(b"\xff\xd8") and random.random() < 0.6
    path = "/decompress" if is_restoring else f"/compress?{random.choice(_QUERIES)}"
    if random.random() < 0.2:
        response = client.post(path, files={"file": ("../../etc/passwd", file)})
    else:
        response = client.post(path, content=file)
    if response.status_code not in _ALLOWED:
        raise Finding(f"{path}: {response.status_code} {response.text[:500]}")
    if response.status_code == 200:
        check_picture(response, is_restoring=is_restoring)
    return response.status_code


def check_picture(response: httpx2.Response, *, is_restoring: bool) -> None:
    """Raises `Finding` where an answer holds another picture than it says, and what Pillow does where it holds none."""
    size = response.headers["vcodec-size"]
    with Image.open(io.BytesIO(response.content), formats=["PNG" if is_restoring else "JPEG"]) as picture:
        picture.load()
        width, height = picture.size
    scale = 1 if is_restoring else int(response.headers["vcodec-scale"])
    wanted = tuple(-(-int(side) // scale) for side in size.split("x"))
    if (width, height) != wanted:
        raise Finding(f"{width}x{height} pixels came for {size} at scale {scale}")
