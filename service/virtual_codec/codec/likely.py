"""Which modes are worth trying for an image, and in what order: judged without any network."""

from __future__ import annotations

import math
from typing import Final

from virtual_codec.codec.effort import EFFORTS
from virtual_codec.codec.operating import OperatingPoint, OperatingTable
from virtual_codec.codec.trial import Trials
from virtual_codec.errors import BadOption
from virtual_codec.jobs import CompressOptions

# An image is likeliest coded best at half size where the plain filters lose less by it than so many bits a pixel are
# worth. On held-out photographs that scale's streams cost 0.3 % more than the better one's, the tables' scale's 2.3 %;
# where they lose 4.5 times less or more (a logarithm of 1.5), the other scale was never better by more than 1.4 %.
_HALVING_BPP: Final = 0.5
# Chroma at full size was better only where halving it loses more than so many bits a pixel are worth: there by up to
# 67 % (drawings), else by half a percent at most.
_HALVED_CHROMA_BPP: Final = 0.3


def points_to_try(
    trials: Trials, table: OperatingTable, options: CompressOptions, worth: float, *, all_modes: bool = False
) -> list[OperatingPoint]:
    """The points of an exchange rate that are worth a trial at the effort, the likeliest for this image first.

    With `all_modes` none is left out. Raises `BadOption` where the model has no mode for the image.
    """
    effort = EFFORTS[options.effort]
    points = table.points(worth, scale=options.scale, least_scale=trials.least_scale, grey=trials.is_grey)
    if not points:
        raise _no_mode(trials, table)
    all_modes = all_modes or effort.modes == "all"
    if len({point.mode.scale for point in points}) > 1:
        for_full_size = math.log(max(trials.halving_error, 1e-9) / (_HALVING_BPP * worth))
        likely = 1 if for_full_size > 0 else 2
        points.sort(key=lambda point: point.mode.scale != likely)
        if not all_modes and abs(for_full_size) > effort.doubt:
            points = [point for point in points if point.mode.scale == likely]
    if all_modes:
        return points
    if effort.modes == "likeliest" and points[0].mode.subsampling == "420":
        return points[:1]
    if trials.halved_chroma_error <= _HALVED_CHROMA_BPP * worth:
        points = [point for point in points if point.mode.subsampling == "420"] or points
    return points[:1] if effort.modes == "likeliest" else points


def _no_mode(trials: Trials, table: OperatingTable) -> BadOption:
    height, width = trials.pixels.shape[:2]
    fitting = sorted({mode.scale for mode in table.modes if mode.scale >= trials.least_scale})
    return BadOption(
        f"this model has no mode of that scale for an image of {width}x{height}; "
        + (f"use scale {' or '.join(map(str, fitting))}" if fitting else "send a smaller one")
    )
