"""Synthetic pictures for load tests, the same in every run."""

from __future__ import annotations

import re
from typing import Final

# Typical sizes: thumbnails, screens, portrait and landscape photographs, and one large photograph.
MIXED: Final = ("256x256", "512x512", "512x768", "768x512", "1024x768", "1600x1200")
_SIZE: Final = re.compile(r"([1-9][0-9]{0,4})x([1-9][0-9]{0,4})")


def parse_sizes(text: str) -> list[tuple[int, int]]:
    """Parse `512x512,768x512`, or `mixed` for `MIXED`, into (width, height) pairs. Raises `ValueError`."""
    names = MIXED if text == "mixed" else text.split(",")
    matches = [_SIZE.fullmatch(name.strip()) for name in names]
    if not all(matches):
        raise ValueError(f"sizes must be WIDTHxHEIGHT, separated by commas, or mixed; got {text!r}")
    return [(int(match[1]), int(match[2])) for match in matches if match]


def synthetic_png(width: int, height: int, *, seed: int = 0) -> bytes:
    """Synthetic PNG of overlapping shaded discs of all sizes, with statistics like a photograph's.

    It follows the "dead leaves" model of Lee, Mumford and Huang, "Occlusion Models for Natural Images" (2001). Unlike
    for noise, the work of post-processing is that for a photograph.
    """
    import numpy as np

    from virtual_codec.images import encode

    generator = np.random.default_rng(seed)
    picture = np.full((height, width, 3), 128.0)
    smallest, largest = 3.0, max(6.0, 0.35 * min(width, height))
    count = 60 + width * height // 1000
    for place in np.sort(generator.random(count))[::-1]:  # from large to small, so that no disc is covered completely
        radius = smallest / (1 - place * (1 - smallest / largest))
        x, y = generator.uniform(0, width), generator.uniform(0, height)
        top, bottom = max(0, int(y - radius)), min(height, int(y + radius) + 2)
        left, right = max(0, int(x - radius)), min(width, int(x + radius) + 2)
        rows, columns = np.mgrid[top:bottom, left:right]
        edge = np.clip(radius - np.hypot(rows - y, columns - x) + 0.5, 0, 1)[..., None]
        slope = generator.normal(0, 12, 2) / radius
        shade = (rows - y) * slope[0] + (columns - x) * slope[1]
        grey, tint = generator.uniform(20, 235), generator.normal(0, 22, 3)
        patch = picture[top:bottom, left:right]
        patch += edge * (grey + tint + shade[..., None] - patch)
    picture += generator.normal(0, 1.5, picture.shape)
    return encode(np.clip(np.rint(picture), 0, 255).astype(np.uint8), "png")
