"""Another model for all workers: one worker after the other loads it, and none is the worse for a bad one."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Final

from virtual_codec.errors import BadModel, VirtualCodecError
from virtual_codec.logs import Event
from virtual_codec.serving._seat import Seat, WorkerEnded

_LOG: Final = logging.getLogger(__name__)


async def roll_out(seats: Sequence[Seat], model: str, timeout_s: float) -> None:
    """Have every warm worker load a model, those that appear meanwhile too; a spare tries it first.

    A worker that ends over it is waited for and asked again, once, since something else may have ended it. Raises
    what was wrong, and then those that had loaded the model, or are still at it, have been told to forget it.
    """
    done: set[int] = set()
    ended = 0
    try:
        while seat := _next(seats, done):
            pid = seat.pid
            try:
                await seat.load(model, timeout_s)
                done.add(pid)
            except asyncio.CancelledError:
                done.add(pid)  # it will have loaded it soon
                raise
            except WorkerEnded as error:
                ended += 1
                if ended > 1:
                    raise BadModel(f"workers end while they load the model: {error}") from error
                await _until_warm(seat, timeout_s)
    except BaseException:
        for seat in seats:
            if seat.pid in done:
                seat.unload(model)
        raise


async def bring_up(seat: Seat, model: str, timeout_s: float) -> None:
    """Have a worker that opened with another model load this one; where it cannot, the log says so."""
    try:
        await seat.load(model, timeout_s)
    except (VirtualCodecError, WorkerEnded) as error:
        _LOG.error(Event("model_not_loaded", worker=seat.name, model=model, reason=error))


def _next(seats: Sequence[Seat], done: set[int]) -> Seat | None:
    warm = [seat for seat in seats if seat.is_ready and seat.pid not in done]
    return min(warm, key=lambda seat: not seat.is_spare, default=None)


async def _until_warm(seat: Seat, timeout_s: float) -> None:
    try:
        async with asyncio.timeout(timeout_s):
            await seat.warm.wait()
    except TimeoutError:
        raise BadModel(f"worker {seat.name} ended while it loaded the model, and is not back") from None
