"""Text: printed pages, terminals, and scans of pages."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from virtual_codec.training.drawings._canvas import Colour, colour, gradient, ground_and_ink, word
from virtual_codec.training.drawings._fonts import random_font

_SIGNS: Final = ("(", ")", "{", "}", "=", "->", "::", "#", "//", "[0]", ";", "'", '"', "...", "+", "*", "|", "$")
_TERMINAL_COLOURS: Final[tuple[Colour, ...]] = (
    (0, 205, 0),
    (205, 0, 0),
    (205, 205, 0),
    (30, 144, 255),
    (205, 0, 205),
    (0, 205, 205),
    (229, 229, 229),
    (127, 127, 127),
)


def page(random: np.random.Generator, side: int) -> NDArray[np.uint8]:
    """Printed text in several sizes, on a plain background or a gradient."""
    ground, ink = ground_and_ink(random)
    picture = gradient(random, side) if random.random() < 0.15 else Image.new("RGB", (side, side), ground)
    draw = ImageDraw.Draw(picture)
    top = int(random.integers(-12, 6))
    left, right = int(random.integers(-20, 12)), side + int(random.integers(-12, 40))
    while top < side:
        size = int(random.choice([9, 10, 11, 12, 13, 14, 16, 18, 22, 28, 40], p=_SIZE_PROBABILITIES))
        paint = ink if random.random() < 0.85 else colour(random)
        for _ in range(1 if size > 20 else int(random.integers(2, 9))):
            write_line(draw, random, (left, top, right), size, paint)
            top += round(size * 1.3)
        top += size // 2
    return np.asarray(picture)


_SIZE_PROBABILITIES: Final = np.array([6, 8, 12, 15, 13, 12, 10, 8, 7, 5, 4]) / 100


def write_line(
    draw: ImageDraw.ImageDraw, random: np.random.Generator, place: tuple[int, int, int], size: int, ink: Colour
) -> None:
    """Write random words from (left, top) until `right`; `place` is (left, top, right)."""
    left, top, right = place
    font = random_font(random, size)
    text = " ".join(word(random) for _ in range(max(1, (right - left) // (3 * size))))
    draw.text((left, top), text, fill=ink, font=font)


def terminal(random: np.random.Generator, side: int) -> NDArray[np.uint8]:
    """Lines of coloured code in a monospaced font, on a dark or a light background."""
    is_dark = random.random() < 0.75
    ground = colour(random, 0, 45) if is_dark else colour(random, 235, 255)
    if random.random() < 0.4:
        ground = (0, 0, 0) if is_dark else (255, 255, 255)
    picture = Image.new("RGB", (side, side), ground)
    draw = ImageDraw.Draw(picture)
    size = int(random.integers(9, 19))
    font = random_font(random, size, monospaced=True)
    inks = [tuple(sample if is_dark else sample // 2 for sample in ink) for ink in _TERMINAL_COLOURS]
    usual = int(random.integers(len(inks)))
    for top in range(int(random.integers(-size, 1)), side, round(size * random.uniform(1.1, 1.5))):
        if random.random() < 0.1:
            continue
        x = float(random.integers(-10, 5) + size * random.integers(0, 4))
        while x < side * random.uniform(0.3, 1.4):
            text = str(random.choice(_SIGNS)) if random.random() < 0.35 else word(random)
            ink = inks[usual if random.random() < 0.6 else int(random.integers(len(inks)))]
            draw.text((x, top), text, fill=ink, font=font)
            x += draw.textlength(text + " ", font=font)
    return np.asarray(picture)


def scan(random: np.random.Generator, side: int) -> NDArray[np.uint8]:
    """Scanned page: tinted and shaded paper with grain, blurred ink, and a slight rotation."""
    larger = side + side // 4
    picture = Image.new("L", (larger, larger), 255)
    draw = ImageDraw.Draw(picture)
    size = int(random.integers(11, 26))
    font = random_font(random, size, monospaced=random.random() < 0.5)
    for top in range(0, larger, round(size * 1.4)):
        text = " ".join(word(random) for _ in range(larger // (2 * size) + 2))
        draw.text((int(random.integers(-size, 2)), top), text, fill=int(random.integers(0, 70)), font=font)
    turned = picture.rotate(random.uniform(-2, 2), Image.Resampling.BICUBIC, fillcolor=255)
    margin = (larger - side) // 2
    cut = turned.crop((margin, margin, margin + side, margin + side))
    inked = np.asarray(cut.filter(ImageFilter.GaussianBlur(random.uniform(0.3, 1.1))), np.float64)[..., None] / 255
    is_grey = random.random() < 0.5
    paper = np.full(3, random.uniform(215, 252)) if is_grey else np.array(colour(random, 205, 252), np.float64)
    ink = np.full(3, random.uniform(10, 70)) if is_grey else np.array(colour(random, 10, 80), np.float64)
    shade = 1 + random.uniform(-0.1, 0.1) * np.linspace(0, 1, side)[None, :, None]
    grain = random.normal(0, random.uniform(0, 4), (side, side, 1))
    return np.clip(ink + (paper - ink) * inked * shade + grain, 0, 255).round().astype(np.uint8)
