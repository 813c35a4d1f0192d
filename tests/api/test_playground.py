"""The playground's own endpoint and sample: ordinary files of the same size, within the limits of every job."""

from __future__ import annotations

import io

import httpx2
import pytest
from PIL import Image

from tests.api.conftest import Connect
from tests.api.pretend import PretendPool, picture, problem
from virtual_codec.errors import Overloaded
from virtual_codec.jobs import OrdinaryOptions

PATH = "/playground/ordinary"


async def test_the_job_gets_the_format_and_the_size(client: httpx2.AsyncClient, pool: PretendPool) -> None:
    response = await client.post(f"{PATH}?format=avif&max_bytes=900", content=picture())
    assert response.status_code == 200
    (job, pixels), *_ = pool.jobs
    assert job.options == OrdinaryOptions(format="avif", max_bytes=900)
    assert pixels == 600
    assert job.deadline is not None


async def test_a_form_is_read_as_for_compress(client: httpx2.AsyncClient, pool: PretendPool) -> None:
    response = await client.post(PATH, files={"file": picture()}, data={"format": "webp", "quality": "70"})
    assert response.status_code == 200
    assert pool.jobs[0][0].options == OrdinaryOptions(format="webp", quality=70)


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ("format=gif&quality=3", "jpeg, webp, avif"),
        ("format=jpeg", "quality or max_bytes"),
        ("quality=30&max_bytes=2", "quality or max_bytes"),
        ("quality=101", "from 1 to 100"),
        ("effort=3", "format, quality, max_bytes"),
    ],
)
async def test_bad_options_are_refused_before_the_pool(
    client: httpx2.AsyncClient, pool: PretendPool, options: str, word: str
) -> None:
    answer = await client.post(f"{PATH}?{options}", content=picture())
    assert word in problem(answer, 422, "bad_option")["detail"]
    assert pool.jobs == []


async def test_it_has_the_limits_of_compress(connect: Connect, pool: PretendPool) -> None:
    query = f"{PATH}?quality=30"
    async with connect(max_pixels=500, max_body_bytes=2000) as client:
        problem(await client.post(query, content=picture()), 413, "too_many_pixels")
        problem(await client.post(query, content=bytes(2001)), 413, "body_too_large")
        pool.refusal = Overloaded("full", retry_after_s=1.0)
        problem(await client.post(query, content=picture(size=(4, 4))), 503, "overloaded")
    assert pool.jobs == []


async def test_it_needs_the_key_and_uses_its_quota(connect: Connect) -> None:
    secret = "a-key-of-more-than-16-characters"
    async with connect(api_keys=secret, key_requests="2/minute") as client:
        problem(await client.post(f"{PATH}?quality=30", content=picture()), 401, "unauthorized")
        headers = {"Authorization": f"Bearer {secret}"}
        assert (await client.post("/compress", content=picture(), headers=headers)).status_code == 200
        assert (await client.post(f"{PATH}?quality=30", content=picture(), headers=headers)).status_code == 200
        problem(await client.post(f"{PATH}?quality=30", content=picture(), headers=headers), 429, "quota_exceeded")


async def test_it_is_in_the_documentation_with_its_problems(client: httpx2.AsyncClient) -> None:
    post = (await client.get("/openapi.json")).json()["paths"][PATH]["post"]
    assert {item["name"] for item in post["parameters"]} == {"format", "quality", "max_bytes", "Request-Timeout-Ms"}
    assert set(post["responses"]["200"]["content"]) == {"image/jpeg", "image/webp", "image/avif"}
    assert {"401", "413", "422", "429", "503", "504"} <= set(post["responses"])


async def test_the_sample_picture_comes_without_a_key(connect: Connect) -> None:
    async with connect(api_keys="a-key-of-more-than-16-characters") as client:
        response = await client.get("/playground/sample")
    assert response.headers["content-type"] == "image/webp"
    with Image.open(io.BytesIO(response.content)) as sample:
        assert sample.size == (451, 300)


async def test_the_page_offers_only_efforts_that_the_server_takes(connect: Connect) -> None:
    async with connect(max_effort=3) as client:
        page = (await client.get("/")).text
    assert 'id="effort" type="range" min="0" max="3"' in page
    assert "$MAX" not in page
    assert "<script src" not in page
    assert '<link rel="stylesheet"' not in page
