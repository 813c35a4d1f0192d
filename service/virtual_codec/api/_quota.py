"""Quotas of API keys, in requests and megapixels: fixed windows that begin with their first request.

They are counted in this process: each replica has its own counts, and a restart resets them.
"""

from __future__ import annotations

import math
import time
from functools import lru_cache
from typing import TYPE_CHECKING, Final, final

from virtual_codec.errors import QuotaExceeded
from virtual_codec.keys import UNLIMITED, Key

if TYPE_CHECKING:
    from limits import RateLimitItem

_UNITS: Final = {"requests": 1, "megapixels": 1000}  # megapixels are counted in thousandths


@final
class Quotas:
    """Usage of each key. `requests` and `megapixels` are the rates of keys without rates of their own.

    Rates are such as "60/minute;5000/day"; None is no limit.
    """

    def __init__(self, *, requests: str | None = None, megapixels: str | None = None) -> None:
        # A local import: it takes half of this package's import time, and only servers with keys need it.
        from limits.storage import MemoryStorage
        from limits.strategies import FixedWindowRateLimiter

        self._default_rates = {"requests": requests, "megapixels": megapixels}
        self._limiter = FixedWindowRateLimiter(MemoryStorage())

    def take_request(self, key: Key | None) -> None:
        """Count a request of the key. Raises `QuotaExceeded` and then counts nothing."""
        if key is not None:
            self._take("requests", key, key.requests, 1)

    def take_pixels(self, key: Key | None, pixels: int) -> None:
        """Count the pixels of an image sent with the key. Raises `QuotaExceeded` and then counts nothing.

        An image larger than a whole quota uses all of it; otherwise it could never be sent.
        """
        if key is not None:
            self._take("megapixels", key, key.megapixels, max(1, round(pixels / 1000)))

    def _take(self, what: str, key: Key, own: str | None, cost: int) -> None:
        items = _items(what, own or self._default_rates[what] or UNLIMITED)
        refusals = []
        for item in items:
            if not self._limiter.test(item, what, key.id, cost=min(cost, item.amount)):
                reset_at, left = self._limiter.get_window_stats(item, what, key.id)
                refusals.append((reset_at - time.time(), item, item.amount - left))
        if refusals:
            wait_s, item, used = max(refusals, key=lambda refusal: refusal[0])
            unit = _UNITS[what]
            raise QuotaExceeded(
                f"the key {key.id} may send {item.amount / unit:g} {what} in {_period(item)} and has sent "
                f"{used / unit:g}; with this it would be {(used + cost) / unit:g}",
                limit=item.amount / unit,
                actual=(used + cost) / unit,
                retry_after_s=float(max(1, math.ceil(wait_s))),
            )
        for item in items:
            self._limiter.hit(item, what, key.id, cost=min(cost, item.amount))


@lru_cache(maxsize=1024)
def _items(what: str, rates: str) -> tuple[RateLimitItem, ...]:
    from limits import parse_many

    if rates == UNLIMITED:
        return ()
    return tuple(type(item)(item.amount * _UNITS[what], item.multiples, what) for item in parse_many(rates))


def _period(item: RateLimitItem) -> str:
    return "an hour" if item.GRANULARITY.name == "hour" else f"a {item.GRANULARITY.name}"
