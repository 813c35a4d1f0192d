"""Estimates of run times, learnt from finished jobs, and refusals based on them."""

from __future__ import annotations

import math
from typing import Final, final

from virtual_codec.errors import Overloaded, Unavailable
from virtual_codec.jobs import CompressOptions, Job

# A job costs something however small its image is; without this a few 1x1 images would make every other image
# look like hours of work.
_FIXED_PIXELS: Final = 100_000
_FIRST_GUESS_S_PER_MEGAPIXEL: Final = 0.5
_NO_MEMORY_RETRY_S: Final = 10.0
_DECAY: Final = 0.9  # weight of the past at each new job


@final
class Throughput:
    """Estimator of a job's run time in one thread of a worker: a decaying mean of seconds per megapixel.

    The mean is kept by kind of job, since effort and targets change the cost by orders of magnitude. A kind that
    was never seen gets the mean of all kinds.
    """

    def __init__(self) -> None:
        self._done: dict[str, tuple[float, float]] = {}  # kind -> (megapixels, seconds), decaying

    def estimate_s(self, kind: str, pixels: int) -> float:
        """Estimate the seconds of a job of this kind on so many pixels."""
        megapixels, seconds = self._done.get(kind) or self._done.get("") or (1.0, _FIRST_GUESS_S_PER_MEGAPIXEL)
        return _megapixels(pixels) * seconds / megapixels

    def learn(self, kind: str, pixels: int, seconds: float) -> None:
        """Update the mean with a job that took so many seconds."""
        for key in (kind, ""):
            megapixels, spent = self._done.get(key, (0.0, 0.0))
            self._done[key] = (megapixels * _DECAY + _megapixels(pixels), spent * _DECAY + seconds)

    def learn_lower_bound(self, kind: str, pixels: int, seconds: float) -> None:
        """Update the mean with a job that was given up after so many seconds: it would have taken longer."""
        if seconds > self.estimate_s(kind, pixels):
            self.learn(kind, pixels, seconds)


def kind_of(job: Job) -> str:
    """Kind of a job: jobs of one kind cost about the same per pixel."""
    options = job.options
    if not isinstance(options, CompressOptions):
        return "restore"
    return f"compress/{options.effort}/{'target' if options.target else 'quality'}"


def refuse_above(limit_s: float, wait_s: float) -> None:
    """Raise `Overloaded` when the estimated wait is above the limit."""
    if wait_s > limit_s:
        limit_s = max(0.0, limit_s)
        raise Overloaded(
            f"about {wait_s:.0f} seconds of work wait already; at most {limit_s:.0f} may",
            limit=round(limit_s, 1),
            actual=round(wait_s, 1),
            retry_after_s=retry_after_s(wait_s),
        )


def no_memory() -> Unavailable:
    """Error for an image that memory did not suffice for, even alone in a worker."""
    return Unavailable(
        "there is not enough memory for this image now; send it again in a while, or smaller",
        retry_after_s=_NO_MEMORY_RETRY_S,
    )


def retry_after_s(wait_s: float) -> float:
    """Seconds after which a refused caller should retry: the current wait, rounded up, at least 1."""
    return float(max(1, math.ceil(wait_s)))


def _megapixels(pixels: int) -> float:
    return (pixels + _FIXED_PIXELS) / 1e6
