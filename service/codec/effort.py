"""Efforts 0 to 9: what each level adds to the search. What they gain and cost stands in docs/effort.md."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, kw_only=True)
class Effort:
    """How far the search goes.

    `least_share`: a mode that is the best less often than that is not tried; above 1 leaves the one that is likeliest
    for the image alone. `doubt`: how near the image has to be to where the other scale begins to be likelier, as a
    logarithm of squared error, for that one to be tried, too. `polish`: whether the scans are optimised. `passes`: of
    the quantiser. `neighbours`: whether other settings of the encoder are tried around the best. `rounds`: how often
    the description is moved down the gradient of the cost, by `stride` levels on average, and `coarser` how much larger
    than the target's own the step is that it begins at.
    """

    least_share: float
    doubt: float
    polish: bool
    passes: int
    neighbours: bool = False
    rounds: int = 0
    stride: float = 0.0
    coarser: float = 1.0


EFFORTS: Final = (
    Effort(least_share=2, doubt=0, polish=False, passes=1),
    Effort(least_share=2, doubt=0, polish=False, passes=2),
    Effort(least_share=2, doubt=0, polish=True, passes=2),
    Effort(least_share=0.2, doubt=0.75, polish=True, passes=2),
    Effort(least_share=0.02, doubt=1.5, polish=True, passes=2),
    Effort(least_share=0.02, doubt=1.5, polish=True, passes=2, rounds=1, stride=0.8, coarser=1.02),
    Effort(least_share=0.02, doubt=1.5, polish=True, passes=2, rounds=2, stride=0.6, coarser=1.04),
    Effort(least_share=0.02, doubt=1.5, polish=True, passes=2, rounds=4, stride=0.5, coarser=1.05),
    Effort(least_share=0, doubt=math.inf, polish=True, passes=3, rounds=8, stride=0.35, coarser=1.08),
    Effort(least_share=0, doubt=math.inf, polish=True, passes=3, neighbours=True, rounds=20, stride=0.2, coarser=1.1),
)
