"""Random crops on a device: tiles of the training images in its memory, rotated, mirrored, enlarged and reduced."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from virtual_codec.training.config import TrainConfig

_MAX_TILE_SIDE: Final = 384  # pixels; larger than the crops of `scale_jitter`, and small enough for a quick gather
_REDUCED_SHARE: Final = 0.2  # share of a batch that is reduced, by one common factor


@final
class DeviceRandom:
    """Random generators of a batch: one on the device, and one on the CPU for numbers that the host needs at once."""

    def __init__(self, device: torch.device) -> None:
        self.on_device = torch.Generator(device)
        self._on_processor = torch.Generator()

    def seed(self, seed: int) -> None:
        """Seed both generators."""
        self.on_device.manual_seed(seed)
        self._on_processor.manual_seed(seed)

    def draw(self) -> float:
        """Random number in [0, 1) from the CPU's generator."""
        return float(torch.rand((), generator=self._on_processor))


@final
class DeviceCrops:
    """Random squares of images [B, 3, crop, crop], like those of `virtual_codec.training.data.Pictures.crop`.

    Values are multiples of 1/255 in [0, 1]. If the recipe has a `scale_jitter`, a fifth of the squares are reduced. If
    it has an `enlargement`, half of the others are enlarged.
    """

    def __init__(self, images: Sequence[NDArray[np.uint8]], config: TrainConfig, device: torch.device) -> None:
        largest = round(config.crop * config.scale_jitter)
        side = min(max(_MAX_TILE_SIDE, largest), max(config.crop, min(min(image.shape[:2]) for image in images)))
        self._tiles = torch.from_numpy(tiles_of(images, side)).permute(0, 3, 1, 2).contiguous().to(device)
        self._size = config.crop
        self._reduction = min(config.scale_jitter, side / config.crop)
        self._enlargement = config.enlargement

    def __len__(self) -> int:
        return len(self._tiles)

    def cut(self, count: int, random: DeviceRandom) -> Tensor:
        """Batch of `count` random squares."""
        device = self._tiles.device
        chosen = torch.randint(len(self._tiles), (count,), device=device, generator=random.on_device)
        tiles = self._tiles[chosen].float() / 255
        reduced = round(_REDUCED_SHARE * count) if self._reduction > 1 else 0
        squares = []
        if reduced:
            factor = 1 + (self._reduction - 1) * random.draw()
            side = max(self._size, round(tiles.shape[-1] / factor))
            smaller = functional.interpolate(
                tiles[:reduced], size=(side, side), mode="bicubic", antialias=True, align_corners=False
            )
            squares.append(_random_squares(smaller, self._size, 1.0, random.on_device))
        squares.append(_random_squares(tiles[reduced:], self._size, self._enlargement, random.on_device))
        rounded = (torch.cat(squares) * 255).round().clamp(0, 255) / 255
        return rounded.contiguous(memory_format=torch.channels_last)


def tiles_of(images: Sequence[NDArray[np.uint8]], side: int) -> NDArray[np.uint8]:
    """Square tiles that cover images: [H, W, 3] each -> [N, side, side, 3].

    Tiles of a row or column overlap where its length is no multiple of `side`. Images with a side under `side` are
    extended by reflection.
    """
    tiles = []
    for image in images:
        missing = [(0, max(0, side - length)) for length in image.shape[:2]]
        padded = np.pad(image, (*missing, (0, 0)), mode="symmetric")
        rows, columns = (_tile_starts(length, side) for length in padded.shape[:2])
        tiles += [padded[top : top + side, left : left + side] for top in rows for left in columns]
    return np.stack(tiles)


def _tile_starts(length: int, side: int) -> list[int]:
    count = -(-length // side)
    return [round(index * (length - side) / max(1, count - 1)) for index in range(count)]


def _random_squares(tiles: Tensor, size: int, enlargement: float, random: torch.Generator) -> Tensor:
    """One square at a random place of each tile [B, 3, s, s], rotated and mirrored at random; half are enlarged."""
    device, count, side = tiles.device, len(tiles), tiles.shape[-1]

    def uniform(*shape: int) -> Tensor:
        return torch.rand(*shape, device=device, generator=random)

    factor = 1 + (enlargement - 1) * uniform(count)
    # Distance of neighbouring samples, in pixels of the tile.
    pitch = torch.where(uniform(count) < 0.5, 1 / factor, torch.ones_like(factor))
    top, left = torch.floor(uniform(2, count) * (side - size * pitch + 1)).clamp_(0, side - 1)
    place = torch.arange(size, device=device) + 0.5
    rows, columns = top[:, None] + place * pitch[:, None], left[:, None] + place * pitch[:, None]
    mirrored = uniform(2, count, 1) < 0.5
    rows = torch.where(mirrored[0], rows.flip(1), rows)[:, :, None].expand(count, size, size)
    columns = torch.where(mirrored[1], columns.flip(1), columns)[:, None, :].expand(count, size, size)
    turned = uniform(count, 1, 1) < 0.5
    rows, columns = (
        torch.where(turned, rows.transpose(1, 2), rows),
        torch.where(turned, columns.transpose(1, 2), columns),
    )
    grid = torch.stack([columns, rows], dim=-1) / side * 2 - 1
    return functional.grid_sample(tiles, grid, mode="bicubic", padding_mode="reflection", align_corners=False)
