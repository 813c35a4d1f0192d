"""Who may call, how often, and where it shows."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import httpx2
import pytest

from tests.api.conftest import Connect
from tests.api.pretend import PretendPool, picture, problem
from virtual_codec.errors import Overloaded
from virtual_codec.keys import Key, digest_of, new_key


def bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


async def test_keys_are_wanted_where_there_are_any(connect: Connect, pool: PretendPool) -> None:
    digest = hashlib.sha256(b"second").hexdigest()
    async with connect(api_keys=f"first,sha256:{digest}") as client:
        for headers in ({}, bearer("wrong"), {"X-API-Key": "wrong"}, {"X-API-Key": digest}):
            response = await client.post("/compress", content=picture(), headers=headers)
            problem(response, 401, "unauthorized")
            assert response.headers["www-authenticate"].startswith("Bearer")
        problem(await client.get("/models"), 401, "unauthorized")
        assert pool.jobs == []
        for headers in (bearer("first"), {"X-API-Key": "second"}):
            response = await client.post("/compress", content=picture(), headers=headers)
            assert response.status_code == 200
        for path in ("/", "/healthz", "/readyz", "/metrics", "/problems/unauthorized", "/docs"):
            assert (await client.get(path)).status_code == 200


async def test_a_file_without_keys_allows_no_request(connect: Connect, tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("# none yet\n")
    async with connect(api_keys_file=tmp_path / "keys") as client:
        problem(await client.post("/compress", content=picture()), 401, "unauthorized")


async def test_log_and_metrics_know_a_key_by_its_id_and_never_show_it(
    connect: Connect, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    secret, key = new_key("alice")
    (tmp_path / "keys").write_text(key.entry)
    async with connect(api_keys_file=tmp_path / "keys") as client:
        await client.post("/compress", content=picture(), headers=bearer(secret))
        await client.post("/compress", content=picture(), headers=bearer("vcodec_wrong"))
        metrics = (await client.get("/metrics")).text
    assert 'vcodec_key_requests_total{key="alice",status="200"} 1.0' in metrics
    assert 'vcodec_key_pixels_total{key="alice"} 600.0' in metrics
    assert 'key="vcodec_wrong"' not in metrics
    assert "key=alice" in caplog.text
    for hidden in (secret, key.digest.hex(), "vcodec_wrong"):
        assert hidden not in caplog.text + metrics


async def test_a_key_beyond_its_requests_is_told_when_to_come_back(connect: Connect, pool: PretendPool) -> None:
    one, other = new_key("one"), new_key("other")
    async with connect(api_keys=f"{one[1].entry},{other[1].entry}", key_requests="2/minute;9/day") as client:
        for _ in range(2):
            assert (await client.post("/compress", content=picture(), headers=bearer(one[0]))).status_code == 200
        response = await client.post("/decompress", content=picture("JPEG"), headers=bearer(one[0]))
        body = problem(response, 429, "quota_exceeded")
        assert (body["limit"], body["actual"]) == (2, 3)
        assert "one may send 2 requests in a minute" in body["detail"]
        assert 55 <= int(response.headers["retry-after"]) <= 60
        assert len(pool.jobs) == 2
        assert (await client.get("/models", headers=bearer(one[0]))).status_code == 200, "looking is free"
        assert (await client.post("/compress", content=picture(), headers=bearer(other[0]))).status_code == 200


async def test_a_key_may_have_rates_of_its_own(connect: Connect, tmp_path: Path) -> None:
    (few, key), (many, free) = new_key("few", requests="1/hour"), new_key("many", requests="unlimited")
    (tmp_path / "keys").write_text(f"{key.entry}\n{free.entry}\n")
    async with connect(api_keys_file=tmp_path / "keys", key_requests="2/hour") as client:
        for secret, expected in ((few, [200, 429, 429]), (many, [200, 200, 200])):
            got = [
                (await client.post("/compress", content=picture(), headers=bearer(secret))).status_code
                for _ in range(3)
            ]
            assert got == expected


async def test_megapixels_are_counted_by_the_header_of_the_image(connect: Connect, pool: PretendPool) -> None:
    half = picture(size=(1000, 500))
    async with connect(api_keys="secret", key_megapixels="1/hour") as client:
        for _ in range(2):
            assert (await client.post("/compress", content=half, headers=bearer("secret"))).status_code == 200
        response = await client.post("/compress", content=half, headers=bearer("secret"))
        body = problem(response, 429, "quota_exceeded")
        assert (body["limit"], body["actual"]) == (1, 1.5)
        assert int(response.headers["retry-after"]) > 3500
        assert len(pool.jobs) == 2


async def test_an_image_larger_than_the_whole_quota_takes_all_of_it(connect: Connect) -> None:
    async with connect(api_keys="secret", key_megapixels="1/hour") as client:
        large = picture(size=(2000, 1500))
        assert (await client.post("/compress", content=large, headers=bearer("secret"))).status_code == 200
        response = await client.post("/compress", content=picture(), headers=bearer("secret"))
        problem(response, 429, "quota_exceeded")


async def test_requests_refused_by_the_service_use_no_quota(connect: Connect, pool: PretendPool) -> None:
    async with connect(api_keys="secret", key_requests="1/hour") as client:
        pool.refusal = Overloaded("full", retry_after_s=1)
        for _ in range(3):
            problem(await client.post("/compress", content=picture(), headers=bearer("secret")), 503, "overloaded")
        pool.refusal = None
        assert (await client.post("/compress", content=picture(), headers=bearer("secret"))).status_code == 200
        problem(await client.post("/compress", content=picture(), headers=bearer("secret")), 429, "quota_exceeded")


def test_ids_are_those_of_the_entries(tmp_path: Path) -> None:
    from virtual_codec.settings import Settings

    entry = Key(id="alice", digest=digest_of("x"))
    settings = Settings.load(api_keys=f"plain,{entry.entry},sha256:{digest_of('y').hex()}")
    assert [key.id for key in settings.keys] == ["key-1", "alice", "key-3"]
    assert json.loads(settings.model_dump_json())["api_keys"] == ["**********"] * 3


async def test_the_documentation_tells_of_keys_where_they_are_wanted(
    connect: Connect, client: httpx2.AsyncClient
) -> None:
    async with connect(api_keys="secret") as locked:
        schema = (await locked.get("/openapi.json")).json()
    assert {it["type"] for it in schema["components"]["securitySchemes"].values()} == {"http", "apiKey"}
    for path, is_locked in (("/compress", True), ("/models", True), ("/healthz", False), ("/metrics", False)):
        [operation] = schema["paths"][path].values()
        assert ("security" in operation) == is_locked
    assert "securitySchemes" not in (await client.get("/openapi.json")).json().get("components", {})
