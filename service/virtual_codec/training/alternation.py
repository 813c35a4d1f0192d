"""The schedule of an alternating run, as data of its recipe: which step of the algorithm runs when, around which codec.

opening, once ──► cycle ──► cycle ──► ... until the recipe's steps are made
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Move = Literal["start", "postprocess", "virtual_codec", "description", "pair"]

# Which networks each step of the algorithm moves; all others stay as they are.
MOVES: Final[dict[Move, frozenset[str]]] = {
    "start": frozenset({"description"}),  # towards the plain downscale
    "postprocess": frozenset({"postprocess"}),
    "virtual_codec": frozenset({"virtual_codec"}),
    "description": frozenset({"description"}),
    "pair": frozenset({"description", "postprocess"}),  # joint fine-tuning
}


@dataclass(frozen=True, kw_only=True)
class Phase:
    """So many optimiser steps of one kind in a row."""

    move: Move
    steps: int

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ValueError(f"a phase has at least 1 step, got {self.steps}")


@dataclass(frozen=True, kw_only=True)
class Alternation:
    """What an alternating recipe has beside its networks.

    `codec` and `setting` are a row of `virtual_codec.training.plain_codecs` and its quality, or compression ratio; the
    colour version, which is told of its codec's tables, uses neither. `image_weight` is that of the term which keeps
    the published description an image. `virtual_share` is how much of the colour description's gradient comes through
    the virtual codec; the rest comes through the smooth model of JPEG.
    """

    opening: tuple[Phase, ...] = ()
    cycle: tuple[Phase, ...]
    codec: str = "jpeg"
    setting: int = 10
    image_weight: float = 0.0
    virtual_share: float = 1.0

    def __post_init__(self) -> None:
        if not self.cycle:
            raise ValueError("a schedule needs a cycle of at least one phase")
        if not 0 <= self.virtual_share <= 1:
            raise ValueError(f"virtual_share must be 0 to 1, got {self.virtual_share}")

    def move_at(self, step: int) -> Move:
        """The kind of the run's `step`, counted from 0."""
        for phase in self.opening:
            if step < phase.steps:
                return phase.move
            step -= phase.steps
        step %= sum(phase.steps for phase in self.cycle)
        for phase in self.cycle:
            if step < phase.steps:
                return phase.move
            step -= phase.steps
        raise AssertionError("a step lies in the cycle")
