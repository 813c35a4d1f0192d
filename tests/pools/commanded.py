"""A real codec for the workers of a real server, which does as images of some widths tell it."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import final

from virtual_codec import images
from virtual_codec.codec import VirtualCodec, open_codec
from virtual_codec.counts import RunnerCounts
from virtual_codec.jobs import CompressResult, Job, RestoreResult

OPEN = f"{__name__}:open_commanded"
CRASH, HANG, SURPRISE, SLEEP = 101, 103, 107, 109  # widths in pixels
SLEEP_S = 0.5


def open_commanded(store: Path, *, device: str, model: str | None = None) -> Commanded:
    """The codec of that store on one core."""
    return Commanded(open_codec(store, device=device, threads=1, model=model))


@final
class Commanded:
    """Crashes, hangs, fails or sleeps for images of such widths, and is the codec for all others."""

    def __init__(self, codec: VirtualCodec) -> None:
        self._codec = codec

    @property
    def notes(self) -> Mapping[str, str]:
        return self._codec.notes

    @property
    def counts(self) -> RunnerCounts:
        return self._codec.counts

    def run(self, job: Job) -> CompressResult | RestoreResult:
        match images.probe(job.data, limits=images.ImageLimits())[0]:
            case width if width == CRASH:
                os._exit(3)
            case width if width == HANG:
                time.sleep(3600)
            case width if width == SURPRISE:
                raise ZeroDivisionError("as told")
            case width if width == SLEEP:
                time.sleep(SLEEP_S)
            case _:
                pass
        return self._codec.run(job)

    def warm_model(self, model: str) -> None:
        self._codec.warm_model(model)

    def forget_model(self, model: str) -> None:
        self._codec.forget_model(model)
