"""Quotas of API keys, in requests and megapixels: fixed windows that begin with their first request.

They are counted in this process, where a restart resets them and each replica has its own counts, or for all replicas
in one Redis. While Redis does not answer, each process counts for itself.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, final

from virtual_codec.errors import QuotaExceeded
from virtual_codec.keys import UNLIMITED, Key
from virtual_codec.logs import Event

if TYPE_CHECKING:
    from limits import RateLimitItem
    from limits.strategies import FixedWindowRateLimiter

_LOG: Final = logging.getLogger(__name__)
_UNITS: Final = {"requests": 1, "megapixels": 1000}  # megapixels are counted in thousandths
_REDIS_TIMEOUT_S: Final = 1.0
_REDIS_RETRY_S: Final = 5.0


@final
class Quotas:
    """Usage of each key. `requests` and `megapixels` are the rates of keys without rates of their own.

    Rates are such as "60/minute;5000/day"; None is no limit. `storage` is the address of a Redis, None for counts of
    this process alone. Raises `ValueError` for one that cannot be used. Replicas that count at the same moment may let
    a key exceed its quota by one request each.
    """

    def __init__(
        self, *, requests: str | None = None, megapixels: str | None = None, storage: str | None = None
    ) -> None:
        # Local import: it takes half of this package's import time, and only servers with keys need it.
        from limits.storage import MemoryStorage
        from limits.strategies import FixedWindowRateLimiter

        self._default_rates = {"requests": requests, "megapixels": megapixels}
        self._own = FixedWindowRateLimiter(MemoryStorage())
        self._shared = None if storage is None else _open_redis(storage)
        self._shared_from = -math.inf  # on `time.monotonic`'s clock

    async def take_request(self, key: Key | None) -> None:
        """Count a request of the key. Raises `QuotaExceeded` and then counts nothing."""
        if key is not None:
            await self._take("requests", key, key.requests, 1)

    async def take_pixels(self, key: Key | None, pixels: int) -> None:
        """Count the pixels of an image sent with the key. Raises `QuotaExceeded` and then counts nothing.

        An image larger than a whole quota uses all of it; otherwise it could never be sent.
        """
        if key is not None:
            await self._take("megapixels", key, key.megapixels, max(1, round(pixels / 1000)))

    async def _take(self, what: str, key: Key, own: str | None, cost: int) -> None:
        items = _items(what, own or self._default_rates[what] or UNLIMITED)
        if not items:
            return
        if self._shared is not None and time.monotonic() >= self._shared_from:
            try:
                await asyncio.to_thread(_count, self._shared, items, what, key, cost)
            except self._shared.storage.base_exceptions as error:
                self._shared_from = (
                    time.monotonic() + _REDIS_RETRY_S
                )  # so that other requests do not wait for Redis's timeout
                _LOG.warning(Event("quota_storage_unavailable", error=type(error).__name__, retry_s=_REDIS_RETRY_S))
            else:
                return
        _count(self._own, items, what, key, cost)


def _open_redis(url: str) -> FixedWindowRateLimiter:
    from limits.errors import ConfigurationError
    from limits.storage import RedisStorage
    from limits.strategies import FixedWindowRateLimiter

    timeouts: dict[str, Any] = {"socket_timeout": _REDIS_TIMEOUT_S, "socket_connect_timeout": _REDIS_TIMEOUT_S}
    try:
        # Errors do not show the URL: it may contain a password.
        return FixedWindowRateLimiter(RedisStorage(url, key_prefix="vcodec-quota", **timeouts))
    except ConfigurationError as error:
        raise ValueError(
            "quotas in Redis (VCODEC_QUOTA_STORAGE) need a package: pip install 'virtual-codec[redis]'"
        ) from error
    except Exception:
        raise ValueError("VCODEC_QUOTA_STORAGE must be redis://HOST:PORT/DATABASE, or rediss:// for TLS") from None


def _count(limiter: FixedWindowRateLimiter, items: tuple[RateLimitItem, ...], what: str, key: Key, cost: int) -> None:
    refusals = []
    for item in items:
        if not limiter.test(item, what, key.id, cost=min(cost, item.amount)):
            reset_at, left = limiter.get_window_stats(item, what, key.id)
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
        limiter.hit(item, what, key.id, cost=min(cost, item.amount))


@lru_cache(maxsize=1024)
def _items(what: str, rates: str) -> tuple[RateLimitItem, ...]:
    from limits import parse_many

    if rates == UNLIMITED:
        return ()
    return tuple(type(item)(item.amount * _UNITS[what], item.multiples, what) for item in parse_many(rates))


def _period(item: RateLimitItem) -> str:
    return "an hour" if item.GRANULARITY.name == "hour" else f"a {item.GRANULARITY.name}"
