"""Replicas by direct connections: a job goes to the replica with the fewest calls, without Ray's router.

    run ───────► channel with the fewest calls ──► replica
    call_all ──► Ray ──► all replicas; their snapshots have the names and addresses

A call by Ray's handle takes several times the processor time of a frame on a connection (docs/ray.md has the
throughput). A connection also ends with its replica, and soon after the network to it, so that its calls are retried.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import random
import socket
from asyncio import StreamReader, StreamWriter
from collections.abc import Sequence
from typing import Any, Final, final

from virtual_codec.logs import Event
from virtual_codec.serving._direct_frames import (
    BUFFER_BYTES,
    encode_call,
    read_numbered,
    write_numbered,
)
from virtual_codec.serving._frames import FrameError
from virtual_codec.serving._replicas import Call, DirectAddress, Frame, ReplicaLost, Replicas, Snapshot

_LOG: Final = logging.getLogger(__name__)
_CONNECT_TIMEOUT_S: Final = 5.0
_SILENCE_LIMIT_S: Final = 10  # time without confirmation of sent data after which the connection counts as lost


@final
class DirectReplicas:
    """Replicas with a channel each. `inner` runs jobs until a channel is open, and serves `call_all`."""

    def __init__(self, inner: Replicas) -> None:
        self._inner = inner
        self._channels: dict[str, _Channel] = {}
        self._opening: dict[str, asyncio.Task[None]] = {}

    async def open(self) -> None:
        """Open `inner`; channels are opened as replicas answer."""
        await self._inner.open()

    async def close(self) -> None:
        """Close all channels, then `inner`."""
        for task in self._opening.values():
            task.cancel()
        for channel in self._channels.values():
            channel.close()
        await self._inner.close()

    async def run(self, call: Call) -> Frame:
        """Run a job on the replica with the fewest calls. Raises `ReplicaLost` if its connection ends first."""
        usable = [channel for channel in self._channels.values() if channel.is_open]
        if not usable:
            return await self._inner.run(call)
        fewest = min(channel.calls for channel in usable)
        return await random.choice([replica for replica in usable if replica.calls == fewest]).run(call)  # noqa: S311 - no secret

    async def call_all(self, method: str, *arguments: object) -> list[Any]:
        """Call a method on every replica. The snapshots of `snapshot` update the channels."""
        answers = await self._inner.call_all(method, *arguments)
        if method == "snapshot":
            self._update_channels(answers)
        return answers

    def _update_channels(self, snapshots: Sequence[Snapshot]) -> None:
        """Open channels to new replicas, and retire those of replicas that have no snapshot any more."""
        found = {snapshot.replica: snapshot.direct for snapshot in snapshots}
        for name, channel in list(self._channels.items()):
            if name not in found:
                channel.retire()
            if not channel.is_open and not channel.calls:
                del self._channels[name]
        for name, address in found.items():
            if address is not None and name not in self._channels and name not in self._opening:
                self._opening[name] = asyncio.create_task(self._connect(name, address))

    async def _connect(self, name: str, address: DirectAddress) -> None:
        try:
            self._channels[name] = await _Channel.connect(address)
        except (OSError, TimeoutError) as error:  # the next snapshot opens it again
            _LOG.warning(Event("no_direct_connection", replica=name, reason=str(error) or type(error).__name__))
        finally:
            self._opening.pop(name, None)


@final
class _Channel:
    """Connection to one replica, for any number of calls at a time."""

    def __init__(self, reader: StreamReader, writer: StreamWriter) -> None:
        self._writer = writer
        self._waiting: dict[int, asyncio.Future[Frame]] = {}
        self._numbers = itertools.count()
        self._is_retired = False
        self._answers = asyncio.create_task(self._read(reader), name="answers of a replica")

    @classmethod
    async def connect(cls, address: DirectAddress) -> _Channel:
        """Connect to a replica. Raises `OSError` and `TimeoutError`."""
        async with asyncio.timeout(_CONNECT_TIMEOUT_S):
            reader, writer = await asyncio.open_connection(address.host, address.port, limit=BUFFER_BYTES)
        _set_silence_limit(writer.get_extra_info("socket"))
        writer.write(address.token)
        return cls(reader, writer)

    @property
    def is_open(self) -> bool:
        """True if the channel accepts calls."""
        return not self._is_retired and not self._answers.done()

    @property
    def calls(self) -> int:
        """Number of calls without an answer."""
        return len(self._waiting)

    async def run(self, call: Call) -> Frame:
        """Answer to a call; cancelling it cancels the call. Raises `ReplicaLost` if the connection ends first."""
        number = next(self._numbers)
        answer: asyncio.Future[Frame] = asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        try:
            write_numbered(self._writer, number, *encode_call(call))
            await self._writer.drain()
            return await answer
        except OSError as error:
            raise ReplicaLost(type(error).__name__) from error
        except asyncio.CancelledError:
            if not self._answers.done():
                write_numbered(self._writer, number)
            raise
        finally:
            self._waiting.pop(number, None)
            if self._is_retired and not self._waiting:
                self.close()

    def retire(self) -> None:
        """Accept no more calls, and close when all calls are answered."""
        self._is_retired = True
        if not self._waiting:
            self.close()

    def close(self) -> None:
        """Close the connection. Unanswered calls raise `ReplicaLost`."""
        self._answers.cancel()
        self._writer.close()

    async def _read(self, reader: StreamReader) -> None:
        reason = "the connection was closed"
        try:
            while True:
                number, head, body = await read_numbered(reader)
                if (answer := self._waiting.get(number)) is not None and not answer.done():
                    answer.set_result((head, body))
        except (EOFError, OSError, FrameError) as error:
            reason = str(error) or type(error).__name__
        finally:
            self._writer.close()
            for answer in self._waiting.values():
                if not answer.done():
                    answer.set_exception(ReplicaLost(reason))


def _set_silence_limit(connection: socket.socket) -> None:
    """Make the kernel end a connection whose peer confirms no data. Linux only; on other systems Ray ends replicas."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    options = {"TCP_KEEPIDLE": 3, "TCP_KEEPINTVL": 2, "TCP_KEEPCNT": 3, "TCP_USER_TIMEOUT": 1000 * _SILENCE_LIMIT_S}
    for name, value in options.items():
        if hasattr(socket, name):
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
