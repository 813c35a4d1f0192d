"""Effort levels 0 to 9 of the search for a stream. Their gains and costs stand in docs/effort.md."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal


@dataclass(frozen=True, kw_only=True)
class Effort:
    """Extent of the search at one effort level.

    `modes` are the candidates of the mode decision: the mode predicted best for the image, the plausible ones, or all.
    `margin` is the distance from the decision threshold between the scales, as a logarithm of squared error, within
    which both scales are plausible. `polish` is true if the scans are optimised. `passes` counts the quantiser's runs.
    `neighbours` is true if other encoder settings are tried around the best. `rounds` counts the steps of gradient
    descent on the description, each of `stride` levels on average; descent starts at `coarser` times the quantisation
    step of the stream that is to become smaller.
    """

    modes: Literal["predicted", "plausible", "all"]
    margin: float = 0.0
    polish: bool
    passes: int
    neighbours: bool = False
    rounds: int = 0
    stride: float = 0.0
    coarser: float = 1.0


EFFORTS: Final = (
    Effort(modes="predicted", polish=False, passes=1),
    Effort(modes="predicted", polish=False, passes=2),
    Effort(modes="predicted", polish=True, passes=2),
    Effort(modes="plausible", margin=1.5, polish=True, passes=2),
    Effort(modes="plausible", margin=1.5, polish=True, passes=2),
    Effort(modes="plausible", margin=1.5, polish=True, passes=2, rounds=1, stride=0.8, coarser=1.02),
    Effort(modes="plausible", margin=1.5, polish=True, passes=2, rounds=2, stride=0.6, coarser=1.04),
    Effort(modes="plausible", margin=1.5, polish=True, passes=2, rounds=4, stride=0.5, coarser=1.05),
    Effort(modes="all", polish=True, passes=2, rounds=8, stride=0.35, coarser=1.08),
    Effort(modes="all", polish=True, passes=2, neighbours=True, rounds=20, stride=0.2, coarser=1.1),
)
