"""A codec of workers that is done at once, and a pool without processes."""

from __future__ import annotations

import time
from pathlib import Path
from typing import final

from virtual_codec.errors import NoWorker, UndecodableImage
from virtual_codec.jobs import CompressOptions, CompressResult, Job, RestoreResult
from virtual_codec.serving import PoolState, Result

OPEN = f"{__name__}:open_reversing"


def open_reversing(*, device: str, delay_s: float = 0.0, log: Path | None = None, model: str = "") -> Reversing:
    """A codec that notes every job in a file, if one is named."""
    return Reversing(delay_s, log)


@final
class Reversing:
    """Streams are images backwards, so that a result tells its input; 13-pixel-wide ones cannot be decoded."""

    def __init__(self, delay_s: float = 0.0, log: Path | None = None) -> None:
        self._delay_s = delay_s
        self._log = log

    def run(self, job: Job) -> Result:
        time.sleep(self._delay_s)
        if self._log is not None:
            with self._log.open("ab", buffering=0) as log:
                log.write(b"job\n")
        width = int.from_bytes(job.data[16:20], "big")  # of a PNG's header
        if width == 13:
            raise UndecodableImage("the image is truncated; send it whole")
        if isinstance(job.options, CompressOptions):
            return CompressResult(
                stream=job.data[::-1],
                media_type="image/jpeg",
                model="0a1b2c3d",
                scale=2,
                width=width,
                height=4,
                quality=job.options.quality or 50,
            )
        return RestoreResult(
            image=job.data[::-1], media_type="image/png", model="0a1b2c3d", scale=2, width=8, height=4, rate_bpp=1.0
        )

    def warm_model(self, model: str) -> None:
        """Nothing."""

    def forget_model(self, model: str) -> None:
        """Nothing."""


@final
class FakePool:
    """Does a job in the caller's turn; with `is_dead`, refuses each for want of a worker."""

    def __init__(self, *, is_dead: bool = False) -> None:
        self.jobs: list[Job] = []
        self.is_dead = is_dead
        self.is_stopped = False

    async def start(self) -> None:
        """Nothing to open."""

    async def stop(self) -> None:
        self.is_stopped = True

    def admit(self, deadline: float | None = None) -> None:
        """Whatever comes."""

    async def submit(self, job: Job, *, pixels: int) -> Result:
        if self.is_dead:
            raise NoWorker("no worker is up (the model is damaged)")
        self.jobs.append(job)
        return Reversing().run(job)

    async def warm_model(self, model: str) -> None:
        """Nothing."""

    def forget_model(self, model: str) -> None:
        """Nothing."""

    def state(self) -> PoolState:
        return PoolState()
