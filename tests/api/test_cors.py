"""Pages of other origins may call where, and only where, the operator says so."""

from __future__ import annotations

import httpx2
import pytest

from tests.api.conftest import Connect
from tests.api.pretend import PretendPool, picture, problem

OURS, THEIRS = "https://app.example", "https://evil.example"
PREFLIGHT = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "x-api-key,request-timeout-ms"}


def cors(response: httpx2.Response) -> dict[str, str]:
    return {name: value for name, value in response.headers.items() if name.startswith("access-control-")}


async def test_it_is_off_unless_it_is_wanted(client: httpx2.AsyncClient) -> None:
    preflight = await client.options("/compress", headers={"Origin": OURS, **PREFLIGHT})
    problem(preflight, 405, "method_not_allowed")
    answer = await client.post("/compress", content=picture(), headers={"Origin": OURS})
    assert answer.status_code == 200
    assert cors(preflight) == cors(answer) == {}


async def test_an_origin_that_is_named_may_ask_send_and_read_our_headers(connect: Connect) -> None:
    async with connect(cors_origins=f"{OURS}, http://localhost:3000") as client:
        preflight = await client.options("/compress", headers={"Origin": OURS, **PREFLIGHT})
        assert preflight.status_code == 200
        allowed = cors(preflight)
        assert allowed["access-control-allow-origin"] == OURS
        assert "POST" in allowed["access-control-allow-methods"]
        assert allowed["access-control-allow-headers"] == "x-api-key,request-timeout-ms"
        assert "access-control-allow-credentials" not in allowed
        assert preflight.headers["x-request-id"]

        answer = await client.post("/compress", content=picture(), headers={"Origin": OURS})
        assert answer.status_code == 200
        assert answer.headers["access-control-allow-origin"] == OURS
        assert "Origin" in answer.headers["vary"]
        exposed = {name.strip().lower() for name in answer.headers["access-control-expose-headers"].split(",")}
        ours = {name for name in answer.headers if name.startswith("vcodec-")}
        assert len(ours) >= 5
        assert {*ours, "server-timing", "x-request-id", "retry-after", "vcodec-psnr", "vcodec-ms-ssim"} <= exposed


async def test_both_headers_that_vary_are_named(connect: Connect) -> None:
    async with connect(cors_origins=OURS) as client:
        response = await client.post("/decompress", content=picture("JPEG"), headers={"Origin": OURS})
        assert {name.strip() for name in response.headers["vary"].split(",")} == {"Origin", "Accept"}


@pytest.mark.parametrize("origin", [THEIRS, "null", f"{OURS}.evil.example", OURS.upper()])
async def test_an_unlisted_origin_gets_the_answer_without_cors_headers(connect: Connect, origin: str) -> None:
    async with connect(cors_origins=OURS) as client:
        preflight = await client.options("/compress", headers={"Origin": origin, **PREFLIGHT})
        problem(preflight, 405, "method_not_allowed")
        answer = await client.post("/compress", content=picture(), headers={"Origin": origin})
        assert "access-control-allow-origin" not in cors(preflight) | cors(answer)


async def test_pages_may_read_problems_too_even_of_crashes(connect: Connect, pool: PretendPool) -> None:
    async with connect(cors_origins=OURS, api_keys="secret", max_body_bytes=1000) as client:
        refused = await client.post("/compress", content=picture(), headers={"Origin": OURS})
        large = await client.post("/compress", content=bytes(2000), headers={"Origin": OURS})
        pool.error = RuntimeError("boom")
        crashed = await client.post("/compress", content=picture(), headers={"Origin": OURS, "X-API-Key": "secret"})
        problem(refused, 401, "unauthorized")
        problem(large, 413, "body_too_large")
        problem(crashed, 500, "internal")
        for response in (refused, large, crashed):
            assert response.headers["access-control-allow-origin"] == OURS


async def test_a_star_is_everybody(connect: Connect) -> None:
    async with connect(cors_origins="*") as client:
        assert (await client.get("/models", headers={"Origin": THEIRS})).headers["access-control-allow-origin"] == "*"
        preflight = await client.options("/compress", headers={"Origin": THEIRS, **PREFLIGHT})
        assert (preflight.status_code, preflight.headers["access-control-allow-origin"]) == (200, "*")


@pytest.mark.parametrize(
    "origin", ["app.example", "https://app.example/", "https://app.example/x", "HTTPS://A", "null"]
)
async def test_a_malformed_origin_is_refused_at_the_start(connect: Connect, origin: str) -> None:
    with pytest.raises(ValueError, match="VCODEC_CORS_ORIGINS"):
        async with connect(cors_origins=origin):
            pass
