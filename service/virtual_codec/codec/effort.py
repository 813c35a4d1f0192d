"""Effort levels 0 to 9 of the search for a stream. docs/effort.md has their gains and costs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal


@dataclass(frozen=True, kw_only=True)
class Effort:
    """Extent of the search at one effort level.

    `modes` are the candidates of the mode decision: the predicted best mode of the image, the plausible modes, or all.
    Both scales are plausible if the image is within `margin` of the threshold between them, a difference of logarithms
    of squared error. `optimises_scans` is true if the scans are optimised. `passes` is the number of runs of the
    quantiser. `neighbours` is true if other encoder settings are tried around the best. `rounds` is the number of steps
    of gradient descent on the description. A step changes samples by `stride` levels on average, and by half of it
    after a step was undone.
    """

    modes: Literal["predicted", "plausible", "all"]
    margin: float = 0.0
    optimises_scans: bool
    passes: int
    neighbours: bool = False
    rounds: int = 0
    stride: float = 0.0


EFFORTS: Final = (
    Effort(modes="predicted", optimises_scans=False, passes=1),
    Effort(modes="predicted", optimises_scans=False, passes=2),
    Effort(modes="predicted", optimises_scans=True, passes=2),
    Effort(modes="plausible", margin=1.5, optimises_scans=True, passes=2),
    Effort(modes="plausible", margin=1.5, optimises_scans=True, passes=2),
    Effort(modes="plausible", margin=1.5, optimises_scans=True, passes=2, rounds=1, stride=0.4),
    Effort(modes="plausible", margin=1.5, optimises_scans=True, passes=2, rounds=2, stride=0.35),
    Effort(modes="plausible", margin=1.5, optimises_scans=True, passes=2, rounds=4, stride=0.3),
    Effort(modes="all", optimises_scans=True, passes=2, rounds=8, stride=0.3),
    Effort(modes="all", optimises_scans=True, passes=2, neighbours=True, rounds=20, stride=0.25),
)
