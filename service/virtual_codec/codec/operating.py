"""Operating points: the encoder settings of each quality, in each mode of a model.

A *mode* is a scale and a chroma subsampling. The *Lagrange multiplier* of a quality is the squared error that one bit
costs: streams are compared by squared error plus multiplier times bits. Calibration of a model measures the multiplier
of each quality, the step of each mode at that multiplier, and the share of images for which the mode is the best one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, final

import numpy as np
from numpy.typing import NDArray

from virtual_codec.errors import BadModel

FINEST_STEP: Final = 1.0  # a baseline table's entries are 1 to 255
COARSEST_STEP: Final = 255.0

# Estimate for photographs: doubling the quantisation step gives 2^-0.8 times the bytes.
LOG_BYTES_PER_LOG_STEP: Final = -0.8
# Change of PSNR by the log step, in dB: twice the bytes give about 2.7 dB.
DB_PER_LOG_STEP: Final = -3.1

# Factor on the cost by scale. At equal squared error a smaller description keeps more structure. On held-out crops the
# factor 0.96 changed BD-rate by +0.4 % (RGB-PSNR), +0.6 % (Y-PSNR) and -2.9 % (MS-SSIM); 0.9 by +2.4, +3.1 and -5.3 %.
_COST_FACTORS: Final = {1: 1.0, 2: 0.96}


@dataclass(frozen=True, kw_only=True)
class Mode:
    """Mode of a stream: a scale and a chroma subsampling."""

    scale: int
    subsampling: Literal["420", "444"]

    @property
    def name(self) -> str:
        """Name in manifests, `<scale>-<subsampling>`."""
        return f"{self.scale}-{self.subsampling}"

    def suits(self, *, grey: bool) -> bool:
        """True if the mode applies to a picture. A grey picture has one mode for each scale, with subsampling 420."""
        return not grey or self.subsampling == "420"

    @property
    def cost_factor(self) -> float:
        """Factor on the Lagrangian cost when modes are compared."""
        return _COST_FACTORS[self.scale]


MODES: Final = (
    Mode(scale=2, subsampling="420"),
    Mode(scale=1, subsampling="420"),
    Mode(scale=1, subsampling="444"),
)


@dataclass(frozen=True, kw_only=True)
class OperatingPoint:
    """Mode at a step (mean of the luma quantisation table), and the share of images for which it is the best mode."""

    mode: Mode
    step: float
    share: float


@final
class OperatingTable:
    """Tables of a manifest: `worth` (the Lagrange multipliers), `step-<mode>` and `share-<mode>`, 100 numbers each.

    Raises `BadModel` when a table is missing or has another length.
    """

    def __init__(self, tables: Mapping[str, Sequence[float]]) -> None:
        names = {key.removeprefix("step-") for key in tables if key.startswith("step-")}
        self._modes = [mode for mode in MODES if mode.name in names]
        wanted = ["worth", *(f"{kind}-{mode.name}" for mode in self._modes for kind in ("step", "share"))]
        for key in wanted:
            if len(tables.get(key, ())) != 100:
                raise BadModel(f"the manifest's table {key!r} must have 100 numbers, one for each quality")
        if not self._modes:
            raise BadModel("the manifest has no table step-<mode>")
        self._tables = {key: np.array(tables[key], np.float64) for key in wanted}

    @property
    def modes(self) -> tuple[Mode, ...]:
        """Modes of the model."""
        return tuple(self._modes)

    def multiplier(self, quality: int) -> float:
        """Lagrange multiplier of a quality (1-100): squared error of a sample (0 to 255, squared) for one bit."""
        return float(self._tables["worth"][quality - 1])

    def points(
        self, multiplier: float, *, scale: int | None = None, least_scale: int = 1, grey: bool = False
    ) -> list[OperatingPoint]:
        """Operating points of the modes at a Lagrange multiplier, by falling share.

        `scale` selects the modes of one scale, `least_scale` those of at least that scale. `grey` selects the modes
        that apply to a grey image. The list may be empty.
        """
        points = [
            OperatingPoint(
                mode=mode,
                step=math.exp(self._interpolate(multiplier, np.log(self._tables[f"step-{mode.name}"]))),
                share=self._interpolate(multiplier, self._tables[f"share-{mode.name}"]),
            )
            for mode in self._modes
            if scale in (None, mode.scale) and mode.scale >= least_scale and mode.suits(grey=grey)
        ]
        return sorted(points, key=lambda point: -point.share)

    def _interpolate(self, multiplier: float, values: NDArray[np.float64]) -> float:
        """Value of a table at a multiplier. Multipliers fall with quality; `np.interp` needs them rising."""
        return float(np.interp(math.log(multiplier), np.log(self._tables["worth"][::-1]), values[::-1]))

    def multiplier_at(self, mode: Mode, step: float) -> float:
        """Lagrange multiplier at which a mode's step is `step`."""
        return self.multiplier(self.nearest_quality(mode, step))

    def nearest_quality(self, mode: Mode, step: float) -> int:
        """Quality (1-100) whose step in a mode is the nearest to `step` on a log scale."""
        steps = np.log(self._tables[f"step-{mode.name}"])
        return int(np.argmin(np.abs(steps - np.log(step)))) + 1


def bounded_step(step: float) -> float:
    """Step within the range that baseline quantisation tables have."""
    return min(COARSEST_STEP, max(FINEST_STEP, step))
