"""Running mean of the loss, for the log and the progress bar."""

from __future__ import annotations

from typing import Final, final

_RECENT_STEPS: Final = 100


@final
class RunningMean:
    """Mean loss since the last validation, which checkpoints store, and mean loss of the last hundred steps."""

    def __init__(self, *, total: float = 0.0, count: int = 0) -> None:
        self.total = total
        self.count = count
        self._recent_losses: list[float] = []

    @property
    def mean(self) -> float:
        """Mean loss since the last `clear`."""
        return self.total / max(1, self.count)

    @property
    def recent(self) -> float:
        """Mean loss of the last hundred steps."""
        return sum(self._recent_losses) / max(1, len(self._recent_losses))

    def add(self, loss: float) -> None:
        """Add the loss of a step."""
        self.total += loss
        self.count += 1
        self._recent_losses = [*self._recent_losses[1 - _RECENT_STEPS :], loss]

    def clear(self) -> None:
        """Begin a new mean after a validation. The last hundred steps are kept."""
        self.total, self.count = 0.0, 0
