"""Direct connections between a pool and its replicas, on loopback and without Ray."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

import pytest

from tests.pools.fake_replicas import FakeReplicas, done, snapshot
from tests.pools.test_ray_pool import job, until
from virtual_codec.jobs import CompressOptions, Job, OrdinaryOptions, RestoreOptions
from virtual_codec.serving._direct_frames import decode_call, encode_call
from virtual_codec.serving._direct_replicas import DirectReplicas
from virtual_codec.serving._direct_server import DirectServer
from virtual_codec.serving._frames import FrameError
from virtual_codec.serving._replicas import Call, DirectAddress, Frame, ReplicaLost

CALL = Call.of(job(b"image"), 6)


class Replica:
    """A replica that answers calls when it is told to, and counts them."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.cancelled = 0
        self.may_answer = asyncio.Event()
        self.server = DirectServer(self.run)

    async def run(self, call: Call) -> Frame:
        self.calls.append(call)
        try:
            await self.may_answer.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return done(call)


@contextlib.asynccontextmanager
async def connected(count: int) -> AsyncIterator[tuple[DirectReplicas, list[Replica], FakeReplicas]]:
    """So many replicas, each with a channel."""
    replicas = [Replica() for _ in range(count)]
    addresses = [await it.server.open("127.0.0.1") for it in replicas]
    inner = FakeReplicas(snapshots=[replace(snapshot(f"{n}"), direct=it) for n, it in enumerate(addresses)])
    direct = DirectReplicas(inner)
    await direct.open()
    await direct.call_all("snapshot", "pool", 0.0)
    await until(lambda: len(direct._channels) == count)
    try:
        yield direct, replicas, inner
    finally:
        await direct.close()
        for replica in replicas:
            await replica.server.close()


@pytest.mark.parametrize(
    "options",
    [
        CompressOptions(min_psnr=35.5, background=(1, 2, 3), metadata="all", model="a", measure=True),
        RestoreOptions(output="webp"),
        OrdinaryOptions(format="avif", max_bytes=900),
    ],
)
def test_a_call_is_the_same_after_its_frame(options: CompressOptions | RestoreOptions | OrdinaryOptions) -> None:
    call = Call.of(Job(data=b"\0image", options=options, request_id="r", trace_id="t"), 6)
    assert decode_call(*encode_call(call)) == call


@pytest.mark.parametrize("head", [b"{", b"[]", b'{"kind": "Job"}', b'{"kind": "RestoreOptions", "options": {"x": 1}}'])
def test_a_frame_that_holds_no_call_is_refused(head: bytes) -> None:
    with pytest.raises(FrameError):
        decode_call(head, b"")


async def test_calls_go_to_the_replica_with_the_fewest_and_come_back_as_they_end() -> None:
    async with connected(2) as (direct, replicas, inner):
        calls = [asyncio.create_task(direct.run(CALL)) for _ in range(4)]
        await until(lambda: sum(len(it.calls) for it in replicas) == 4)
        assert [len(it.calls) for it in replicas] == [2, 2]
        replicas[1].may_answer.set()
        await until(lambda: sum(it.done() for it in calls) == 2)
        replicas[0].may_answer.set()
        assert await asyncio.gather(*calls) == [done(CALL)] * 4
        assert not inner.calls


async def test_before_there_is_a_channel_calls_go_by_ray() -> None:
    inner = FakeReplicas(done)
    assert await DirectReplicas(inner).run(CALL) == done(CALL)
    assert inner.calls == [CALL]


async def test_calls_of_a_replica_that_ends_are_lost_at_once_and_others_go_on() -> None:
    async with connected(2) as (direct, replicas, _):
        calls = [asyncio.create_task(direct.run(CALL)) for _ in range(2)]
        await until(lambda: all(len(it.calls) == 1 for it in replicas))
        replicas[1].may_answer.set()
        await replicas[0].server.close()
        results = await asyncio.gather(*calls, return_exceptions=True)
        assert {type(it) for it in results} == {ReplicaLost, tuple}
        assert await asyncio.gather(*(direct.run(CALL) for _ in range(3))) == [done(CALL)] * 3


async def test_a_cancelled_call_is_given_up_by_its_replica() -> None:
    async with connected(1) as (direct, (replica,), _):
        call = asyncio.create_task(direct.run(CALL))
        await until(lambda: replica.calls)
        call.cancel()
        await until(lambda: replica.cancelled)
        replica.may_answer.set()
        assert await direct.run(CALL) == done(CALL)  # on the same connection


async def test_a_replica_without_a_snapshot_gets_no_new_calls_and_finishes_its_own() -> None:
    async with connected(2) as (direct, replicas, inner):
        calls = [asyncio.create_task(direct.run(CALL)) for _ in range(2)]
        await until(lambda: all(len(it.calls) == 1 for it in replicas))
        inner.snapshots = inner.snapshots[1:]
        await direct.call_all("snapshot", "pool", 0.0)
        for replica in replicas:
            replica.may_answer.set()
        assert await asyncio.gather(*calls, *(direct.run(CALL) for _ in range(3))) == [done(CALL)] * 5
        assert [len(it.calls) for it in replicas] == [1, 4]
        await direct.call_all("snapshot", "pool", 0.0)
        assert list(direct._channels) == ["1"]


@pytest.mark.parametrize(
    "wrong",
    [lambda it: replace(it, token=b"x" * 32), lambda it: replace(it, port=1)],
    ids=["wrong token", "nobody there"],
)
async def test_without_a_connection_calls_go_by_ray(wrong: Callable[[DirectAddress], DirectAddress]) -> None:
    async with connected(1) as (_, (replica,), found):
        (known,) = found.snapshots
        assert known.direct is not None
        inner = FakeReplicas(done, snapshots=[replace(known, direct=wrong(known.direct))])
        direct = DirectReplicas(inner)
        await direct.call_all("snapshot", "pool", 0.0)
        await until(lambda: not direct._opening and not [it for it in direct._channels.values() if it.is_open])
        assert await direct.run(CALL) == done(CALL)
        assert (len(inner.calls), replica.calls) == (1, [])
        await direct.close()
