"""Retries of a call within its timeout."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from typing import Final, final

from virtual_codec.errors import DeadlineExceeded, Unavailable, VirtualCodecError

_FIRST_WAIT_S: Final = 0.2
_JITTER: Final = 0.25  # so that callers that were refused together do not all retry together
_RANDOM: Final = random.SystemRandom()


@dataclass(frozen=True, kw_only=True)
class RetryPolicy:
    """Policy of retries.

    A call that raises `Unavailable` (the service is full or shutting down, a quota is used up, the connection failed)
    is retried up to `retries` times. The wait is the number of seconds in Retry-After, otherwise 0.2 s, doubled each
    time. A call fails at once if its wait would exceed `max_wait_s` or the rest of its timeout. Other errors are never
    retried. Every call may be repeated, because the service stores nothing.
    """

    retries: int = 3
    max_wait_s: float = 30.0

    def __post_init__(self) -> None:
        if self.retries < 0:
            raise ValueError(f"retries must be at least 0, got {self.retries}")
        if not 0 <= self.max_wait_s < float("inf"):
            raise ValueError(f"max_wait_s must be at least 0, got {self.max_wait_s}")


@final
class Attempts:
    """Attempts of one call, which may take `timeout_s` in total, including waits. Raises `ValueError` for no time."""

    def __init__(self, policy: RetryPolicy, timeout_s: float) -> None:
        if not 0 < timeout_s < float("inf"):
            raise ValueError(f"timeout_s must be above 0, got {timeout_s}")
        self._policy = policy
        self._timeout_s = timeout_s
        self._ends_at = time.monotonic() + timeout_s
        self._retries = 0

    @property
    def timeout_s(self) -> float:
        """Timeout of the call in seconds."""
        return self._timeout_s

    def remaining_s(self) -> float:
        """Remaining seconds. Raises `DeadlineExceeded` if there are none."""
        remaining_s = self._ends_at - time.monotonic()
        if remaining_s <= 0:
            raise DeadlineExceeded(
                f"the call took more than {self._timeout_s:g} seconds; allow more by timeout_s", limit=self._timeout_s
            )
        return remaining_s

    def wait_s(self, error: VirtualCodecError) -> float:
        """Seconds to wait before the next attempt. Raises the error if there is no next attempt."""
        if not isinstance(error, Unavailable) or self._retries >= self._policy.retries:
            raise error
        least_s = _FIRST_WAIT_S * 2**self._retries if error.retry_after_s is None else error.retry_after_s
        wait_s = least_s * _RANDOM.uniform(1, 1 + _JITTER)
        if least_s > self._policy.max_wait_s or time.monotonic() + wait_s >= self._ends_at:
            raise error
        self._retries += 1
        return wait_s
