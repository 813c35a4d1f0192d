"""Pictures of few colours: pixel art, tile maps and dithering."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from virtual_codec.training.drawings._canvas import colour, field


def pixel_art(random: np.random.Generator, side: int) -> NDArray[np.uint8]:
    """Mirrored sprites on a plain background, enlarged by an integer factor without smoothing."""
    factor = int(random.integers(1, 7))
    small = -(-side // factor)
    palette = _palette(random)
    indices = np.zeros((small, small), np.int64)
    for _ in range(int(random.integers(2, 4 + (small // 16) ** 2))):
        sprite = _sprite(random, int(random.choice([8, 12, 16, 24])), len(palette))
        top, left = (int(value) for value in random.integers(-4, small, 2))
        _paste(indices, sprite, top, left)
    return _enlarged(palette[indices], factor, side)


def tile_map(random: np.random.Generator, side: int) -> NDArray[np.uint8]:
    """Square tiles from a small set, in patches, as in games with a view from above."""
    size = int(random.choice([8, 16, 16, 32]))
    factor = int(random.integers(1, 4))
    small = -(-side // factor)
    palette = _palette(random)
    tiles = [_tile(random, size, palette) for _ in range(int(random.integers(3, 8)))]
    cells = -(-small // size)
    kinds = np.minimum(field(random, cells, 3.0) * len(tiles), len(tiles) - 1).astype(np.int64)
    rows = [np.concatenate([tiles[kind] for kind in row], axis=1) for row in kinds]
    return _enlarged(np.concatenate(rows)[:small, :small], factor, side)


def dithered(random: np.random.Generator, side: int) -> NDArray[np.uint8]:
    """Colour gradients reduced to few colours, by error diffusion or by ordered dithering."""
    first, second, third = (np.array(colour(random), np.float64) for _ in range(3))
    coarseness = float(random.uniform(20, 120))
    soft = first + (second - first) * field(random, side, coarseness)[..., None]
    soft += (third - soft) * field(random, side, coarseness)[..., None]
    if random.random() < 0.5:
        levels = int(random.integers(2, 7)) - 1
        pattern = _bayer(3)
        thresholds = np.tile(pattern, (side // 8 + 1, side // 8 + 1))[:side, :side, None]
        return (np.clip(np.floor(soft / 255 * levels + thresholds), 0, levels) * 255 / levels).round().astype(np.uint8)
    picture = Image.fromarray(soft.clip(0, 255).astype(np.uint8))
    colours = int(random.choice([2, 4, 8, 16, 32]))
    palette = picture.quantize(colours)
    return np.asarray(picture.quantize(colours, palette=palette, dither=Image.Dither.FLOYDSTEINBERG).convert("RGB"))


def _palette(random: np.random.Generator) -> NDArray[np.uint8]:
    return np.array([colour(random) for _ in range(int(random.integers(3, 17)))], np.uint8)


def _sprite(random: np.random.Generator, size: int, colours: int) -> NDArray[np.int64]:
    """Mirrored figure of palette indices [size, size]; -1 is transparent."""
    half = field(random, size, 3.0)[:, : size // 2]
    inside = half > random.uniform(0.3, 0.55)
    indices = np.where(inside, (half * 7.99).astype(np.int64) % colours, -1)
    return np.concatenate([indices, indices[:, ::-1]], axis=1)


def _paste(onto: NDArray[np.int64], sprite: NDArray[np.int64], top: int, left: int) -> None:
    height, width = onto.shape
    rows, columns = np.nonzero(sprite >= 0)
    kept = (rows + top >= 0) & (rows + top < height) & (columns + left >= 0) & (columns + left < width)
    onto[rows[kept] + top, columns[kept] + left] = sprite[rows[kept], columns[kept]]


def _tile(random: np.random.Generator, size: int, palette: NDArray[np.uint8]) -> NDArray[np.uint8]:
    base, speck = random.integers(0, len(palette), 2)
    indices = np.where(random.random((size, size)) < random.uniform(0, 0.3), speck, base)
    if random.random() < 0.4:
        indices[0, :] = indices[:, 0] = int(random.integers(len(palette)))
    tile: NDArray[np.uint8] = palette[indices]
    return tile


def _enlarged(picture: NDArray[np.uint8], factor: int, side: int) -> NDArray[np.uint8]:
    return np.ascontiguousarray(picture.repeat(factor, axis=0).repeat(factor, axis=1)[:side, :side])


def _bayer(order: int) -> NDArray[np.float64]:
    """Threshold matrix of ordered dithering (Bayer 1973): [2^order, 2^order] in [0, 1)."""
    matrix = np.zeros((1, 1))
    for _ in range(order):
        matrix = np.block([[4 * matrix, 4 * matrix + 2], [4 * matrix + 3, 4 * matrix + 1]])
    thresholds: NDArray[np.float64] = matrix / 4**order
    return thresholds
