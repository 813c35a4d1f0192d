"""Bytes of bodies and answers are bounded, and held until the last byte of the answer is sent."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import httpx2
import pytest

from tests.api.conftest import Connect
from tests.api.pretend import PretendPool, picture, problem
from virtual_codec.api._budget import ByteBudget
from virtual_codec.errors import Overloaded

STREAM = picture("JPEG")


def test_a_reservation_is_given_back() -> None:
    budget = ByteBudget(100)
    with budget.reserve() as first:
        first.grow(10)
        first.grow(5)
        assert budget.held_bytes == 10
        first.resize(120)
        with budget.reserve() as second, pytest.raises(Overloaded) as refusal:
            second.grow(1)
        assert (refusal.value.limit, refusal.value.actual) == (100, 121)
        assert budget.held_bytes == 120
    assert budget.held_bytes == 0


def test_large_reservations_leave_a_quarter_to_small_ones() -> None:
    budget = ByteBudget(1000)
    with budget.reserve() as large, budget.reserve() as small:
        large.grow(750)
        with pytest.raises(Overloaded):
            large.grow(751)
        small.grow(125)
        with pytest.raises(Overloaded):
            small.check(126)


def test_the_largest_request_always_fits() -> None:
    with ByteBudget.at_least(1, 1001).reserve() as reservation:
        reservation.grow(1001)


async def test_a_job_whose_answer_does_not_fit_is_refused_before_it_is_done(
    connect: Connect, pool: PretendPool
) -> None:
    pool.gate = asyncio.Event()
    async with connect(max_body_bytes=len(STREAM), max_pixels=600, max_pending_bytes=1) as client:
        first = asyncio.create_task(client.post("/decompress", content=STREAM))
        await pool.taken.acquire()
        response = await client.post("/decompress", content=STREAM)
        problem(response, 503, "overloaded")
        assert int(response.headers["retry-after"]) >= 1
        assert len(pool.jobs) == 1
        small = asyncio.create_task(client.post("/compress", content=STREAM))
        await pool.taken.acquire()
        pool.gate.set()
        assert (await small).status_code == 200, "what is left is for small requests"
        assert (await first).status_code == 200
        assert (await client.post("/decompress", content=STREAM)).status_code == 200


async def test_an_answer_is_sent_in_pieces_and_held_until_the_last_one(connect: Connect, pool: PretendPool) -> None:
    pool.image = bytes(1_000_000)
    async with connect() as client:
        is_sending, may_send = asyncio.Event(), asyncio.Event()
        sent: list[dict[str, Any]] = []

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)
            if message["type"] == "http.response.body":
                is_sending.set()
                await may_send.wait()

        call = asyncio.create_task(_decompress(client, send))
        await is_sending.wait()
        assert await _held_bytes(client) == len(pool.image)
        may_send.set()
        await call
        assert await _held_bytes(client) == 0
        pieces = [message["body"] for message in sent[1:]]
        assert b"".join(pieces) == pool.image
        assert max(map(len, pieces)) <= 256 * 1024
        assert [message["more_body"] for message in sent[1:]] == [True] * (len(pieces) - 1) + [False]


async def _decompress(client: httpx2.AsyncClient, send: Any) -> None:
    """Call the application itself: a client without a socket reads at once whatever is sent."""
    app = client._transport.app  # type: ignore[attr-defined]
    messages: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    messages.put_nowait({"type": "http.request", "body": STREAM, "more_body": False})
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": "/decompress",
        "raw_path": b"/decompress",
        "query_string": b"",
        "root_path": "",
        "headers": [],
        "client": ("test", 1),
        "server": ("test", 80),
    }
    await app(scope, messages.get, send)


async def _held_bytes(client: httpx2.AsyncClient) -> float:
    [value] = re.findall(r"^vcodec_held_bytes (\S+)$", (await client.get("/metrics")).text, re.MULTILINE)
    return float(value)
