"""Settings of a batch: quantisation tables, Lagrange multipliers and the networks' conditions, as tensors."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal

import numpy as np
import torch
from torch import Tensor

from virtual_codec.bitstream import ZIGZAG
from virtual_codec.codecs import ANNEX_K_CHROMA, ANNEX_K_LUMA, JpegSettings
from virtual_codec.networks.condition import condition

Subsampling = Literal["420", "422", "444", "grey"]

_DEFAULTS: Final = JpegSettings(step=1.0)


@dataclass(frozen=True, kw_only=True)
class CodingSettings:
    """Settings of B pictures that share their subsampling.

    `luma` and `chroma` are tables [B, 64] in zig-zag order. `multiplier` [B] is the squared error for one bit of luma.
    `masking` [B] is as in `JpegSettings`. `own` is True for this project's encoder, which has a trellis.
    """

    luma: Tensor
    chroma: Tensor
    multiplier: Tensor
    masking: Tensor
    subsampling: Subsampling
    own: bool

    def __len__(self) -> int:
        return len(self.luma)

    def condition(self) -> Tensor:
        """Condition vectors [B, CONDITION_SIZE], equal to those of `virtual_codec.networks.condition`."""
        is_grey = self.subsampling == "grey"
        is_subsampled = self.subsampling in ("420", "422")
        by_luma, by_chroma, flags = _condition_map(is_subsampled, self.own, is_grey, self.luma.device)
        chroma = self.luma if is_grey else self.chroma
        return torch.log2(self.luma) @ by_luma + torch.log2(chroma) @ by_chroma + flags


def own_settings(
    step: Tensor,
    subsampling: Subsampling,
    *,
    trellis: Tensor | float = _DEFAULTS.trellis,
    luma_exponent: Tensor | float = _DEFAULTS.luma_exponent,
    chroma_ratio: Tensor | float = _DEFAULTS.chroma_ratio,
    masking: Tensor | float = _DEFAULTS.masking,
    luma_dc: float = _DEFAULTS.luma_dc,
    chroma_dc: float = _DEFAULTS.chroma_dc,
) -> CodingSettings:
    """Settings of this project's encoder at codec steps [B].

    The other arguments are fields of `JpegSettings`: one value for the batch, or a tensor [B].
    """
    steps = step.double()
    luma = _scaled_tables(ANNEX_K_LUMA, _as_column(luma_exponent, steps), steps, luma_dc)
    exponent = _as_column(_DEFAULTS.chroma_exponent, steps)
    chroma = _scaled_tables(ANNEX_K_CHROMA, exponent, steps * _as_column(chroma_ratio, steps)[:, 0], chroma_dc)
    multiplier = _as_column(trellis, steps)[:, 0] * luma.mean(dim=1).square()
    return CodingSettings(
        luma=luma.float(),
        chroma=chroma.float(),
        multiplier=multiplier.float(),
        masking=_as_column(masking, steps)[:, 0].float(),
        subsampling=subsampling,
        own=True,
    )


def foreign_settings(quality: Tensor, subsampling: Subsampling) -> CodingSettings:
    """Settings of libjpeg at qualities [B] from 1 to 100: scaled tables and plain rounding."""
    percent = torch.where(quality < 50, torch.floor(5000 / quality.double()), 200 - 2 * quality.double())[:, None]
    luma, chroma = (
        torch.floor((_zigzag(table, quality.device) * percent + 50) / 100).clamp(1, 255).float()
        for table in (ANNEX_K_LUMA, ANNEX_K_CHROMA)
    )
    nothing = torch.zeros(len(quality), device=quality.device)
    return CodingSettings(
        luma=luma, chroma=chroma, multiplier=nothing, masking=nothing, subsampling=subsampling, own=False
    )


def _scaled_tables(base: np.ndarray, exponent: Tensor, mean: Tensor, dc: float) -> Tensor:
    """Tables [B, 64] of `codecs.scaled_table`, for exponents [B, 1] and means [B]."""
    shape = _zigzag(base, mean.device) ** exponent
    shape = torch.cat([shape[:, :1] * dc, shape[:, 1:]], dim=1)
    return (shape * (mean / shape.mean(dim=1))[:, None]).round().clamp(1, 255)


def _as_column(value: Tensor | float, like: Tensor) -> Tensor:
    """Values [B, 1] from a tensor [B], or from one number for the batch."""
    return (value.to(like) if isinstance(value, Tensor) else torch.full_like(like, value))[:, None]


def _zigzag(table: np.ndarray, device: torch.device) -> Tensor:
    return _cached_zigzag(table.tobytes(), device)


@lru_cache(maxsize=16)
def _cached_zigzag(table: bytes, device: torch.device) -> Tensor:
    return torch.tensor(np.frombuffer(table)[np.asarray(ZIGZAG)], dtype=torch.float64, device=device)


@lru_cache(maxsize=32)
def _condition_map(subsampled: bool, own: bool, is_grey: bool, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Affine map from the logarithms of the tables to the condition: a matrix for luma, one for chroma, and the offset.

    A row of a matrix is measured with a table that is 2 at one coefficient and 1 elsewhere.
    """
    ones = np.ones((8, 8), np.uint16)

    def vector(luma: np.ndarray, chroma: np.ndarray) -> np.ndarray:
        tables = [luma] if is_grey else [luma, chroma, chroma]
        return condition(tables, subsampled=subsampled, own=own)

    rest = vector(ones, ones)
    columns: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
    for place in ZIGZAG:
        table = ones.copy()
        table.flat[place] = 2
        columns[0].append(vector(table, ones) - rest)
        columns[1].append(np.zeros_like(rest) if is_grey else vector(ones, table) - rest)
    by_luma, by_chroma = (torch.from_numpy(np.stack(rows)).to(device) for rows in columns)
    return by_luma, by_chroma, torch.from_numpy(rest).to(device)
