"""A codec for workers to open that talks about what it does: the width of the image says which way it goes."""

from __future__ import annotations

import logging
import time
from typing import final

from virtual_codec import images
from virtual_codec.errors import UndecodableImage
from virtual_codec.jobs import CompressResult, Job, RestoreResult
from virtual_codec.logs import Event

LOG = logging.getLogger("virtual_codec.talkative")


def open_talkative(*, device: str, model: str = "") -> Talkative:
    """The codec; neither device nor model matters."""
    del device, model
    return Talkative()


@final
class Talkative:
    """Width 30 and what is not named here: done. 31: slow. 32: undecodable. 33: what should never be."""

    def warm_model(self, model: str) -> None:
        pass

    def forget_model(self, model: str) -> None:
        pass

    def run(self, job: Job) -> CompressResult | RestoreResult:
        width, height = images.probe(job.data, limits=images.ImageLimits())
        LOG.info(Event("working", pixels=width * height))
        match width:
            case 31:
                time.sleep(0.2)
            case 32:
                raise UndecodableImage("as told")
            case 33:
                raise ZeroDivisionError("as told")
        return CompressResult(
            stream=b"\xff\xd8\xff\xd9",
            media_type="image/jpeg",
            model="0badf00d",
            scale=1,
            width=width,
            height=height,
            quality=50,
            stages_s={"decode": 0.001},
        )
