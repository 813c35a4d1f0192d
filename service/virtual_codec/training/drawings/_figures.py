"""Line art, flat shapes and maps."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from virtual_codec.training.drawings._canvas import colour, field, ground_and_ink, near, word
from virtual_codec.training.drawings._fonts import random_font


def line_art(random: np.random.Generator, side: int) -> NDArray[np.uint8]:
    """Curved strokes, outlines and hatching in one colour."""
    ground, ink = ground_and_ink(random)
    large = 2 * side
    picture = Image.new("RGB", (large, large), ground)
    draw = ImageDraw.Draw(picture)
    for _ in range(int(random.integers(4, 26))):
        draw.line(_curve(random, large), fill=ink, width=int(random.integers(1, 9)), joint="curve")
    for _ in range(int(random.integers(0, 5))):
        x, y, size = (int(value) for value in random.integers(0, large, 3))
        gap = int(random.integers(5, 16))
        for offset in range(0, size // 2, gap):
            draw.line((x + offset, y, x + offset - size // 3, y + size // 2), fill=ink, width=2)
    for _ in range(int(random.integers(0, 6))):
        x, y, radius = int(random.integers(large)), int(random.integers(large)), int(random.integers(4, large // 4))
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), outline=ink, width=int(random.integers(1, 7)))
    softness = Image.Resampling.BOX if random.random() < 0.8 else Image.Resampling.NEAREST
    return np.asarray(picture.resize((side, side), softness))


def shapes(random: np.random.Generator, side: int) -> NDArray[np.uint8]:
    """Flat polygons, circles and boxes of plain colours, some with outlines."""
    picture = Image.new("RGB", (2 * side, 2 * side), colour(random))
    draw = ImageDraw.Draw(picture)
    for _ in range(int(random.integers(3, 18))):
        x, y = (int(value) for value in random.integers(-40, 2 * side, 2))
        width, height = (int(value) for value in random.integers(12, side, 2))
        fill = colour(random)
        outline = near(random, fill, 40, 120) if random.random() < 0.4 else None
        kind = int(random.integers(3))
        if kind == 0:
            draw.ellipse((x, y, x + width, y + height), fill=fill, outline=outline, width=3)
        elif kind == 1:
            draw.rectangle((x, y, x + width, y + height), fill=fill, outline=outline, width=3)
        else:
            corners = np.array([x, y]) + random.integers(0, max(width, height), (int(random.integers(3, 8)), 2))
            draw.polygon([(int(a), int(b)) for a, b in corners], fill=fill, outline=outline)
    return np.asarray(picture.resize((side, side), Image.Resampling.BOX))


def street_map(random: np.random.Generator, side: int) -> NDArray[np.uint8]:
    """Land and water by smooth noise, streets in two widths, and labels with a halo."""
    height = field(random, 2 * side, float(random.uniform(60, 200)))
    bounds = np.sort(random.random(int(random.integers(1, 4))))
    inks = np.array([colour(random, 150, 255) for _ in range(len(bounds) + 1)], np.uint8)
    picture = Image.fromarray(inks[np.digitize(height, bounds)])
    draw = ImageDraw.Draw(picture)
    border, street = colour(random, 100, 200), colour(random, 220, 255)
    for _ in range(int(random.integers(2, 14))):
        points, width = _curve(random, 2 * side), int(random.integers(2, 16))
        draw.line(points, fill=border, width=width + 4, joint="curve")
        draw.line(points, fill=street, width=width, joint="curve")
    small = picture.resize((side, side), Image.Resampling.BOX)
    labels = ImageDraw.Draw(small)
    for _ in range(int(random.integers(0, 9))):
        x, y = (int(value) for value in random.integers(-10, side, 2))
        font = random_font(random, int(random.integers(9, 16)))
        labels.text((x, y), word(random), fill=colour(random, 0, 110), font=font, stroke_width=1, stroke_fill=street)
    return np.asarray(small)


def _curve(random: np.random.Generator, side: int) -> list[tuple[float, float]]:
    """Points of a cubic Bezier curve with control points in the picture or a little outside."""
    controls = random.uniform(-0.2 * side, 1.2 * side, (4, 2))
    if random.random() < 0.5:  # a short stroke
        controls = controls[0] + (controls - controls[0]) * random.uniform(0.05, 0.4)
    t = np.linspace(0, 1, 24)[:, None]
    weights = np.hstack([(1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3])
    return [(float(x), float(y)) for x, y in weights @ controls]
