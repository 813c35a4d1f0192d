"""Running mean of the loss, for the log and the progress bar."""

from __future__ import annotations

from typing import Final, final

_RECENT: Final = 100


@final
class RunningMean:
    """Mean loss since the last validation, which survives in checkpoints, and mean of the last hundred steps."""

    def __init__(self, *, total: float = 0.0, count: int = 0) -> None:
        self.total = total
        self.count = count
        self._recent: list[float] = []

    @property
    def mean(self) -> float:
        """Mean loss since the last `clear`."""
        return self.total / max(1, self.count)

    @property
    def recent(self) -> float:
        """Mean loss of the last hundred steps."""
        return sum(self._recent) / max(1, len(self._recent))

    def add(self, loss: float) -> None:
        """Add the loss of a step."""
        self.total += loss
        self.count += 1
        self._recent = [*self._recent[1 - _RECENT :], loss]

    def clear(self) -> None:
        """Forget all but the last hundred steps."""
        self.total, self.count = 0.0, 0
