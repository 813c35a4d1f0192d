"""Operating points: which encoder settings a quality stands for, at each mode that a model offers.

A *mode* is a scale and a chroma subsampling. When a model is made, each quality's exchange rate between squared
error and bits is measured, and with it each mode's step and how often that mode is the best of all. So the search for
the best mode at a quality compares streams of equal slope: it walks on the convex hull of all modes.
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

# At equal squared error a smaller description keeps more structure. Counting its cost at 0.96 of itself changed, on
# held-out crops, BD-rate by +0.4 % (RGB-PSNR), +0.6 % (Y-PSNR) and -2.9 % (MS-SSIM); 0.9 by +2.4, +3.1 and -5.3 %.
_FAVOUR: Final = {1: 1.0, 2: 0.96}


@dataclass(frozen=True, kw_only=True)
class Mode:
    """A scale and a chroma subsampling. Named `<scale>-<subsampling>` in manifests."""

    scale: int
    subsampling: Literal["420", "444"]

    @property
    def name(self) -> str:
        """Its name in manifests."""
        return f"{self.scale}-{self.subsampling}"

    def suits(self, *, grey: bool) -> bool:
        """Whether it differs from the others for such a picture: grey has no chroma to keep at full size."""
        return not grey or self.subsampling == "420"

    @property
    def favour(self) -> float:
        """What its cost is multiplied with when modes are compared."""
        return _FAVOUR[self.scale]


MODES: Final = (
    Mode(scale=2, subsampling="420"),
    Mode(scale=1, subsampling="420"),
    Mode(scale=1, subsampling="444"),
)


@dataclass(frozen=True, kw_only=True)
class OperatingPoint:
    """A mode at a step (mean of the luma quantisation table), and how often it is the best at its quality."""

    mode: Mode
    step: float
    share: float


@final
class OperatingTable:
    """The tables of a manifest, read: `worth`, `step-<mode>` and `share-<mode>`, 100 numbers each.

    Raises `BadModel` when they are not there or not of that length.
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
        """All modes of the model."""
        return tuple(self._modes)

    def worth(self, quality: int) -> float:
        """How much squared error (of one sample, 0 to 255 squared) one bit is worth at a quality (1-100)."""
        return float(self._tables["worth"][quality - 1])

    def points(
        self, worth: float, *, scale: int | None = None, least_scale: int = 1, grey: bool = False
    ) -> list[OperatingPoint]:
        """The modes' points at an exchange rate, the one that is best for most images first.

        `scale` leaves only its modes, `least_scale` those that shrink so much or more, `grey` those without chroma at
        full size; none may be left.
        """
        points = [
            OperatingPoint(
                mode=mode,
                step=math.exp(self._at(worth, np.log(self._tables[f"step-{mode.name}"]))),
                share=self._at(worth, self._tables[f"share-{mode.name}"]),
            )
            for mode in self._modes
            if scale in (None, mode.scale) and mode.scale >= least_scale and mode.suits(grey=grey)
        ]
        return sorted(points, key=lambda point: -point.share)

    def _at(self, worth: float, values: NDArray[np.float64]) -> float:
        """A table's value at an exchange rate: the rates fall with quality, `np.interp` wants them rising."""
        return float(np.interp(math.log(worth), np.log(self._tables["worth"][::-1]), values[::-1]))

    def worth_at(self, mode: Mode, step: float) -> float:
        """The exchange rate at which a mode's best step is `step`."""
        return self.worth(self.nearest_quality(mode, step))

    def nearest_quality(self, mode: Mode, step: float) -> int:
        """The quality (1-100) whose step in a mode is the nearest, on a log scale."""
        steps = np.log(self._tables[f"step-{mode.name}"])
        return int(np.argmin(np.abs(steps - np.log(step)))) + 1
