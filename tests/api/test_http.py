"""What holds for every path: ids, HEAD, methods, keys, problems; and what this process never loads."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import httpx2
import pytest
from starlette.types import Receive, Scope, Send

from tests.api.conftest import Connect
from tests.api.pretend import PretendPool, picture, problem, write_store
from virtual_codec import errors
from virtual_codec.api import create_app
from virtual_codec.api.problems import PROBLEMS
from virtual_codec.errors import VirtualCodecError
from virtual_codec.settings import Settings

CODES = (
    "animated_image bad_input bad_model bad_multipart bad_option bad_stream "
    "body_timeout body_too_large deadline_exceeded draining empty_body field_too_large headers_timeout "
    "headers_too_large internal method_not_allowed missing_file model_not_found no_worker not_acceptable "
    "not_found overloaded poison_input profile_too_large quota_exceeded side_too_long too_many_parts "
    "too_many_pixels too_many_scans too_many_segments unauthorized unavailable undecodable_image "
    "unknown_stream_model unreachable_target unsupported_encoding unsupported_format "
    "unsupported_media_type"
)


def every_error(root: type[VirtualCodecError] = VirtualCodecError) -> set[type[VirtualCodecError]]:
    return {root}.union(*(every_error(kind) for kind in root.__subclasses__()))


def test_the_codes_are_frozen() -> None:
    assert " ".join(sorted(PROBLEMS)) == CODES


def test_every_error_has_a_status_and_an_explanation() -> None:
    ours = {kind for kind in every_error() if kind.__module__.startswith(f"{errors.__name__}.")}
    never_raised = {"bad_training_data", "server_unreachable"}  # by serving: the second is a client's
    assert {kind.code for kind in ours} - never_raised == set(PROBLEMS)
    assert len(ours) == len(PROBLEMS) + len(never_raised), "every class has a code of its own"
    assert {problem.status for problem in PROBLEMS.values()} == {
        *(400, 401, 404, 405, 406, 408, 413, 415, 422, 429, 500, 503, 504)
    }
    for kind in PROBLEMS.values():
        assert kind.title
        assert kind.meaning.endswith(".")
        assert kind.remedy


async def test_unknown_paths_and_wrong_methods_are_problems(client: httpx2.AsyncClient) -> None:
    problem(await client.get("/nothing"), 404, "not_found")
    problem(await client.post("/compress/", content=picture()), 404, "not_found")
    response = await client.get("/compress")
    problem(response, 405, "method_not_allowed")
    assert response.headers["allow"] == "POST"
    response = await client.delete("/healthz")
    problem(response, 405, "method_not_allowed")
    assert response.headers["allow"] == "GET, HEAD"


@pytest.mark.parametrize(
    ("path", "instance"),
    [
        ("/models/%F2%82%98%B0", "/models/%F2%82%98%B0"),
        ("//elsewhere/x", "/.//elsewhere/x"),
        ("/a%20b%3F%22", "/a%20b%3F%22"),
    ],
)
async def test_the_instance_of_a_problem_is_a_uri_reference(
    client: httpx2.AsyncClient, path: str, instance: str
) -> None:
    assert (await client.get(f"http://test{path}")).json()["instance"] == instance


@pytest.mark.parametrize("path", ["/", "/healthz", "/readyz", "/metrics", "/models", "/docs", "/openapi.json"])
async def test_head_works_where_get_does(client: httpx2.AsyncClient, path: str) -> None:
    got, head = await client.get(path), await client.head(path)
    assert head.status_code == got.status_code == 200
    assert head.content == b""
    assert head.headers["content-type"] == got.headers["content-type"]
    assert "content-length" in head.headers


async def test_head_of_what_takes_only_post_is_refused(client: httpx2.AsyncClient) -> None:
    response = await client.head("/compress")
    assert (response.status_code, response.headers["allow"]) == (405, "POST")


@pytest.mark.parametrize("sane", ["my-id.7_B", "Root=1-67891233-abcdef012345678912345678", "svc:a/b+c=="])
async def test_a_sane_request_id_is_taken_over(client: httpx2.AsyncClient, pool: PretendPool, sane: str) -> None:
    response = await client.post("/compress", content=picture(), headers={"X-Request-ID": sane})
    assert response.headers["x-request-id"] == sane
    assert pool.jobs[0][0].request_id == sane


@pytest.mark.parametrize("strange", ["", "a b", "x" * 129, "<script>", "a\tb"])
async def test_a_strange_request_id_is_replaced(client: httpx2.AsyncClient, strange: str) -> None:
    response = await client.get("/nothing", headers={"X-Request-ID": strange})
    assert response.headers["x-request-id"] not in ("", strange)
    problem(response, 404, "not_found")


async def test_a_crash_is_a_problem_without_details(
    client: httpx2.AsyncClient, pool: PretendPool, caplog: pytest.LogCaptureFixture
) -> None:
    pool.error = RuntimeError("secret")
    response = await client.post("/compress", content=picture())
    problem(response, 500, "internal")
    assert "secret" not in response.text
    assert "secret" in caplog.text


async def test_an_error_that_is_no_problem_of_serving_is_one_of_the_service(
    client: httpx2.AsyncClient, pool: PretendPool
) -> None:
    pool.error = errors.BadTrainingData("no images")
    problem(await client.post("/compress", content=picture()), 500, "internal")


async def test_a_request_is_one_log_line(client: httpx2.AsyncClient, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", logger="virtual_codec")
    await client.post("/compress?quality=5", content=picture(), headers={"X-Request-ID": "seven"})
    [line] = [record.getMessage() for record in caplog.records if record.name == "virtual_codec.api"]
    for fact in (
        "event=request",
        "method=POST",
        "route=/compress",
        "status=200",
        "request_id=seven",
        "size=30x20",
    ):
        assert fact in line
    caplog.clear()
    await client.get("/healthz")
    assert caplog.records == []


async def test_every_answer_forbids_guessing_of_types(client: httpx2.AsyncClient) -> None:
    for path in ("/", "/healthz", "/nothing"):
        assert (await client.get(path)).headers["x-content-type-options"] == "nosniff"


async def test_the_pool_starts_and_stops_with_the_application(connect: Connect, pool: PretendPool) -> None:
    async with connect():
        assert pool.is_running
    assert not pool.is_running


def test_the_api_process_never_loads_torch(model_store: Path) -> None:
    script = """
import pathlib, sys
from virtual_codec.api import create_app, server
from virtual_codec.settings import Settings
create_app(Settings.load(model_store=pathlib.Path(sys.argv[1])))
heavy = {"numba", "torch", "virtual_codec.codec", "virtual_codec.networks", "virtual_codec.runner"}
loaded = sorted(heavy & set(sys.modules))
assert not loaded, loaded
"""
    subprocess.run([sys.executable, "-c", script, str(model_store)], check=True)


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("http://other.example/healthz", 200),
        ("HTTP://x:80/models", 200),
        ("https://x", 200),
        ("http://x//healthz", 404),
        ("/http://x/healthz", 404),
        ("ftp://x/healthz", 404),
    ],
)
async def test_a_target_in_absolute_form_is_its_path(
    target: str, status: int, tmp_path: Path, pool: PretendPool
) -> None:
    app = create_app(Settings.load(model_store=write_store(tmp_path)), pool)

    async def with_target(scope: Scope, receive: Receive, send: Send) -> None:
        await app({**scope, "path": target}, receive, send)

    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(with_target), base_url="http://test") as client:
        assert (await client.get("/")).status_code == status
