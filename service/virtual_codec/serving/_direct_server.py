"""Server of a replica for direct connections of pools, without Ray's router."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import logging
import secrets
from asyncio import StreamReader, StreamWriter
from collections.abc import Awaitable, Callable
from typing import Final, final

from virtual_codec.logs import Event
from virtual_codec.serving._direct_frames import (
    BUFFER_BYTES,
    TOKEN_BYTES,
    decode_call,
    read_numbered,
    write_numbered,
)
from virtual_codec.serving._frames import FrameError
from virtual_codec.serving._replicas import Call, DirectAddress, Frame

_LOG: Final = logging.getLogger(__name__)
_TOKEN_TIMEOUT_S: Final = 5.0


@final
class DirectServer:
    """Server for pools that send its token, which is in the replica's snapshot (`DirectAddress`).

    `run` runs a call. It is cancelled when the pool cancels the call, or when the connection ends.
    """

    def __init__(self, run: Callable[[Call], Awaitable[Frame]]) -> None:
        self._run = run
        self._token = secrets.token_bytes(TOKEN_BYTES)
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    async def open(self, host: str) -> DirectAddress:
        """Listen on a free port of that address. Raises `OSError`."""
        self._server = await asyncio.start_server(self._accept, host, 0, limit=BUFFER_BYTES)
        return DirectAddress(host=host, port=self._server.sockets[0].getsockname()[1], token=self._token)

    async def close(self) -> None:
        """Close all connections and cancel the running calls."""
        if self._server is not None:
            self._server.close()
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _accept(self, reader: StreamReader, writer: StreamWriter) -> None:
        connection = asyncio.current_task()
        assert connection is not None
        self._connections.add(connection)
        calls: dict[int, asyncio.Task[None]] = {}
        try:
            async with asyncio.timeout(_TOKEN_TIMEOUT_S):
                token = await reader.readexactly(TOKEN_BYTES)
            if not hmac.compare_digest(token, self._token):
                _LOG.warning(Event("direct_connection_refused"))
                return
            while True:
                await self._handle_frame(reader, writer, calls)
        except FrameError as error:
            _LOG.error(Event("direct_connection_broke", reason=error))
        except (EOFError, OSError, TimeoutError, asyncio.CancelledError):
            pass  # the pool has gone, or this replica ends
        finally:
            self._connections.discard(connection)
            for call in calls.values():
                call.cancel()
            writer.close()

    async def _handle_frame(
        self, reader: StreamReader, writer: StreamWriter, calls: dict[int, asyncio.Task[None]]
    ) -> None:
        """Handle one frame of a pool: a new call, or the cancellation of a call."""
        number, head, body = await read_numbered(reader)
        if head:
            task = asyncio.create_task(self._answer(writer, number, decode_call(head, body)))
            calls[number] = task
            task.add_done_callback(lambda _: calls.pop(number, None))
        elif (cancelled := calls.get(number)) is not None:
            cancelled.cancel()

    async def _answer(self, writer: StreamWriter, number: int, call: Call) -> None:
        head, body = await self._run(call)
        with contextlib.suppress(OSError):
            write_numbered(writer, number, head, body)
            await writer.drain()
