"""Pictures to load a server with where nobody gives any: made up, always the same."""

from __future__ import annotations

import re
from typing import Final

# What people send: thumbnails, screens, photographs upright and lying, one large one among them.
MIXED: Final = ("256x256", "512x512", "512x768", "768x512", "1024x768", "1600x1200")
_SIZE: Final = re.compile(r"([1-9][0-9]{0,4})x([1-9][0-9]{0,4})")


def sizes_of(text: str) -> list[tuple[int, int]]:
    """`512x512,768x512`, or `mixed` for those of `MIXED` -> (width, height) each. Raises `ValueError`."""
    names = MIXED if text == "mixed" else text.split(",")
    matches = [_SIZE.fullmatch(name.strip()) for name in names]
    if not all(matches):
        raise ValueError(f"sizes are WIDTHxHEIGHT with commas between, or mixed; got {text!r}")
    return [(int(match[1]), int(match[2])) for match in matches if match]


def made_up_png(width: int, height: int, *, seed: int = 0) -> bytes:
    """Smooth shapes with texture on them: about as hard to code as a photograph."""
    import numpy as np

    from service.images import encode

    generator = np.random.default_rng(seed)
    picture = np.full((height, width, 3), 128.0)
    for side in (256, 128, 64, 32, 16, 8, 4, 2):
        shape = (height // side + 2, width // side + 2, 3)
        cells = generator.normal(0.0, 1.0, shape) * 4 * side**0.4
        rows, columns = np.arange(height) / side, np.arange(width) / side
        top, left = rows.astype(int), columns.astype(int)
        down, right = (rows - top)[:, None, None], (columns - left)[None, :, None]
        upper = cells[top][:, left] * (1 - right) + cells[top][:, left + 1] * right
        lower = cells[top + 1][:, left] * (1 - right) + cells[top + 1][:, left + 1] * right
        picture += upper * (1 - down) + lower * down
    return encode(np.clip(picture, 0, 255).astype(np.uint8), "png")
