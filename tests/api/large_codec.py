"""Worker of a real server whose answers are as large as BMPs of the images."""

from __future__ import annotations

from typing import final

from virtual_codec import images
from virtual_codec.jobs import Job, RestoreOptions, RestoreResult

OPEN = f"{__name__}:open_large"


def open_large(*, device: str, model: str = "") -> Large:
    """Open the codec; neither device nor model matters."""
    del device, model
    return Large()


@final
class Large:
    """Codec that answers with three bytes for each pixel, at once."""

    def run(self, job: Job) -> RestoreResult:
        assert isinstance(job.options, RestoreOptions)
        width, height = images.probe(job.data, limits=images.ImageLimits())
        return RestoreResult(
            image=bytes(3 * width * height),
            media_type="image/bmp",
            model="0badf00d",
            scale=1,
            width=width,
            height=height,
            rate_bpp=1.0,
        )

    def warm_model(self, model: str) -> None:
        pass

    def forget_model(self, model: str) -> None:
        pass
