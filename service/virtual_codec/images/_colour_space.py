"""Colour spaces: conversion to sRGB from primaries and a transfer function, for 8- and 16-bit samples alike."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Samples = NDArray[np.uint8] | NDArray[np.uint16]
Transfer = Callable[[Floats], Floats]

# Chromaticities (x, y) of red, green, blue and white.
D65: Final = (0.3127, 0.329)
SRGB_PRIMARIES: Final = ((0.64, 0.33), (0.3, 0.6), (0.15, 0.06), D65)
ADOBE_RGB_PRIMARIES: Final = ((0.64, 0.33), (0.21, 0.71), (0.15, 0.06), D65)

# Bradford's cone responses, for adaptation to another white point (ICC.1:2010, annex E).
_BRADFORD: Final = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
_TABLE_SIZE: Final = 65_535  # entries of linear light in the table that encodes sRGB
_BAND_SAMPLES: Final = 1 << 18  # samples converted at a time


@dataclass(frozen=True, kw_only=True, eq=False)
class ColourSpace:
    """RGB or grey colour space. `to_linear` maps samples from 0 to 1 to linear light, one function per channel.

    `matrix` [3, 3] maps linear RGB to linear sRGB; a grey picture uses the first function only.
    """

    to_linear: tuple[Transfer, Transfer, Transfer]
    matrix: Floats

    @property
    def is_srgb(self) -> bool:
        """True if no colour changes by more than one level of 255."""
        steps = np.linspace(0, 255, 16).astype(np.uint8)
        lattice = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), axis=-1).reshape(256, 16, 3)
        return bool(np.abs(self.to_srgb(lattice).astype(np.int16) - lattice).max() <= 1)

    def to_srgb(self, samples: Samples) -> NDArray[np.uint8]:
        """Convert [h, w, 3] or grey [h, w] samples, uint8 or uint16, to sRGB of the same shape. Colours are clipped."""
        most = int(np.iinfo(samples.dtype).max)
        codes = np.arange(most + 1) / most
        with np.errstate(all="ignore"):  # the curve of a damaged profile may have any values
            curves = [np.nan_to_num(np.clip(curve(codes), 0, 1)).astype(np.float32) for curve in self.to_linear]
        encoded = np.rint(255 * srgb_encoded(np.arange(_TABLE_SIZE + 1) / _TABLE_SIZE)).astype(np.uint8)
        result = np.empty(samples.shape, np.uint8)
        flat, shown = samples.reshape(-1, *samples.shape[2:]), result.reshape(-1, *samples.shape[2:])
        matrix = self.matrix.astype(np.float32).T
        for start in range(0, len(flat), _BAND_SAMPLES):
            part = flat[start : start + _BAND_SAMPLES]
            if samples.ndim == 2:
                linear = curves[0][part]
            else:
                linear = np.stack([curve[part[:, channel]] for channel, curve in enumerate(curves)], axis=1) @ matrix
            shown[start : start + _BAND_SAMPLES] = encoded[
                np.rint(np.clip(linear, 0, 1) * _TABLE_SIZE).astype(np.uint16)
            ]
        return result


def colour_space(primaries: tuple[tuple[float, float], ...], to_linear: Transfer) -> ColourSpace:
    """Colour space of chromaticities (red, green, blue, white) and a transfer function. Raises `ValueError`."""
    try:
        matrix = np.linalg.inv(_to_xyz(SRGB_PRIMARIES)) @ _adapted(primaries[3]) @ _to_xyz(primaries)
    except (ZeroDivisionError, np.linalg.LinAlgError) as error:
        raise ValueError("the primaries span no colours") from error
    if not np.isfinite(matrix).all():
        raise ValueError("the primaries span no colours")
    return ColourSpace(to_linear=(to_linear,) * 3, matrix=matrix)


def power(exponent: float) -> Transfer:
    """Transfer function of a pure power."""
    return lambda codes: np.power(codes, exponent)


def srgb_decoded(codes: Floats) -> Floats:
    """Linear light of sRGB samples, 0 to 1 (IEC 61966-2-1)."""
    return np.where(codes <= 0.04045, codes / 12.92, np.power((codes + 0.055) / 1.055, 2.4))


def srgb_encoded(linear: Floats) -> Floats:
    """Samples of linear light, 0 to 1 (IEC 61966-2-1)."""
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * np.power(linear, 1 / 2.4) - 0.055)


def _to_xyz(primaries: tuple[tuple[float, float], ...]) -> Floats:
    """Matrix from linear RGB to XYZ, with white at Y = 1."""
    columns = np.array([[x / y, 1, (1 - x - y) / y] for x, y in primaries]).T
    scales = np.linalg.solve(columns[:, :3], columns[:, 3])
    return np.asarray(columns[:, :3] * scales)


def _adapted(white: tuple[float, float]) -> Floats:
    """Matrix that adapts XYZ from a white point to D65."""
    source, target = (_BRADFORD @ np.array([x / y, 1, (1 - x - y) / y]) for x, y in (white, D65))
    return np.asarray(np.linalg.inv(_BRADFORD) @ np.diag(target / source) @ _BRADFORD)
