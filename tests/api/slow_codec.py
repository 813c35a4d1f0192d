"""A codec for the workers of a real server: takes images, and the seconds that their width in pixels says."""

from __future__ import annotations

import time
from typing import final

from virtual_codec import images
from virtual_codec.jobs import CompressOptions, CompressResult, Job, RestoreResult

OPEN = f"{__name__}:open_slow"


def open_slow(*, device: str, model: str = "") -> Slow:
    """The codec; neither device nor model matters."""
    del device, model
    return Slow()


@final
class Slow:
    """Sleeps a tenth of a second for each ten pixels of width."""

    def run(self, job: Job) -> CompressResult | RestoreResult:
        assert isinstance(job.options, CompressOptions)
        width, height = images.probe(job.data, limits=images.ImageLimits())
        time.sleep(width / 100)
        return CompressResult(
            stream=b"\xff\xd8\xff\xd9",
            media_type="image/jpeg",
            model="0badf00d",
            scale=1,
            width=width,
            height=height,
            quality=50,
        )

    def warm_model(self, model: str) -> None:
        pass

    def forget_model(self, model: str) -> None:
        pass
