"""Schedule of an alternating recipe: the kind of each optimiser step, and the standard codec.

opening, once ──► cycle ──► cycle ──► ... until the recipe's steps are made
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

StepKind = Literal["start", "postprocess", "virtual_codec", "description", "joint"]

# Networks that a step of each kind trains; all others are frozen.
TRAINED_NETWORKS: Final[dict[StepKind, frozenset[str]]] = {
    "start": frozenset({"description"}),  # towards the plain downscale
    "postprocess": frozenset({"postprocess"}),
    "virtual_codec": frozenset({"virtual_codec"}),
    "description": frozenset({"description"}),
    "joint": frozenset({"description", "postprocess"}),
}


@dataclass(frozen=True, kw_only=True)
class Phase:
    """Run of `steps` consecutive optimiser steps of one kind."""

    kind: StepKind
    steps: int

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ValueError(f"a phase has at least 1 step, got {self.steps}")


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """Phases of an alternating recipe, and parameters of its loss.

    `codec` is a row of `virtual_codec.training.plain_codecs`, and `setting` its quality or compression ratio. The
    colour recipe uses neither, because its codec's tables are part of a batch. `image_weight` is the weight of the
    SSIM term, which keeps the published description an image. `virtual_share`, 0 to 1, is the share of the colour
    description's gradient that comes through the virtual codec; the rest comes through the smooth model of JPEG.
    """

    opening: tuple[Phase, ...] = ()
    cycle: tuple[Phase, ...]
    codec: str = "jpeg"
    setting: int = 10
    image_weight: float = 0.0
    virtual_share: float = 1.0

    def __post_init__(self) -> None:
        if not self.cycle:
            raise ValueError("a schedule needs at least one phase in its cycle")
        if not 0 <= self.virtual_share <= 1:
            raise ValueError(f"virtual_share must be 0 to 1, got {self.virtual_share}")

    def step_kind_at(self, step: int) -> StepKind:
        """Kind of a step of the run, counted from 0."""
        for phase in self.opening:
            if step < phase.steps:
                return phase.kind
            step -= phase.steps
        step %= sum(phase.steps for phase in self.cycle)
        for phase in self.cycle:
            if step < phase.steps:
                return phase.kind
            step -= phase.steps
        raise AssertionError("a step lies in the cycle")
