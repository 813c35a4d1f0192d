"""What people compress besides photographs, drawn here: a screenshot, line art, a flat drawing, a scanned page."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

Pixels = NDArray[np.uint8]

SIDE = 176


def drawings() -> dict[str, Pixels]:
    """Each [SIDE, SIDE, 3], the same for ever on one build of Pillow."""
    return {"screenshot": screenshot(), "line art": line_art(), "flat drawing": flat_drawing(), "scan": scan()}


def screenshot() -> Pixels:
    """A window with a bar, buttons and lines of text."""
    image = Image.new("RGB", (SIDE, SIDE), "#f3f4f6")
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 0, SIDE, 18), fill="#1f2937")
    draw.text((6, 3), "settings - window", fill="#e5e7eb")
    for row in range(7):
        draw.text((8, 28 + 15 * row), f"option {row}: value {row * 37 % 11}", fill="#111827")
        draw.rectangle(
            (130, 29 + 15 * row, 165, 39 + 15 * row), fill=("#2563eb", "#d1d5db")[row % 2], outline="#6b7280"
        )
    draw.rectangle((8, 144, 90, 164), fill="#16a34a")
    draw.text((24, 148), "Save now", fill="white")
    return np.asarray(image)


def line_art() -> Pixels:
    """Black curves on white."""
    image = Image.new("L", (4 * SIDE, 4 * SIDE), 255)
    draw = ImageDraw.Draw(image)
    for radius in range(40, 340, 44):
        draw.ellipse((352 - radius, 340 - radius * 0.7, 352 + radius, 340 + radius * 0.7), outline=0, width=6)
        draw.arc((radius, radius, 700 - radius / 2, 690), 20, 20 + radius, fill=0, width=5)
    small = image.resize((SIDE, SIDE), Image.Resampling.LANCZOS)
    return np.asarray(small.convert("RGB"))


def flat_drawing() -> Pixels:
    """Fields of one colour each."""
    image = Image.new("RGB", (SIDE, SIDE), FLAT_COLOURS[0])
    draw = ImageDraw.Draw(image)
    draw.polygon([(20, 150), (88, 20), (160, 150)], fill=FLAT_COLOURS[1])
    draw.ellipse((96, 84, 168, 156), fill=FLAT_COLOURS[2])
    draw.rectangle((8, 112, 72, 168), fill=FLAT_COLOURS[3])
    return np.asarray(image)


FLAT_COLOURS = ((250, 214, 64), (32, 96, 192), (214, 40, 57), (46, 160, 92))


def scan() -> Pixels:
    """A page of text under uneven light, blurred and noisy."""
    image = Image.new("RGB", (SIDE, SIDE), "#f6efe0")
    draw = ImageDraw.Draw(image)
    for row in range(11):
        draw.text((10, 8 + 15 * row), "the quick brown fox 0123"[row % 5 :], fill="#2b2a28")
    blurred = np.asarray(image.filter(ImageFilter.GaussianBlur(0.7))).astype(np.float64)
    light = np.linspace(1.0, 0.86, SIDE)[None, :, None]
    noisy = blurred * light + np.random.default_rng(3).normal(0, 3, blurred.shape)
    scanned: Pixels = np.clip(np.rint(noisy), 0, 255).astype(np.uint8)
    return scanned
