"""Colours, words and backgrounds that several kinds of drawings share."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Colour = tuple[int, int, int]

_LETTERS: Final = "etaoinshrdlucmwfgypbvk"
_LETTER_FREQUENCIES: Final = np.array([12, 9, 8, 8, 7, 7, 6, 6, 6, 4, 4, 3, 3, 3, 2, 2, 2, 2, 2, 1, 1, 1], np.float64)
_LETTER_PROBABILITIES: Final = _LETTER_FREQUENCIES / _LETTER_FREQUENCIES.sum()


def colour(random: np.random.Generator, low: int = 0, high: int = 255) -> Colour:
    """Random colour with samples in [low, high]; two of five are muted, three quarters of the way to grey."""
    samples = random.integers(low, high + 1, 3)
    if random.random() < 0.4:
        samples = (samples + 3 * samples.mean()).astype(np.int64) // 4
    red, green, blue = (int(sample) for sample in samples)
    return red, green, blue


def ground_and_ink(random: np.random.Generator) -> tuple[Colour, Colour]:
    """Colours of a background and its foreground: black on white, light on dark, two colours, or low contrast."""
    kind = random.random()
    if kind < 0.3:
        white, black = int(random.integers(235, 256)), int(random.integers(0, 50))
        return (white, white, white), (black, black, black)
    if kind < 0.55:
        return colour(random, 190, 255), colour(random, 0, 120)
    if kind < 0.75:
        return colour(random, 0, 60), colour(random, 140, 255)
    ground = colour(random)
    if kind < 0.9:
        return ground, near(random, ground, 24, 60)
    return ground, colour(random)


def near(random: np.random.Generator, of: Colour, least: int, most: int) -> Colour:
    """Random colour that differs from `of` by `least` to `most` in each sample, either lighter or darker."""
    shift = random.integers(least, most + 1, 3) * random.choice([-1, 1])
    red, green, blue = (int(sample) for sample in np.clip(np.array(of) + shift, 0, 255))
    return red, green, blue


def word(random: np.random.Generator) -> str:
    """Random word of 1 to 9 letters, sometimes capitalised, or a number."""
    kind = random.random()
    if kind < 0.1:
        return str(int(random.integers(0, 10 ** int(random.integers(1, 6)))))
    letters = "".join(random.choice(list(_LETTERS), int(random.integers(1, 10)), p=_LETTER_PROBABILITIES))
    return letters.capitalize() if kind < 0.25 else letters


def gradient(random: np.random.Generator, side: int) -> Image.Image:
    """Background of two colours blended along a random direction."""
    first, second = np.array(colour(random), np.float64), np.array(colour(random), np.float64)
    angle = random.uniform(0, 2 * np.pi)
    across = np.add.outer(np.sin(angle) * np.arange(side), np.cos(angle) * np.arange(side))
    share = (across - across.min()) / max(float(np.ptp(across)), 1e-9)
    return Image.fromarray((first + (second - first) * share[..., None]).round().astype(np.uint8))


def field(random: np.random.Generator, side: int, coarseness: float) -> NDArray[np.float64]:
    """Smooth noise [side, side] in [0, 1]: random values every `coarseness` pixels, interpolated."""
    cells = max(2, round(side / coarseness))
    coarse = Image.fromarray(random.random((cells, cells)).astype(np.float32))
    smooth = np.asarray(coarse.resize((side, side), Image.Resampling.BICUBIC), np.float64)
    return np.clip(smooth, 0, 1)
