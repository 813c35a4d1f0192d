"""Orders of the operator are told apart in metrics, as requests of callers are."""

from __future__ import annotations

from pathlib import Path

import httpx2

from tests.api.pretend import PretendPool
from virtual_codec.api.app import create_service
from virtual_codec.settings import Settings


async def test_orders_are_counted_by_route(model_store: Path, pool: PretendPool) -> None:
    service = create_service(Settings.load(model_store=model_store), pool)
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(service.admin), base_url="http://localhost") as client:
        assert (await client.get("/admin/models")).status_code == 200
        assert (await client.post("/admin/models/small/activate")).status_code == 200
        assert (await client.get("/admin/models/reload")).status_code == 405
        assert (await client.get("/compress")).status_code == 404
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(service.app), base_url="http://test") as client:
        counted = (await client.get("/metrics")).text
    for route, method, status in (
        ("/admin/models", "GET", 200),
        ("/admin/models/{name}/activate", "POST", 200),
        ("/admin/models/reload", "GET", 405),
        ("unmatched", "GET", 404),
    ):
        labels = f'method="{method}",route="{route}",status="{status}"'
        assert f"vcodec_http_requests_total{{{labels}}} 1.0" in counted
