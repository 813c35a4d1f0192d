"""What one connection may draw out: its head, its answer, and what comes after the answer."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from starlette.types import Receive, Scope, Send
from uvicorn.config import Config
from uvicorn.server import ServerState

from virtual_codec.api._protocol import BoundedProtocol, ConnectionPolicy

LARGE = 64 * 2**20  # more than sockets hold
POLICY = ConnectionPolicy(
    max_header_bytes=2000, header_timeout_s=0.3, transfer_timeout_s=0.3, slowest_bytes_per_s=1_000_000
)


PIECE = 256 * 1024


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers at once, unread, in pieces, with as many bytes as the path says; or with the length of the body."""
    body = b"x" * int(scope["path"][1:]) if scope["path"] != "/" else b""
    if scope["method"] == "PUT":
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message["body"]
            more = message["more_body"]
        body = str(len(body)).encode()
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    piece = len(body) if scope["query_string"] == b"whole" else PIECE
    for start in range(0, max(1, len(body)), piece or 1):
        more = start + piece < len(body)
        await send({"type": "http.response.body", "body": body[start : start + piece], "more_body": more})


Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@pytest.fixture
async def connection() -> AsyncIterator[Connection]:
    async with connected(POLICY) as opened:
        yield opened


@pytest.fixture
async def hurried() -> AsyncIterator[Connection]:
    """A connection whose answers have little time, however large they are."""
    async with connected(replace(POLICY, slowest_bytes_per_s=1e9)) as opened:
        yield opened


@contextlib.asynccontextmanager
async def connected(policy: ConnectionPolicy) -> AsyncIterator[Connection]:
    config = Config(echo, log_config=None, h11_max_incomplete_event_size=policy.max_header_bytes)
    config.load()
    state = ServerState()
    server = await asyncio.get_running_loop().create_server(
        lambda: BoundedProtocol(policy, config, state, {}), "127.0.0.1", 0
    )
    async with server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        try:
            yield reader, writer
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
            server.close()


async def said(connection: Connection, *, within_s: float = 10) -> bytes:
    """Everything until the server hangs up."""
    reader, _ = connection
    received = b""
    async with asyncio.timeout(within_s):
        with contextlib.suppress(ConnectionResetError):
            while chunk := await reader.read(2**20):
                received += chunk
    return received


def refusal(answer: bytes, status: int, code: str) -> dict[str, Any]:
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status)
    assert b"connection: close" in head
    assert b"content-length: %d" % len(body) in head
    problem: dict[str, Any] = json.loads(body)
    assert (problem["status"], problem["code"]) == (status, code)
    return problem


async def test_a_head_that_trickles_in_is_refused(connection: Connection) -> None:
    _, writer = connection
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n")
    problem = refusal(await said(connection), 408, "headers_timeout")
    assert problem["limit"] == POLICY.header_timeout_s


async def test_a_trickle_buys_no_time(connection: Connection) -> None:
    _, writer = connection

    async def trickle() -> None:
        writer.write(b"GET / HTTP/1.1\r\n")
        with contextlib.suppress(OSError):
            for number in range(1000):
                writer.write(b"X-%d: 1\r\n" % number)
                await writer.drain()
                await asyncio.sleep(0.05)

    trickling = asyncio.create_task(trickle())
    refusal(await said(connection), 408, "headers_timeout")
    trickling.cancel()


async def test_a_connection_without_a_request_is_closed(connection: Connection) -> None:
    assert await said(connection) == b""


async def test_a_second_head_on_a_connection_has_its_time_too(connection: Connection) -> None:
    reader, writer = connection
    writer.write(b"GET /3 HTTP/1.1\r\nHost: x\r\n\r\n")
    assert (await reader.readuntil(b"xxx")).startswith(b"HTTP/1.1 200 ")
    writer.write(b"GET / HT")
    refusal(await said(connection), 408, "headers_timeout")


async def test_a_long_head_in_pieces_is_refused(connection: Connection) -> None:
    _, writer = connection
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nCookie: " + b"c" * 3000)
    problem = refusal(await said(connection), 400, "headers_too_large")
    assert problem["limit"] == 2000
    assert problem["actual"] > 3000


@pytest.mark.parametrize(
    "nonsense",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # TLS
        b"GET / HTTP/1.1\r\n\r\n",  # no Host
        b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1, 2\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999999999\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n folded: y\r\nA\0: b\r\n\r\n",
        b"\r\n\r\n\r\n",
    ],
)
async def test_malformed_http_is_refused(connection: Connection, nonsense: bytes) -> None:
    _, writer = connection
    writer.write(nonsense)
    problem = refusal(await said(connection), 400, "bad_input")
    assert len(problem["detail"]) > len("the request is not well-formed HTTP/1.1: ")


async def test_the_reason_is_told_in_short(connection: Connection) -> None:
    _, writer = connection
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n")
    assert "multiple Host" in refusal(await said(connection), 400, "bad_input")["detail"]


async def test_an_error_does_not_repeat_a_long_line(connection: Connection) -> None:
    _, writer = connection
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n" + b"n" * 900 + b"\r\n\r\n")
    assert len(refusal(await said(connection), 400, "bad_input")["detail"]) < 300


async def test_broken_chunks_of_a_body_are_refused(connection: Connection) -> None:
    _, writer = connection
    writer.write(b"PUT / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n")
    refusal(await said(connection), 400, "bad_input")


async def test_an_endless_extension_of_a_chunk_is_refused(connection: Connection) -> None:
    _, writer = connection
    writer.write(b"PUT / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5;" + b"e" * 5000)
    refusal(await said(connection), 400, "headers_too_large")


async def test_no_second_answer_follows_an_answer(connection: Connection) -> None:
    reader, writer = connection
    writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
    writer.write(b"not a chunk\r\n")
    assert await said(connection) == b""


async def test_the_rest_of_a_refused_body_is_not_waited_for(connection: Connection) -> None:
    reader, writer = connection
    writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n")
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
    assert await said(connection) == b""


async def test_a_caller_that_sends_the_rest_of_the_body_keeps_the_connection(connection: Connection) -> None:
    reader, writer = connection
    writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n")
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
    for _ in range(10):
        await asyncio.sleep(0.05)
        writer.write(bytes(100_000))
    writer.write(b"GET /3 HTTP/1.1\r\nHost: x\r\n\r\n")
    assert (await reader.readuntil(b"xxx")).startswith(b"HTTP/1.1 200 ")


async def test_a_connection_whose_answer_is_not_read_is_closed(hurried: Connection) -> None:
    reader, writer = hurried
    writer.write(b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n" % LARGE)
    await reader.readexactly(10)
    await asyncio.sleep(2)
    assert len(await said(hurried)) < LARGE


async def test_an_answer_read_in_small_pieces_is_cut_off(hurried: Connection) -> None:
    reader, writer = hurried
    writer.write(b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n" % LARGE)
    received = 0
    with contextlib.suppress(asyncio.IncompleteReadError, ConnectionResetError):
        for _ in range(40):  # each pause is shorter than the timeout, all together they are longer
            received += len(await reader.readexactly(2**20))
            await asyncio.sleep(0.1)
    assert received < 40 * 2**20


async def test_an_answer_that_is_read_slowly_arrives(connection: Connection) -> None:
    reader, writer = connection
    writer.write(b"GET /1000000 HTTP/1.1\r\nHost: x\r\n\r\n")
    await reader.readuntil(b"\r\n\r\n")
    for _ in range(10):
        await asyncio.sleep(0.05)
        await reader.readexactly(100_000)


async def test_an_answer_that_closes_the_connection_may_be_read_slowly(connection: Connection) -> None:
    reader, writer = connection
    writer.write(b"GET /%d?whole HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" % LARGE)
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
    await asyncio.sleep(3 * POLICY.transfer_timeout_s)
    assert await reader.readexactly(LARGE) == b"x" * LARGE


async def test_bodies_pass(connection: Connection) -> None:
    reader, writer = connection
    writer.write(b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 300000\r\nConnection: close\r\n\r\n" + bytes(300_000))
    assert (await said(connection)).endswith(b"\r\n\r\n300000")
    assert reader.at_eof()
