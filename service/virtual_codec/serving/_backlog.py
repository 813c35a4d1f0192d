"""Estimates of run times from finished jobs, and the refusals based on them."""

from __future__ import annotations

import math
import time
from typing import Final, final

from virtual_codec.errors import Overloaded, Unavailable
from virtual_codec.jobs import CompressOptions, Job, OrdinaryOptions

# Least number of pixels to count for a job, because even a tiny image has a fixed cost. Without it, a few 1x1 images
# would make the estimates of all others hours long.
_FIXED_PIXELS: Final = 100_000
_FIRST_GUESS_S_PER_MEGAPIXEL: Final = 0.5
_NO_MEMORY_RETRY_S: Final = 10.0
_MIN_JOBS: Final = 3
_MAX_AGE_S: Final = 60.0
_LOWER_BOUND_SHARE: Final = 0.5  # lower bound as a share of the estimate: images of one size and kind differ in cost
_DECAY: Final = 0.9  # weight of the old mean at each new job


@final
class Throughput:
    """Estimator of a job's run time in one thread of a worker: a decaying mean of seconds per megapixel.

    There is one mean for each kind of job, since codec, effort and targets change the cost by orders of magnitude. A
    kind without finished jobs gets the mean of all kinds.
    """

    def __init__(self) -> None:
        self._done: dict[str, tuple[float, float]] = {}  # kind -> (megapixels, seconds), decaying
        self._finished: dict[str, tuple[int, float]] = {}  # kind -> (finished jobs, time of the last one)

    def estimate_s(self, kind: str, pixels: int) -> float:
        """Estimated seconds of a job of this kind on an image of `pixels` pixels."""
        megapixels, seconds = self._done.get(kind) or self._done.get("") or (1.0, _FIRST_GUESS_S_PER_MEGAPIXEL)
        return _megapixels(pixels) * seconds / megapixels

    def learn(self, kind: str, pixels: int, seconds: float) -> None:
        """Update the mean with a finished job that took `seconds`."""
        self._update(kind, pixels, seconds)
        count, _ = self._finished.get(kind, (0, 0.0))
        self._finished[kind] = (count + 1, time.monotonic())

    def least_s(self, kind: str, pixels: int) -> float:
        """Lower bound on the seconds of such a job; 0 without enough recent jobs of its kind.

        An old estimate must not refuse the very jobs that could correct it.
        """
        count, latest = self._finished.get(kind, (0, 0.0))
        is_known = count >= _MIN_JOBS and time.monotonic() - latest < _MAX_AGE_S
        return _LOWER_BOUND_SHARE * self.estimate_s(kind, pixels) if is_known else 0.0

    def learn_lower_bound(self, kind: str, pixels: int, seconds: float) -> None:
        """Update the mean with a job that was given up after `seconds`, which it would have exceeded."""
        if seconds > self.estimate_s(kind, pixels):
            self._update(kind, pixels, seconds)

    def _update(self, kind: str, pixels: int, seconds: float) -> None:
        for key in (kind, ""):
            megapixels, spent = self._done.get(key, (0.0, 0.0))
            self._done[key] = (megapixels * _DECAY + _megapixels(pixels), spent * _DECAY + seconds)


def kind_of(job: Job) -> str:
    """Kind of a job: jobs of one kind cost about the same per pixel."""
    options = job.options
    if isinstance(options, OrdinaryOptions):
        return f"ordinary/{options.format}/{'size' if options.max_bytes else 'quality'}"
    if not isinstance(options, CompressOptions):
        return "restore"
    return f"compress/{options.codec}/{options.effort}/{'target' if options.target else 'quality'}"


def refuse_above(limit_s: float, queued_s: float, wait_s: float | None = None) -> None:
    """Raise `Overloaded` if the queued work exceeds the limit. `wait_s` is the wait before a retry."""
    if queued_s > limit_s:
        limit_s = max(0.0, limit_s)
        raise Overloaded(
            f"the queue already holds about {queued_s:.0f} seconds of work; the limit is {limit_s:.0f}",
            limit=round(limit_s, 1),
            actual=round(queued_s, 1),
            retry_after_s=retry_after_s(queued_s if wait_s is None else wait_s),
        )


def no_memory() -> Unavailable:
    """Error for an image that exhausted memory even while it ran alone in a worker."""
    return Unavailable(
        "there is not enough memory for this image now; send it again in a while, or smaller",
        retry_after_s=_NO_MEMORY_RETRY_S,
    )


def retry_after_s(wait_s: float) -> float:
    """Seconds after which a refused caller should retry: the current wait, rounded up, at least 1."""
    return float(max(1, math.ceil(wait_s)))


def _megapixels(pixels: int) -> float:
    return (pixels + _FIXED_PIXELS) / 1e6
