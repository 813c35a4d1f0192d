"""Efforts 0 to 9: what each level adds to the search. What they gain and cost stands in docs/effort.md."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal


@dataclass(frozen=True, kw_only=True)
class Effort:
    """How far the search goes.

    `modes`: which are tried of those that a model has: the one likeliest for the image, those that are likely, or all.
    `doubt`: how near the image has to be to where the other scale begins to be likelier, as a logarithm of squared
    error, for that one to be likely, too. `polish`: whether the scans are optimised. `passes`: of
    the quantiser. `neighbours`: whether other settings of the encoder are tried around the best. `rounds`: how often
    the description is moved down the gradient of the cost, by `stride` levels on average, and `coarser` how much larger
    than the target's own the step is that it begins at.
    """

    modes: Literal["likeliest", "likely", "all"]
    doubt: float = 0.0
    polish: bool
    passes: int
    neighbours: bool = False
    rounds: int = 0
    stride: float = 0.0
    coarser: float = 1.0


EFFORTS: Final = (
    Effort(modes="likeliest", polish=False, passes=1),
    Effort(modes="likeliest", polish=False, passes=2),
    Effort(modes="likeliest", polish=True, passes=2),
    Effort(modes="likely", doubt=0.75, polish=True, passes=2),
    Effort(modes="likely", doubt=1.5, polish=True, passes=2),
    Effort(modes="likely", doubt=1.5, polish=True, passes=2, rounds=1, stride=0.8, coarser=1.02),
    Effort(modes="likely", doubt=1.5, polish=True, passes=2, rounds=2, stride=0.6, coarser=1.04),
    Effort(modes="likely", doubt=1.5, polish=True, passes=2, rounds=4, stride=0.5, coarser=1.05),
    Effort(modes="all", polish=True, passes=3, rounds=8, stride=0.35, coarser=1.08),
    Effort(modes="all", polish=True, passes=3, neighbours=True, rounds=20, stride=0.2, coarser=1.1),
)
