"""Rollout of a model to all workers, one after the other; undone if one of them fails."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Final

from virtual_codec.errors import BadModel, VirtualCodecError
from virtual_codec.logs import Event
from virtual_codec.serving._outcomes import WorkerEnded
from virtual_codec.serving._slot import WorkerSlot

_LOG: Final = logging.getLogger(__name__)


async def roll_out(slots: Sequence[WorkerSlot], model: str, timeout_s: float, *, kept: object) -> None:
    """Load a model in every warm worker, and in workers that become warm meanwhile.

    Device processes come first, then spares. If a worker ends meanwhile, its successor is asked once more, because
    something else may have ended it. Raises the model's error. The workers that have loaded the model, or are loading
    it, then forget it, unless it is `kept`, the model that workers open with.
    """
    done: set[int] = set()
    ended = 0
    try:
        while slot := _next(slots, done):
            pid = slot.pid
            try:
                await slot.warm_model(model, timeout_s)
                done.add(pid)
            except asyncio.CancelledError:
                done.add(pid)  # it will be warm soon
                raise
            except WorkerEnded as error:
                ended += 1
                if ended > 1:
                    raise BadModel(f"workers end while they load the model: {error}") from error
                await _until_warm(slot, timeout_s)
    except BaseException:
        for slot in slots:
            if slot.pid in done and model != kept:
                slot.forget_model(model)
        raise


async def bring_up(slot: WorkerSlot, model: str, timeout_s: float) -> None:
    """Load a model in a worker that opened with another one. A failure is logged."""
    try:
        await slot.warm_model(model, timeout_s)
    except (VirtualCodecError, WorkerEnded) as error:
        _LOG.error(Event("model_not_loaded", worker=slot.name, model=model, reason=error))


def _next(slots: Sequence[WorkerSlot], done: set[int]) -> WorkerSlot | None:
    warm = [slot for slot in slots if slot.is_ready and slot.pid not in done]
    return min(warm, key=lambda slot: (slot.takes_jobs, not slot.is_spare), default=None)


async def _until_warm(slot: WorkerSlot, timeout_s: float) -> None:
    try:
        async with asyncio.timeout(timeout_s):
            await slot.warm.wait()
    except TimeoutError:
        raise BadModel(f"worker {slot.name} ended while it loaded the model, and is not back") from None
