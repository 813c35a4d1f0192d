"""An application with a pool that only pretends, and a client that speaks to it without a socket."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.api.pretend import PretendPool, write_store
from virtual_codec.api import Drain, create_app
from virtual_codec.settings import Settings

Connect = Callable[..., AbstractAsyncContextManager[httpx2.AsyncClient]]


@pytest.fixture
def pool() -> PretendPool:
    return PretendPool()


@pytest.fixture
def drain() -> Drain:
    return Drain()


@pytest.fixture
def model_store(tmp_path: Path) -> Path:
    """A store with the models `small` (the default) and `old` (retired)."""
    return write_store(tmp_path)


@pytest.fixture
def connect(pool: PretendPool, drain: Drain, model_store: Path) -> Connect:
    """Opens a client to an application with these settings."""

    @contextlib.asynccontextmanager
    async def opened(**settings: Any) -> AsyncIterator[httpx2.AsyncClient]:
        app = create_app(Settings.load(**{"model_store": model_store, **settings}), pool, drain=drain)
        transport = httpx2.ASGITransport(app)
        async with (
            app.router.lifespan_context(app),
            httpx2.AsyncClient(transport=transport, base_url="http://test") as client,
        ):
            yield client

    return opened


@pytest.fixture
async def client(connect: Connect) -> AsyncIterator[httpx2.AsyncClient]:
    async with connect() as opened:
        yield opened
