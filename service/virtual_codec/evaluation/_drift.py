"""Colour drift of the codec under test against AVIF at equal bytes, for each set and quality."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from virtual_codec.evaluation.curves import METRICS, at_rates, curves
from virtual_codec.evaluation.points import Point

REFERENCE: Final = "avif"
_METRIC: Final = "colour_drift"


@dataclass(frozen=True, kw_only=True)
class DriftRow:
    """Colour drift of one quality and of AVIF at the same bytes, root mean square over `images` pictures of a set.

    Grey pictures are not counted, nor pictures whose size AVIF does not reach.
    """

    set: str
    codec: str
    quality: int
    images: int
    colour_drift: float
    avif_colour_drift: float

    @property
    def ratio(self) -> float:
        """Ratio of the codec's drift to AVIF's; below 1 the codec is better."""
        return self.colour_drift / self.avif_colour_drift if self.avif_colour_drift else math.inf


def drift_rows(set_name: str, codec: str, tested: Sequence[Point], reference: Sequence[Point]) -> list[DriftRow]:
    """Rows of the qualities for which at least one picture can be compared with the reference's curves."""
    reference_curves = curves(reference, _METRIC)
    pairs: dict[int, list[tuple[float, float]]] = defaultdict(list)
    for point in tested:
        if point.colour_drift is None or point.image not in reference_curves:
            continue
        scaled = at_rates(reference_curves[point.image], [point.bpp])
        if not math.isnan(scaled[0]):
            pairs[int(point.setting)].append((point.colour_drift, float(METRICS[_METRIC].unscaled(scaled)[0])))
    return [
        DriftRow(
            set=set_name,
            codec=codec,
            quality=quality,
            images=len(found),
            colour_drift=_root_mean_square([own for own, _ in found]),
            avif_colour_drift=_root_mean_square([other for _, other in found]),
        )
        for quality, found in sorted(pairs.items())
    ]


def _root_mean_square(values: Sequence[float]) -> float:
    return math.sqrt(sum(value * value for value in values) / len(values))
