"""Mode decision: the modes to try for an image, judged without running a network."""

from __future__ import annotations

import math
from typing import Final

from virtual_codec.codec.effort import EFFORTS
from virtual_codec.codec.operating import OperatingPoint, OperatingTable
from virtual_codec.codec.trial import Trials
from virtual_codec.errors import BadOption
from virtual_codec.jobs import CompressOptions

# Half size is predicted best where the plain filters lose less by it than so many bits a pixel cost. On held-out
# photographs the predicted scale's streams cost 0.3 % more than the better scale's, those of the tables' scale 2.3 %;
# beyond a factor of 4.5 (a logarithm of 1.5) from this threshold, the other scale was better by 1.4 % at most.
_HALVING_BPP: Final = 0.5
# 4:4:4 was better only where halving the chroma loses more than so many bits a pixel cost: there by up to 67 %
# (drawings), elsewhere by half a per cent at most.
_HALVED_CHROMA_BPP: Final = 0.3


def candidate_points(
    trials: Trials, table: OperatingTable, options: CompressOptions, multiplier: float, *, all_modes: bool = False
) -> list[OperatingPoint]:
    """Operating points to try at a Lagrange multiplier and the effort of `options`, the predicted best one first.

    With `all_modes` every mode is returned. Raises `BadOption` when the model has no mode for the image.
    """
    effort = EFFORTS[options.effort]
    points = table.points(multiplier, scale=options.scale, least_scale=trials.least_scale, grey=trials.is_grey)
    if not points:
        raise _no_mode(trials, table)
    all_modes = all_modes or effort.modes == "all"
    if len({point.mode.scale for point in points}) > 1:
        full_size_gain = math.log(max(trials.halving_error, 1e-9) / (_HALVING_BPP * multiplier))
        predicted = 1 if full_size_gain > 0 else 2
        points.sort(key=lambda point: point.mode.scale != predicted)
        if not all_modes and abs(full_size_gain) > effort.margin:
            points = [point for point in points if point.mode.scale == predicted]
    if all_modes:
        return points
    if effort.modes == "predicted" and points[0].mode.subsampling == "420":
        return points[:1]
    if trials.halved_chroma_error <= _HALVED_CHROMA_BPP * multiplier:
        points = [point for point in points if point.mode.subsampling == "420"] or points
    return points[:1] if effort.modes == "predicted" else points


def _no_mode(trials: Trials, table: OperatingTable) -> BadOption:
    height, width = trials.pixels.shape[:2]
    fitting = sorted({mode.scale for mode in table.modes if mode.scale >= trials.least_scale})
    return BadOption(
        f"this model has no mode of that scale for an image of {width}x{height}; "
        + (f"use scale {' or '.join(map(str, fitting))}" if fitting else "send a smaller one")
    )
