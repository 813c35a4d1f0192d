"""Budget of the bytes that this process holds: request bodies, and answers until their last byte is sent."""

from __future__ import annotations

from types import TracebackType
from typing import Final, Self, final

from virtual_codec.errors import Overloaded

# A reservation above `_LARGE_SHARE` of the budget leaves `_RESERVED_SHARE` of it free, so that a few large answers that
# are read slowly do not block all other requests.
_LARGE_SHARE: Final = 1 / 8
_RESERVED_SHARE: Final = 1 / 4


@final
class ByteBudget:
    """Bytes held for all requests together, at most `max_bytes`."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.held_bytes = 0

    @classmethod
    def at_least(cls, max_bytes: int, largest: int) -> Self:
        """Budget of `max_bytes`, or larger if a single request of `largest` bytes would not fit."""
        return cls(max(max_bytes, -int(-largest // (1 - _RESERVED_SHARE))))

    def reserve(self) -> Reservation:
        """Open an empty reservation, a context manager."""
        return Reservation(self)

    def check(self, total: int, growth: int) -> None:
        """Raise `Overloaded` if a reservation cannot grow by `growth` bytes to `total`."""
        is_large = total > _LARGE_SHARE * self.max_bytes
        limit = int((1 - _RESERVED_SHARE) * self.max_bytes) if is_large else self.max_bytes
        if growth > 0 and self.held_bytes + growth > limit:
            raise Overloaded(
                "the service holds too many bytes of other requests and answers; send this again in a moment",
                limit=limit,
                actual=self.held_bytes + growth,
                retry_after_s=2.0,
            )


@final
class Reservation:
    """Bytes of the budget that one request uses, given back at the end of the context."""

    def __init__(self, budget: ByteBudget) -> None:
        self._budget = budget
        self.size_bytes = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.resize(0)

    def check(self, total: int) -> None:
        """Raise `Overloaded` if `total` bytes cannot be reserved now. Reserves nothing: the bytes may never arrive."""
        self._budget.check(total, total - self.size_bytes)

    def grow(self, total: int) -> None:
        """Grow the reservation to at least `total` bytes. If it raises `Overloaded`, the reservation is unchanged."""
        if total > self.size_bytes:
            self.check(total)
            self.resize(total)

    def resize(self, total: int) -> None:
        """Set the reservation to the `total` bytes that are held, even above the budget. Never raises."""
        self._budget.held_bytes += total - self.size_bytes
        self.size_bytes = total
