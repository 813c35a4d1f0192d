"""Coding of descriptions by the real encoder, for joint training: decoded pictures, bits, levels and conditions."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from virtual_codec.bitstream import ZIGZAG
from virtual_codec.codecs import JpegSettings, quantisation_tables
from virtual_codec.codecs.jpeg import analyse, quantised
from virtual_codec.networks.condition import condition
from virtual_codec.networks.differentiable import Levels
from virtual_codec.training.samples import through_codec, to_tensor


def code_descriptions(described: Tensor, settings: tuple[JpegSettings, ...]) -> tuple[Tensor, Tensor]:
    """Decoded pictures and bits [B] of descriptions [B, 3, h, w] in [0, 1], by the real codec. No gradient."""
    results = [
        through_codec(picture, each) for picture, each in zip(_picture_samples(described), settings, strict=True)
    ]
    return to_tensor([decoded for decoded, _, _ in results]), torch.tensor([8.0 * size for _, _, size in results])


def levels_of_descriptions(described: Tensor, settings: tuple[JpegSettings, ...]) -> list[Levels]:
    """Quantised levels by the real encoder of descriptions [B, 3, h, w], h and w multiples of 16. No gradient."""
    height, width = described.shape[2:]
    found = []
    for picture, each in zip(_picture_samples(described), settings, strict=True):
        luma, *chroma = quantised(analyse(picture, each.subsampling), each)[0]
        shrunk = 2 if each.subsampling == "420" else 1
        found.append(
            Levels(luma=_planes([luma], height, width), chroma=_planes(chroma, height // shrunk, width // shrunk))
        )
    return found


def tables_of(settings: tuple[JpegSettings, ...]) -> Tensor:
    """Quantisation tables of settings, luma's and chroma's: [B, 2, 8, 8]."""
    return torch.from_numpy(np.stack([np.stack(quantisation_tables(each)) for each in settings])).float()


def subsampled_of(settings: tuple[JpegSettings, ...]) -> list[bool]:
    """Flag of each settings object: True if it halves the chroma."""
    return [each.subsampling == "420" for each in settings]


def condition_of_settings(settings: JpegSettings) -> NDArray[np.float32]:
    """Condition vector [CONDITION_SIZE] of a stream coded with given settings."""
    luma, chroma = (table.astype(np.uint16) for table in quantisation_tables(settings))
    return condition([luma, chroma, chroma], subsampled=settings.subsampling == "420", own=True)


def _picture_samples(described: Tensor) -> list[NDArray[np.float32]]:
    pictures = (described.detach().float() * 255).permute(0, 2, 3, 1).cpu().numpy()
    return [np.ascontiguousarray(picture) for picture in pictures]


def _planes(components: list[NDArray[np.int16]], height: int, width: int) -> Tensor:
    """Levels [blocks, 64] in zig-zag and raster order -> [C, height/8, width/8, 8, 8]."""
    planes = np.empty((len(components), height // 8 * (width // 8), 64), np.float32)
    planes[:, :, np.asarray(ZIGZAG)] = np.stack(components)
    return torch.from_numpy(planes).view(-1, height // 8, width // 8, 8, 8)
