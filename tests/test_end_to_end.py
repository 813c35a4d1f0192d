"""The whole service: HTTP in front, a worker process behind, networks in it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest

from tests.models import make_store
from tests.pictures import opened, saved, scene
from virtual_codec.api import create_app
from virtual_codec.codec import VirtualCodec
from virtual_codec.jobs import CompressOptions
from virtual_codec.runner import DirectRunner
from virtual_codec.settings import Settings
from virtual_codec.store import ModelStore


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("store")
    make_store(root)
    return root


@contextlib.asynccontextmanager
async def serving(store: Path) -> AsyncIterator[httpx2.AsyncClient]:
    app = create_app(Settings.load(model_store=store, devices="cpu", standby="off", threads=2))
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://test", timeout=120) as client,
    ):
        for _ in range(1200):
            if (await client.get("/readyz")).status_code == 200:
                break
            await asyncio.sleep(0.1)
        yield client


async def test_images_go_through_the_service_and_come_back(store: Path) -> None:
    picture = scene(123, 181)
    async with serving(store) as client:
        ready = (await client.get("/readyz")).json()
        assert ready["notes"]["device"] == "cpu"

        made = await client.post("/compress?quality=40", files={"file": ("scene.png", saved(picture), "image/png")})
        assert made.status_code == 200, made.text
        assert made.headers["content-type"] == "image/jpeg"
        assert made.headers["vcodec-size"] == "181x123"
        assert made.headers["vcodec-quality"] == "40"
        assert made.headers["vcodec-model"] == ModelStore(store).default.id
        assert float(made.headers["vcodec-bpp"]) == pytest.approx(8 * len(made.content) / (123 * 181), abs=1e-4)

        back = await client.post("/decompress", content=made.content, headers={"content-type": "image/jpeg"})
        assert back.status_code == 200, back.text
        assert back.headers["content-type"] == "image/png"
        assert back.headers["vcodec-scale"] == made.headers["vcodec-scale"]
        assert "device" in back.headers["server-timing"]
        assert opened(back.content).shape == (123, 181, 3)

        codec = VirtualCodec(ModelStore(store), DirectRunner())
        assert codec.compress(saved(picture), CompressOptions(quality=40)).stream == made.content

        half = await client.post("/compress?scale=2", content=saved(picture))
        again = await client.post("/compress?scale=2", content=half.content)
        assert half.headers["vcodec-scale"] == "2"
        assert again.headers["vcodec-size"] == "181x123"  # the image's size, not the description's
        assert opened((await client.post("/decompress", content=again.content)).content).shape == (123, 181, 3)

        good, bad = await asyncio.gather(
            client.post("/compress", content=saved(picture)),
            client.post("/decompress", content=made.content[: len(made.content) // 2]),
        )
        assert good.status_code == 200
        assert bad.status_code == 422
        assert bad.headers["content-type"] == "application/problem+json"
        assert bad.json()["code"] == "undecodable_image"

        target = await client.post("/compress?min_psnr=27&background=102030", content=saved(picture))
        assert target.status_code == 200
        assert float(target.headers["vcodec-psnr"]) >= 27

        metrics = (await client.get("/metrics")).text
        assert 'vcodec_http_requests_total{method="POST",route="/compress",status="200"} 5.0' in metrics
