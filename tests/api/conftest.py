"""An application with a pool that only pretends, and a client that speaks to it without a socket."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from service.api import Drain, create_app
from service.settings import Settings
from service.store import Manifest, NetworkEntry, model_id
from tests.api.pretend import PretendPool

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
    for name, is_retired in (("small", False), ("old", True)):
        networks = {
            f"postprocess-{scale}": NetworkEntry(
                architecture=name, arguments={}, file=f"p{scale}.safetensors", sha256="0" * 64
            )
            for scale in (1, 2)
        }
        manifest = Manifest(
            name=name,
            id=model_id(networks),
            created="2026-11-22",
            retired=is_retired,
            codecs=["jpeg"],
            networks=networks,
            metrics={"bd_rate": -30.5},
        )
        (tmp_path / name).mkdir()
        (tmp_path / name / "manifest.json").write_text(manifest.model_dump_json())
        for network in networks.values():
            (tmp_path / name / network.file).touch()
    (tmp_path / "CURRENT").write_text("small\n")
    return tmp_path


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
