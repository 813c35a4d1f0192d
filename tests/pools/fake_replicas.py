"""Replicas without Ray: they answer as told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, final

from virtual_codec.counts import RunnerCounts
from virtual_codec.errors import VirtualCodecError
from virtual_codec.jobs import CompressResult
from virtual_codec.serving import PoolState, WorkerState
from virtual_codec.serving._frames import encode
from virtual_codec.serving._messages import Done, Failed, ModelWarmed
from virtual_codec.serving._replicas import Call, Frame, Snapshot

Act = Callable[[Call], Frame | Exception | None]


def done(call: Call) -> Frame:
    """The frame of a result whose stream is the call's data."""
    result = CompressResult(
        stream=call.data, media_type="image/jpeg", model="a", scale=1, width=2, height=3, quality=50, worker="one/cpu/0"
    )
    return encode(Done(number=0, result=result, seconds=0.1, counts=RunnerCounts()))


def failed(error: VirtualCodecError) -> Frame:
    """The frame of an error."""
    return encode(Failed(number=0, error=error))


def snapshot(name: str, *, model: str | None = "a", is_ready: bool = True, **more: Any) -> Snapshot:
    """A replica with one worker."""
    worker = WorkerState(name="cpu/0", device="cpu", is_ready=is_ready)
    return Snapshot(replica=name, state=PoolState(workers=(worker,), **more), model=model)


@final
class FakeReplicas:
    """Each call is answered by the next of `acts`, which returns a frame, an error to raise, or None to never end."""

    def __init__(self, *acts: Act, snapshots: list[Snapshot] | None = None) -> None:
        self.acts = list(acts)
        self.snapshots = [snapshot("one"), snapshot("two")] if snapshots is None else snapshots
        self.calls: list[Call] = []
        self.asked: list[tuple[str, tuple[object, ...]]] = []
        self.bad_model: VirtualCodecError | None = None
        self.opening_error: Exception | None = None
        self.asking_error: Exception | None = None
        self.cancelled = 0
        self.is_open = False

    async def open(self) -> None:
        if self.opening_error is not None:
            raise self.opening_error
        self.is_open = True

    async def close(self) -> None:
        self.is_open = False

    async def run(self, call: Call) -> Frame:
        self.calls.append(call)
        answer = self.acts.pop(0)(call)
        if isinstance(answer, Exception):
            raise answer
        if answer is None:
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                self.cancelled += 1
                raise
        assert answer is not None
        return answer

    async def call_all(self, method: str, *arguments: object) -> list[Any]:
        self.asked.append((method, arguments))
        match method:
            case "snapshot":
                if self.asking_error is not None:
                    raise self.asking_error
                return self.snapshots
            case "warm_model":
                first = encode(ModelWarmed(number=0, error=None))
                return [first, encode(ModelWarmed(number=0, error=self.bad_model))]
            case _:
                return []
