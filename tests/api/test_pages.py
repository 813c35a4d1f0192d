"""Health, metrics, models, problems, the playground, and the documentation."""

from __future__ import annotations

import html
from dataclasses import replace
from pathlib import Path

import httpx2
import pytest

from tests.api.conftest import Connect
from tests.api.pretend import READY, PretendPool, picture, problem
from virtual_codec.api import Drain
from virtual_codec.api.problems import PROBLEMS
from virtual_codec.option_text import RANGES
from virtual_codec.serving import PoolState, WorkerState


async def test_health_needs_nothing(client: httpx2.AsyncClient, pool: PretendPool) -> None:
    pool.now = PoolState()
    assert (await client.get("/healthz")).status_code == 200


async def test_ready_says_what_is_served_and_what_was_replaced(client: httpx2.AsyncClient) -> None:
    response = await client.get("/readyz")
    assert response.status_code == 200
    body = response.json()
    assert body["model"]["name"] == "small"
    assert body["workers"] == [{"name": "cpu/0", "device": "cpu", "ready": True, "jobs": 0}]
    assert body["notes"] == {"speed": "modest"}


async def test_not_ready_says_why(client: httpx2.AsyncClient, pool: PretendPool, drain: Drain) -> None:
    cold = WorkerState(name="cpu/0", device="cpu", is_ready=False)
    pool.now = PoolState(workers=(cold,), reasons=("worker cpu/0: the model is damaged",))
    response = await client.get("/readyz")
    assert problem(response, 503, "no_worker")["reasons"] == ["worker cpu/0: the model is damaged"]
    assert response.headers["retry-after"] == "1"
    pool.now = READY
    drain.begin()
    assert "about to stop" in problem(await client.get("/readyz"), 503, "draining")["detail"]
    assert (await client.post("/compress", content=picture())).status_code == 200, "it goes on serving"


async def test_one_warm_worker_of_two_is_enough_and_the_other_is_named(
    client: httpx2.AsyncClient, pool: PretendPool
) -> None:
    pool.now = replace(READY, reasons=("worker cpu/1: starting",))
    response = await client.get("/readyz")
    assert response.status_code == 200
    assert "worker cpu/1" in response.text


async def test_a_store_without_models_is_not_ready(connect: Connect, tmp_path_factory: pytest.TempPathFactory) -> None:
    async with connect(model_store=tmp_path_factory.mktemp("empty")) as client:
        assert "the model store is empty" in problem(await client.get("/readyz"), 503, "no_worker")["reasons"]
        assert (await client.get("/models")).json() == []


async def test_the_models_are_listed(client: httpx2.AsyncClient) -> None:
    old, small = (await client.get("/models")).json()
    assert (old["state"], small["state"]) == ("stored", "active")
    assert set(small) == {
        *("id", "name", "default", "codecs", "scales", "created", "metrics", "state", "licence", "data_licences")
    }
    assert (small["licence"], small["data_licences"]) == ("Apache-2.0", ["CC0"])
    assert small["name"] == "small"
    assert small["default"] is True
    assert small["codecs"] == ["jpeg"]
    assert small["scales"] == [1, 2]
    assert small["metrics"] == {"bd_rate": -30.5}
    assert old["default"] is False
    assert old["codecs"] == [], "it compresses nothing any more"


async def test_a_model_is_found_by_name_and_by_id(client: httpx2.AsyncClient) -> None:
    by_name = (await client.get("/models/small")).json()
    assert (await client.get(f"/models/{by_name['id']}")).json() == by_name
    assert "small" in problem(await client.get("/models/large"), 404, "model_not_found")["detail"]


async def test_a_damaged_model_is_not_found(connect: Connect, model_store: Path, pool: PretendPool) -> None:
    (model_store / "broken").mkdir()
    (model_store / "broken" / "manifest.json").write_text("{")
    async with connect() as client:
        for response in (
            await client.get("/models/broken"),
            await client.get("/models/broken/web"),
            await client.post("/compress?model=broken", content=picture()),
            await client.post("/compress", files={"file": picture()}, data={"model": "broken"}),
        ):
            assert "damaged" in problem(response, 404, "model_not_found")["detail"]
    assert pool.jobs == []


async def test_every_problem_leads_to_a_page_for_people_and_for_programs(client: httpx2.AsyncClient) -> None:
    browser = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
    for code in PROBLEMS:
        response = await client.get(f"/problems/{code}")
        assert response.json()["code"] == code
        assert response.headers["vary"] == "Accept"
        page = await client.get(f"/problems/{code}", headers=browser)
        assert page.headers["content-type"].startswith("text/html")
        assert code in page.text


async def test_the_problems_are_listed_for_people_and_for_programs(client: httpx2.AsyncClient) -> None:
    response = await client.get("/problems")
    assert response.headers["vary"] == "Accept"
    listed = {item["code"]: item for item in response.json()}
    assert set(listed) == set(PROBLEMS)
    assert listed["bad_option"] == (await client.get("/problems/bad_option")).json()
    page = await client.get("/problems", headers={"Accept": "text/html"})
    for code, kind in PROBLEMS.items():
        assert f'{kind.status} <a href="/problems/{code}">{code}</a>' in page.text
        assert html.escape(kind.title) in page.text


async def test_an_unknown_problem_is_not_found(client: httpx2.AsyncClient) -> None:
    problem(await client.get("/problems/none"), 404, "not_found")


@pytest.mark.parametrize("path", ["/", "/docs", "/problems", "/problems/bad_option"])
async def test_pages_take_nothing_from_elsewhere(client: httpx2.AsyncClient, path: str) -> None:
    response = await client.get(path, headers={"Accept": "text/html"})
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in response.headers["content-security-policy"]
    page = response.text.replace("http://www.w3.org/2000/svg", "")
    assert "http://" not in page
    assert "https://" not in page
    assert len(response.content) < 40_000


async def test_the_metrics_count_requests_jobs_and_problems(client: httpx2.AsyncClient, pool: PretendPool) -> None:
    pool.now = replace(READY, retries=3, restarts={"crash": 2}, queued_items=4, estimated_wait_s=1.5)
    await client.post("/compress", content=picture())
    await client.post("/compress?quality=0", content=picture())
    await client.get("/no/such/path")
    await client.head("/healthz")
    response = await client.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
    for line in (
        'vcodec_http_requests_total{method="POST",route="/compress",status="200"} 1.0',
        'vcodec_http_requests_total{method="GET",route="unmatched",status="404"} 1.0',
        'vcodec_http_requests_total{method="HEAD",route="/healthz",status="200"} 1.0',
        'vcodec_rejected_requests_total{reason="bad_option",route="/compress"} 1.0',
        'vcodec_rejected_requests_total{reason="overloaded",route="/decompress"} 0.0',
        'vcodec_images_total{format="png",model="0badf00d",route="/compress",scale="2"} 1.0',
        'vcodec_compression_ratio_count{model="0badf00d"} 1.0',
        'vcodec_request_stage_duration_seconds_count{route="/compress",stage="device"} 1.0',
        'vcodec_request_stage_duration_seconds_count{route="/compress",stage="receive"} 1.0',
        'vcodec_request_stage_duration_seconds_count{route="/compress",stage="send"} 1.0',
        'vcodec_http_requests_in_progress{route="/compress"} 0.0',
        'vcodec_http_requests_in_progress{route="/decompress"} 0.0',
        'vcodec_worker_up{device="cpu",worker="cpu/0"} 1.0',
        'vcodec_worker_places{device="cpu",worker="cpu/0"} 1.0',
        'vcodec_worker_restarts_total{reason="crash"} 2.0',
        "vcodec_retries_total 3.0",
        "vcodec_queue_items 4.0",
        "vcodec_queue_estimated_wait_seconds 1.5",
        "vcodec_queue_limit_seconds 15.0",
        "vcodec_ready 1.0",
        "vcodec_draining 0.0",
    ):
        assert line in response.text.splitlines(), line
    assert "process_resident_memory_bytes" in response.text
    assert 'torch="2.' in response.text


async def test_the_metrics_tell_the_codecs_of_streams_apart(client: httpx2.AsyncClient) -> None:
    stream = picture("JPEG")
    await client.post("/compress?codec=avif", content=picture())
    await client.post("/compress", content=stream)
    await client.post("/decompress", content=stream)
    await client.post("/decompress", content=picture())  # refused: a PNG
    await client.post("/playground/ordinary?format=webp", content=picture())
    lines = (await client.get("/metrics")).text.splitlines()
    found = {line for line in lines if line.startswith("vcodec_codec_job_duration_seconds_count")}
    assert found == {
        f'vcodec_codec_job_duration_seconds_count{{codec="{codec}",route="{route}"}} 1.0'
        for codec, route in (("avif", "/compress"), ("jpeg", "/compress"), ("jpeg", "/decompress"))
    }
    (seconds,) = (line for line in lines if line.startswith('vcodec_codec_job_duration_seconds_sum{codec="avif"'))
    assert float(seconds.split()[-1]) == pytest.approx(0.0101 + 0.2 + 0.03)  # the queue's time is none of it
    assert f'vcodec_codec_stream_bytes_sum{{codec="jpeg",route="/decompress"}} {float(len(stream))}' in lines
    assert f'vcodec_codec_stream_bytes_sum{{codec="jpeg",route="/compress"}} {float(len(b"..stream.."))}' in lines


async def test_the_documentation_is_complete(client: httpx2.AsyncClient) -> None:
    assert (await client.get("/docs")).status_code == 200
    schema = (await client.get("/openapi.json")).json()
    compress = schema["paths"]["/compress"]["post"]
    names = {parameter["name"] for parameter in compress["parameters"]}
    assert names == {
        *("quality", "max_bytes", "max_bpp", "min_psnr", "min_ms_ssim"),
        *("effort", "scale", "codec", "metadata", "model", "background", "measure", "Request-Timeout-Ms"),
    }
    assert "multipart/form-data" in compress["requestBody"]["content"]
    common = {"200", "400", "401", "408", "413", "415", "422", "429", "500", "503", "504"}
    assert set(compress["responses"]) == common | {"404"}
    assert set(schema["paths"]["/decompress"]["post"]["responses"]) == common | {"406"}
    for path in ("/compress", "/decompress"):
        codes = schema["paths"][path]["post"]["responses"]["422"]["content"]["application/problem+json"]["examples"]
        assert {"animated_image", "bad_stream", "unknown_stream_model", "poison_input"} <= set(codes)
    for path in ("/healthz", "/readyz", "/metrics", "/models", "/models/{model}", "/problems", "/problems/{code}"):
        assert "get" in schema["paths"][path]


async def test_the_documentation_gives_the_ranges_that_are_kept(connect: Connect) -> None:
    async with connect(max_effort=3, timeout_s=7) as client:
        post = (await client.get("/openapi.json")).json()["paths"]["/compress"]["post"]
        schemas = {parameter["name"]: parameter["schema"] for parameter in post["parameters"]}
        fields = post["requestBody"]["content"]["multipart/form-data"]["schema"]["properties"]
        for name, allowed in RANGES.items():
            low = "minimum" if allowed.is_whole else "exclusiveMinimum"
            most = 3 if name == "effort" else allowed.high
            assert (schemas[name][low], schemas[name]["maximum"]) == (allowed.low, most)
            assert fields[name] | schemas[name] == fields[name], "the form's field is the parameter"
            refused = await client.post(f"/compress?{name}={most + 1}", content=picture())
            assert str(most) in problem(refused, 422, "bad_option")["detail"]
        assert schemas["effort"]["default"] == 3
        assert schemas["Request-Timeout-Ms"]["default"] == 7000


async def test_the_documentation_names_no_address_of_its_own(client: httpx2.AsyncClient) -> None:
    response = await client.get("/openapi.json")
    assert "localhost" not in response.text
    assert "127.0.0.1" not in response.text
    assert response.json()["servers"] == [{"url": "/"}]
