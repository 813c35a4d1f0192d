"""Effort levels 0 to 9 of the search for a stream. docs/effort.md has their gains and costs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal


@dataclass(frozen=True, kw_only=True)
class Effort:
    """Extent of the search at one effort level.

    `modes` are the candidates of the mode decision: the mode predicted best for the image, the plausible ones, or all.
    `margin` is the distance from the decision threshold between the scales, as a logarithm of squared error, within
    which both scales are plausible. `measured` is what is restored and measured: the image, only its probe, or only the
    probe and only once. `polish` is true if the scans are optimised. `passes` counts the quantiser's runs. `neighbours`
    is true if other encoder settings are tried around the best. `rounds` counts the steps of gradient descent on the
    description, each of `stride` levels on average until one is taken back.
    """

    modes: Literal["predicted", "plausible", "all"]
    margin: float = 0.0
    measured: Literal["image", "probe", "probe-once"] = "image"
    polish: bool
    passes: int
    neighbours: bool = False
    rounds: int = 0
    stride: float = 0.0


EFFORTS: Final = (
    Effort(modes="predicted", measured="probe-once", polish=False, passes=1),
    Effort(modes="predicted", measured="probe", polish=True, passes=2),
    Effort(modes="predicted", polish=True, passes=2),
    Effort(modes="plausible", margin=1.5, polish=True, passes=2),
    Effort(modes="plausible", margin=1.5, polish=True, passes=2),
    Effort(modes="plausible", margin=1.5, polish=True, passes=2, rounds=1, stride=0.4),
    Effort(modes="plausible", margin=1.5, polish=True, passes=2, rounds=2, stride=0.35),
    Effort(modes="plausible", margin=1.5, polish=True, passes=2, rounds=4, stride=0.3),
    Effort(modes="all", polish=True, passes=2, rounds=8, stride=0.3),
    Effort(modes="all", polish=True, passes=2, neighbours=True, rounds=20, stride=0.25),
)
