"""Colour conversion, subsampling and DCT of batches, and their inverses."""

from __future__ import annotations

from functools import lru_cache
from typing import Final, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from virtual_codec.bitstream import ZIGZAG
from virtual_codec.codecs import DCT_BASIS
from virtual_codec.training.device_codec._settings import Subsampling

# Full-range BT.601, as JFIF has it.
_RGB_TO_YCC: Final = ((0.299, 0.587, 0.114), (-0.168735892, -0.331264108, 0.5), (0.5, -0.418687589, -0.081312411))
_YCC_TO_RGB: Final = ((1.0, 0.0, 1.402), (1.0, -0.344136286, -0.714136286), (1.0, 1.772, 0.0))


class Component(NamedTuple):
    """Component of a batch: coefficients [B, C, blocks, 64] in zig-zag order, with the blocks in raster order.

    A row has `columns` blocks. An MCU has `side` x `side` blocks of this component.
    """

    coefficients: Tensor
    side: int
    columns: int


def components_of(pictures: Tensor, subsampling: Subsampling) -> list[Component]:
    """Luma and, except for "grey", both chroma components of pictures [B, 3, h, w] in [0, 1].

    h and w are multiples of 16. "grey" takes the first channel as luma.
    """
    if subsampling == "grey":
        return [_to_component(pictures[:, :1] * 255 - 128, 1)]
    ycc = torch.einsum("oc,bchw->bohw", _matrix(_RGB_TO_YCC, pictures.device), pictures) * 255
    chroma = ycc[:, 1:]
    if subsampling != "444":
        chroma = functional.avg_pool2d(chroma, (2, 2) if subsampling == "420" else (1, 2))
    return [_to_component(ycc[:, :1] - 128, 2 if subsampling == "420" else 1), _to_component(chroma, 1)]


def pictures_of(coefficients: list[Tensor], subsampling: Subsampling, size: tuple[int, int], *, exact: bool) -> Tensor:
    """Pictures [B, 3, h, w] in [0, 1], decoded from the coefficients of `components_of`.

    With `exact`, samples are rounded and clipped as in libjpeg: after the IDCT, the chroma filter and the colour
    conversion. Without it the function is linear, for derivatives.
    """

    def samples(values: Tensor) -> Tensor:
        return values.round().clamp(0, 255) if exact else values

    height, width = size
    if subsampling == "grey":
        grey = samples(_to_planes(coefficients[0], height, width) + 128)
        return grey.expand(-1, 3, -1, -1) / 255
    luma = samples(_to_planes(coefficients[0], height, width) + 128)
    rows = height // 2 if subsampling == "420" else height
    columns = width if subsampling == "444" else width // 2
    chroma = samples(_to_planes(coefficients[1], rows, columns) + 128)
    if subsampling != "444":  # libjpeg's triangle filter, "fancy upsampling"
        chroma = samples(functional.interpolate(chroma, size=size, mode="bilinear", align_corners=False))
    ycc = torch.cat([luma, chroma - 128], dim=1)
    return samples(torch.einsum("oc,bchw->bohw", _matrix(_YCC_TO_RGB, ycc.device), ycc)) / 255


def _to_component(planes: Tensor, side: int) -> Component:
    batch, channels, height, width = planes.shape
    blocks = planes.reshape(batch, channels, height // 8, 8, width // 8, 8)
    blocks = blocks.transpose(3, 4).reshape(batch, channels, -1, 64)
    return Component(blocks @ _dct_basis(planes.device).T, side, width // 8)


def _to_planes(coefficients: Tensor, height: int, width: int) -> Tensor:
    batch, channels = coefficients.shape[:2]
    samples = (coefficients @ _dct_basis(coefficients.device)).reshape(batch, channels, height // 8, width // 8, 8, 8)
    return samples.transpose(3, 4).reshape(batch, channels, height, width)


@lru_cache(maxsize=8)
def _dct_basis(device: torch.device) -> Tensor:
    """Two-dimensional DCT as one product: coefficients [64], zig-zag = basis [64, 64] @ samples [64], row by row."""
    both = np.kron(DCT_BASIS, DCT_BASIS)[np.asarray(ZIGZAG)]
    return torch.from_numpy(np.ascontiguousarray(both)).to(device)


@lru_cache(maxsize=16)
def _matrix(rows: tuple[tuple[float, ...], ...], device: torch.device) -> Tensor:
    return torch.tensor(rows, device=device)
