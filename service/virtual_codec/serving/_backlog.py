"""How long work takes, learnt from the work done."""

from __future__ import annotations

import math
from typing import Final, final

from virtual_codec.errors import Overloaded, Unavailable
from virtual_codec.jobs import CompressOptions, Job

# A job costs something however small its image is; without this a few 1x1 images would make every other image
# look like hours of work.
_FIXED_PIXELS: Final = 100_000
_FIRST_GUESS_S_PER_MEGAPIXEL: Final = 0.5
_MEMORY_RETRY_S: Final = 10.0
_MEMORY: Final = 0.9  # the weight that the past keeps at each new job


@final
class Throughput:
    """Estimates the seconds a job takes in one place of a worker: a decaying mean of seconds per megapixel.

    It is kept by kind of job, since effort and targets change the cost by orders of magnitude. A kind that
    was never seen is taken to cost what all kinds together do.
    """

    def __init__(self) -> None:
        self._done: dict[str, tuple[float, float]] = {}  # kind -> (megapixels, seconds), decaying

    def estimate_s(self, kind: str, pixels: int) -> float:
        """Seconds that a job of this kind on so many pixels will take."""
        megapixels, seconds = self._done.get(kind) or self._done.get("") or (1.0, _FIRST_GUESS_S_PER_MEGAPIXEL)
        return _megapixels(pixels) * seconds / megapixels

    def learn(self, kind: str, pixels: int, seconds: float) -> None:
        """Take into account that such a job took so long."""
        for key in (kind, ""):
            megapixels, spent = self._done.get(key, (0.0, 0.0))
            self._done[key] = (megapixels * _MEMORY + _megapixels(pixels), spent * _MEMORY + seconds)


def kind_of(job: Job) -> str:
    """The kind of a job, for its cost."""
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
    """For who sent an image that memory did not suffice for, even alone in a worker."""
    return Unavailable(
        "there is not enough memory for this image now; send it again in a while, or smaller",
        retry_after_s=_MEMORY_RETRY_S,
    )


def retry_after_s(wait_s: float) -> float:
    """When a refused caller should come back: when what waits now is done. Whole seconds, at least 1."""
    return float(max(1, math.ceil(wait_s)))


def _megapixels(pixels: int) -> float:
    return (pixels + _FIXED_PIXELS) / 1e6
