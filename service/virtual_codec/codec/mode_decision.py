"""Mode decision: chooses the modes to try for an image, without running a network."""

from __future__ import annotations

import math
from typing import Final

from virtual_codec.codec.effort import EFFORTS
from virtual_codec.codec.operating import OperatingPoint, OperatingTable
from virtual_codec.codec.trial import Trials
from virtual_codec.errors import BadOption
from virtual_codec.jobs import CompressOptions

# Half size is predicted to be best if the plain filters' loss from halving is below the cost of this many bits a pixel.
# On held-out photographs, streams of the predicted scale cost 0.3 % more than those of the better scale; streams of the
# tables' scale cost 2.3 % more. Beyond a factor of 4.5 (a logarithm of 1.5) from this threshold, the other scale was
# better by at most 1.4 %.
_HALVING_BPP: Final = 0.5
# 4:4:4 was better only if halving the chroma loses more than the cost of this many bits a pixel: then by up to 67 %
# (drawings), otherwise by at most half a percent.
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
