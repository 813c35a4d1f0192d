"""Replicas by direct connections: a job goes to the replica with the fewest calls, without Ray's router.

    run ──► channel with the fewest calls ──► replica
    ask ──► Ray ──► all replicas: which there are, and where they listen

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
_SILENCE_LIMIT_S: Final = 10  # what was sent is not confirmed for so long: the machine or the network has gone


@final
class DirectReplicas:
    """Replicas of which each has a channel. Calls go by `inner` until the first is open, and all questions do."""

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
        """Have the replica with the fewest calls do a job."""
        usable = [channel for channel in self._channels.values() if channel.is_open]
        if not usable:
            return await self._inner.run(call)
        fewest = min(channel.calls for channel in usable)
        return await random.choice([replica for replica in usable if replica.calls == fewest]).run(call)  # noqa: S311 - no secret

    async def ask(self, method: str, *arguments: object) -> list[Any]:
        """Call a method on every replica. Snapshots tell which replicas there are."""
        answers = await self._inner.ask(method, *arguments)
        if method == "snapshot":
            self._follow(answers)
        return answers

    def _follow(self, snapshots: Sequence[Snapshot]) -> None:
        """Open channels to new replicas, and send no more to those that Ray no longer has."""
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
            self._channels[name] = await _Channel.to(address)
        except (OSError, TimeoutError) as error:  # it is asked for again with the next snapshot
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
    async def to(cls, address: DirectAddress) -> _Channel:
        """Connect. Raises `OSError` and `TimeoutError`."""
        async with asyncio.timeout(_CONNECT_TIMEOUT_S):
            reader, writer = await asyncio.open_connection(address.host, address.port, limit=BUFFER_BYTES)
        _notice_silence(writer.get_extra_info("socket"))
        writer.write(address.token)
        return cls(reader, writer)

    @property
    def is_open(self) -> bool:
        """True if it takes calls."""
        return not self._is_retired and not self._answers.done()

    @property
    def calls(self) -> int:
        """Number of calls without an answer."""
        return len(self._waiting)

    async def run(self, call: Call) -> Frame:
        """Answer to a call. Raises `ReplicaLost` if the connection ends before; a cancelled call is given up."""
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
        """Take no more calls, and close when those under way are answered."""
        self._is_retired = True
        if not self._waiting:
            self.close()

    def close(self) -> None:
        """Close the connection; calls under way are lost."""
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


def _notice_silence(connection: socket.socket) -> None:
    """Have the system end a connection whose other side no longer confirms anything. Linux; elsewhere Ray notices."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    options = {"TCP_KEEPIDLE": 3, "TCP_KEEPINTVL": 2, "TCP_KEEPCNT": 3, "TCP_USER_TIMEOUT": 1000 * _SILENCE_LIMIT_S}
    for name, value in options.items():
        if hasattr(socket, name):
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
