"""User interfaces: windows with controls, and charts."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from virtual_codec.training.drawings._canvas import Colour, colour, ground_and_ink, near, word
from virtual_codec.training.drawings._fonts import random_font


def window(random: np.random.Generator, side: int) -> NDArray[np.uint8]:
    """Panels, buttons, fields, check boxes and icons with labels, aligned to a grid."""
    ground, ink = ground_and_ink(random)
    picture = Image.new("RGB", (side, side), ground)
    draw = ImageDraw.Draw(picture)
    accent = colour(random)
    row = int(random.integers(20, 44))
    if random.random() < 0.6:
        draw.rectangle((0, 0, side, row), fill=accent)
    font = random_font(random, int(random.integers(10, 17)))
    for top in range(int(random.integers(-row, 4)), side, row):
        left = int(random.integers(-30, 10))
        while left < side:
            width = int(random.integers(row, 5 * row))
            _control(draw, random, (left, top, left + width, top + row - 6), (ground, ink, accent), font)
            left += width + int(random.integers(4, 20))
    for _ in range(int(random.integers(0, 3))):
        x = int(random.integers(side))
        draw.line((x, 0, x, side), fill=near(random, ground, 10, 40))
    return np.asarray(picture)


def _control(
    draw: ImageDraw.ImageDraw,
    random: np.random.Generator,
    box: tuple[int, int, int, int],
    colours: tuple[Colour, Colour, Colour],
    font: object,
) -> None:
    left, top, right, bottom = box
    ground, ink, accent = colours
    kind = int(random.integers(6))
    if kind == 0:  # a button
        fill = accent if random.random() < 0.5 else near(random, ground, 12, 30)
        draw.rounded_rectangle(box, radius=int(random.integers(0, 9)), fill=fill, outline=near(random, fill, 20, 50))
    elif kind == 1:  # a text field
        draw.rectangle(box, fill=near(random, ground, 5, 16), outline=near(random, ground, 40, 90))
    elif kind == 2:  # a check box
        draw.rectangle((left, top, left + bottom - top, bottom), outline=ink)
        if random.random() < 0.5:
            draw.line((left + 3, top + 6, left + 6, bottom - 3, left + bottom - top - 3, top + 3), fill=accent, width=2)
        left += bottom - top + 4
    elif kind == 3:  # an icon
        draw.ellipse((left, top, left + bottom - top, bottom), fill=colour(random), outline=ink)
        return
    elif kind == 4:  # an empty place
        return
    text = " ".join(word(random) for _ in range(max(1, (right - left) // 60)))
    draw.text((left + 4, top + 2), text, fill=ink, font=font)  # type: ignore[arg-type]  # Pillow's two kinds of font


def chart(random: np.random.Generator, side: int) -> NDArray[np.uint8]:
    """Bars, lines or points over a grid, with axes, ticks, numbers and a legend."""
    ground, ink = ground_and_ink(random)
    picture = Image.new("RGB", (2 * side, 2 * side), ground)  # twice as large, so that lines get soft edges
    draw = ImageDraw.Draw(picture)
    font = random_font(random, int(random.integers(18, 30)))
    left, bottom = int(random.integers(0, 120)), 2 * side - int(random.integers(0, 100))
    step = int(random.integers(40, 120))
    grid = near(random, ground, 10, 50)
    for y in range(bottom, 0, -step):
        draw.line((left, y, 2 * side, y), fill=grid, width=2)
        draw.text((left - 60, y - 12), word(random)[:4], fill=ink, font=font)
    for x in range(left, 2 * side, step):
        draw.line((x, bottom, x, bottom + 10), fill=ink, width=2)
        draw.text((x - 10, bottom + 14), str(int(random.integers(100))), fill=ink, font=font)
    for series in range(int(random.integers(1, 5))):
        paint = colour(random)
        heights = bottom - np.abs(np.cumsum(random.normal(0, step / 2, 2 * side // step + 2)))
        points = [(left + index * step, float(height)) for index, height in enumerate(heights)]
        if random.random() < 0.4:
            for x_position, height in points:
                start = x_position + 8 * series
                bar = (start, height, start + step // 3, max(height, bottom))
                draw.rectangle(bar, fill=paint)
        else:
            draw.line(points, fill=paint, width=int(random.integers(2, 7)))
            for x_position, height in points if random.random() < 0.5 else ():
                draw.ellipse((x_position - 6, height - 6, x_position + 6, height + 6), fill=paint)
        draw.text((2 * side - 160, 10 + 34 * series), word(random), fill=paint, font=font)
    draw.line((left, 0, left, bottom, 2 * side, bottom), fill=ink, width=3)
    return np.asarray(picture.resize((side, side), Image.Resampling.BOX))
