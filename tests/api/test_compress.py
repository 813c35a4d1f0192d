"""`POST /compress`: what goes in, what comes out, and every way to be refused."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.api.conftest import Connect
from tests.api.pretend import SMALL, PretendPool, manifest_of, picture, problem, write_model
from virtual_codec.errors import Draining, Overloaded, UnreachableTarget, VirtualCodecError
from virtual_codec.jobs import CompressOptions


class Unread(httpx2.AsyncByteStream):
    """A body that must not be read."""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield pytest.fail("it was read")


async def test_a_raw_body_comes_back_as_a_jpeg(client: httpx2.AsyncClient, pool: PretendPool) -> None:
    response = await client.post("/compress", content=picture(), headers={"Content-Type": "image/png"})
    assert response.status_code == 200
    assert response.headers["content-type"] == "image/jpeg"
    assert response.content == b"\xff\xd8stream\xff\xd9"
    [(job, pixels)] = pool.jobs
    assert job.data == picture()
    assert job.options == CompressOptions(model=SMALL)
    assert pixels == 600
    assert job.deadline == pytest.approx(time.monotonic() + 120, abs=5)


async def test_the_headers_say_what_was_done(client: httpx2.AsyncClient, pool: PretendPool) -> None:
    response = await client.post("/compress", content=picture())
    assert response.headers["vcodec-model"] == "0badf00d"
    assert response.headers["vcodec-scale"] == "2"
    assert response.headers["vcodec-size"] == "30x20"
    assert response.headers["vcodec-bpp"] == "0.1333"
    assert response.headers["vcodec-quality"] == "50"
    assert "vcodec-psnr" not in response.headers
    assert "vcodec-ms-ssim" not in response.headers
    timing = response.headers["server-timing"]
    assert timing == "decode;dur=10.1, queue;dur=0.2, device;dur=200.0, encode;dur=30.0"
    pool.measured = {"psnr_db": 38.12345, "ms_ssim": 0.987654}
    response = await client.post("/compress?min_psnr=38", content=picture())
    assert response.headers["vcodec-psnr"] == "38.123"
    assert response.headers["vcodec-ms-ssim"] == "0.98765"


@pytest.mark.parametrize("label", [None, "image/jpeg", "text/plain", "application/json", "nonsense"])
async def test_the_bytes_decide_and_not_the_label(client: httpx2.AsyncClient, label: str | None) -> None:
    headers = {} if label is None else {"Content-Type": label}
    assert (await client.post("/compress", content=picture("BMP"), headers=headers)).status_code == 200


async def test_a_form_may_hold_the_file_and_the_options(client: httpx2.AsyncClient, pool: PretendPool) -> None:
    response = await client.post(
        "/compress",
        files={"file": ("photo.png", picture(), "text/html")},
        data={"quality": "70", "scale": "1", "background": "00ff00"},
    )
    assert response.status_code == 200
    assert pool.jobs[0][0].options == CompressOptions(quality=70, scale=1, background=(0, 255, 0), model=SMALL)


async def test_a_codec_gets_a_model_that_has_it(connect: Connect, pool: PretendPool, model_store: Path) -> None:
    write_model(model_store, "other", codecs=["avif", "webp"])
    other = manifest_of("other", codecs=["avif", "webp"]).id
    async with connect() as client:
        for query in ("codec=avif", "codec=webp", "codec=jpeg", "codec=jpeg2000"):
            assert (await client.post(f"/compress?{query}", content=picture())).status_code == 200
        assert (await client.post("/decompress", content=picture("WEBP"))).status_code == 200
    models = [getattr(job.options, "model", None) for job, _ in pool.jobs]
    assert models == [other, other, SMALL, SMALL, other]


async def test_options_are_read_from_the_query(client: httpx2.AsyncClient, pool: PretendPool) -> None:
    response = await client.post("/compress?max_bpp=0.5&effort=7&model=small", content=picture())
    assert response.status_code == 200
    assert pool.jobs[0][0].options == CompressOptions(max_bpp=0.5, effort=7, model=SMALL)


@pytest.mark.parametrize(
    "query",
    [
        "quality=0",
        "quality=101",
        "quality=5.5",
        "quality=",
        "quality=40&quality=40",
        "quality=40&max_bytes=1000",
        "qualty=40",
        "effort=10",
        "scale=3",
        "background=white",
        "min_ms_ssim=1.5",
        "max_bpp=nan",
        "=1",
    ],
)
async def test_options_that_cannot_be_meant_are_refused(
    client: httpx2.AsyncClient, pool: PretendPool, query: str
) -> None:
    problem(await client.post(f"/compress?{query}", content=picture()), 422, "bad_option")
    assert pool.jobs == []


@pytest.mark.parametrize(
    ("query", "limit", "actual"),
    [("quality=101", 100, 101), ("effort=-1", 0, -1), ("min_ms_ssim=1.5", 1, 1.5), ("max_bpp=1e300", 100_000, 1e300)],
)
async def test_a_number_out_of_range_is_answered_with_the_bound(
    client: httpx2.AsyncClient, query: str, limit: float, actual: float
) -> None:
    response = await client.post(f"/compress?{query}", content=picture())
    body = problem(response, 422, "bad_option")
    assert (body["limit"], body["actual"]) == (limit, actual)
    assert len(response.content) < 500


@pytest.mark.parametrize("query", ["?quality=40", "?effort=2"])
async def test_options_in_both_places_are_refused(client: httpx2.AsyncClient, query: str) -> None:
    response = await client.post(f"/compress{query}", files={"file": ("a.png", picture())}, data={"quality": "40"})
    problem(response, 422, "bad_option")


async def test_a_form_field_given_twice_is_refused(client: httpx2.AsyncClient) -> None:
    response = await client.post("/compress", files={"file": ("a.png", picture())}, data={"quality": ["40", "40"]})
    problem(response, 422, "bad_option")


async def test_the_servers_maximum_of_effort_is_kept(connect: Connect) -> None:
    async with connect(max_effort=5) as client:
        body = problem(await client.post("/compress?effort=6", content=picture()), 422, "bad_option")
        assert (body["limit"], body["actual"]) == (5, 6)
        assert (await client.post("/compress?effort=5", content=picture())).status_code == 200


async def test_the_default_effort_is_at_most_the_servers_maximum(connect: Connect, pool: PretendPool) -> None:
    async with connect(max_effort=2) as client:
        assert (await client.post("/compress", content=picture())).status_code == 200
    assert pool.jobs[-1][0].options == CompressOptions(effort=2, model=SMALL)


async def test_no_body_is_refused(client: httpx2.AsyncClient) -> None:
    problem(await client.post("/compress"), 400, "empty_body")
    problem(await client.post("/compress", files={"file": ("a.png", b"")}), 400, "empty_body")


@pytest.mark.parametrize(
    ("files", "code"),
    [
        ({"image": ("a.png", b"x")}, "missing_file"),
        ({"image": (None, "x")}, "missing_file"),
        ([("file", (None, b"x")), ("file", ("b.png", b"x"))], "too_many_parts"),
        ([("file", ("a.png", b"x")), ("file", ("b.png", b"x"))], "too_many_parts"),
        ([("file", ("a.png", b"x")), ("other", ("b.png", b"x"))], "too_many_parts"),
        ([("file", ("a.png", b"x")), *[(f"f{n}", (None, "x")) for n in range(17)]], "too_many_parts"),
        ([("file", ("a.png", b"x")), ("model", (None, "x" * 5000))], "field_too_large"),
    ],
)
async def test_a_form_without_exactly_one_file_is_refused(client: httpx2.AsyncClient, files: Any, code: str) -> None:
    problem(await client.post("/compress", files=files), 400, code)


def form(*parts: tuple[str, bytes]) -> dict[str, Any]:
    """A form of parts with these Content-Disposition parameters, as keyword arguments of a request."""
    body = b"".join(
        b"--x\r\nContent-Disposition: form-data%s\r\n\r\n%s\r\n" % (it.encode(), data) for it, data in parts
    )
    return {"content": body + b"--x--\r\n", "headers": {"Content-Type": "multipart/form-data; boundary=x"}}


@pytest.mark.parametrize(
    "parts",
    [
        [("; name=\"file\"; filename*=utf-8''a%20b.png", picture())],
        [('; name="file"', picture("BMP", (60, 60)))],  # above the limit of fields
        [('; name="file"; filename="a.png"', picture()), ('; name="quality"', b""), ('; name="model"', b"")],
        [('; name="file"; filename="a.png"', picture()), ('; name="file"; filename=""', b"")],
        [('; name="file"; filename=""', b""), ('; name="file"; filename="a.png"', picture())],
        [('; name="mask"; filename=""', b""), ('; name="file"; filename="a.png"', picture())],
        [('; filename=""', b""), ('; name="file"; filename="a.png"', picture()), ("", b"")],
    ],
)
async def test_a_file_part_without_a_filename_is_taken_and_empty_parts_are_ignored(
    client: httpx2.AsyncClient, pool: PretendPool, parts: list[tuple[str, bytes]]
) -> None:
    response = await client.post("/compress", **form(*parts))
    assert response.status_code == 200, response.text
    assert pool.jobs[0][0].data in [data for _, data in parts if data]
    assert pool.jobs[0][0].options == CompressOptions(model=SMALL)


@pytest.mark.parametrize("preamble", [b"This is a form.\r\n", b"--y\r\n-x\r\n" * 9, b"\r\n"])
@pytest.mark.parametrize("piece", [1, 7, 10**6])
async def test_text_before_and_after_the_parts_is_ignored(
    client: httpx2.AsyncClient, pool: PretendPool, preamble: bytes, piece: int
) -> None:
    plain = form(('; name="file"; filename="a.png"', picture()), ('; name="quality"', b"30"))
    body: bytes = preamble + plain["content"] + b"This was a form."

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(body), piece):
            yield body[start : start + piece]

    response = await client.post("/compress", content=pieces(), headers=plain["headers"])
    assert response.status_code == 200, response.text
    assert pool.jobs[0][0].data == picture()
    assert pool.jobs[0][0].options == CompressOptions(model=SMALL, quality=30)


async def test_empty_parts_have_a_limit_too(client: httpx2.AsyncClient) -> None:
    response = await client.post("/compress", **form(*[('; name="a"', b"")] * 50))
    problem(response, 400, "too_many_parts")


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("multipart/form-data", b"no boundary"),
        ("multipart/form-data; boundary=x", b"not a part"),
        ("multipart/form-data; boundary=x", b"--x\r\nContent-Disposition: form-data\r\n\r\nx\r\n--x--\r\n"),
        (
            "multipart/form-data; boundary=x",
            b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\ncut off',
        ),
        ("multipart/form-data; boundary=x", b""),
    ],
)
async def test_a_malformed_form_is_refused(client: httpx2.AsyncClient, kind: str, body: bytes) -> None:
    response = await client.post("/compress", content=body, headers={"Content-Type": kind})
    assert response.status_code == 400
    assert response.json()["code"] in ("bad_multipart", "missing_file")


async def test_urlencoded_and_encoded_bodies_are_refused(client: httpx2.AsyncClient) -> None:
    response = await client.post("/compress", data={"file": "x"})
    detail = problem(response, 415, "unsupported_media_type")["detail"]
    [kind] = re.findall(r"-H 'Content-Type: (\S+)' --data-binary", detail)
    right = await client.post("/compress", content=picture(), headers={"Content-Type": kind})
    assert right.status_code == 200, "what the refusal advises is taken"
    for encoding in ("gzip", "br", "identity", "identity, gzip", "x"):
        response = await client.post("/compress", content=b"x", headers={"Content-Encoding": encoding})
        problem(response, 415, "unsupported_encoding")


async def test_an_input_that_is_no_image_is_refused_without_a_worker(
    client: httpx2.AsyncClient, pool: PretendPool
) -> None:
    problem(await client.post("/compress", content=b"GIF87 it is not"), 415, "unsupported_format")
    problem(await client.post("/compress", content=picture()[:40]), 422, "undecodable_image")
    assert pool.jobs == []


async def test_the_header_is_enough_to_refuse_too_many_pixels(connect: Connect, pool: PretendPool) -> None:
    async with connect(max_pixels=599) as client:
        body = problem(await client.post("/compress", content=picture()), 413, "too_many_pixels")
        assert (body["limit"], body["actual"]) == (599, 600)
    async with connect(max_side=29) as client:
        body = problem(await client.post("/compress", content=picture()), 413, "side_too_long")
        assert (body["limit"], body["actual"]) == (29, 30)
    assert pool.jobs == []


async def test_a_body_that_says_it_is_too_large_is_refused_unread(connect: Connect) -> None:
    async with connect(max_body_bytes=100) as client:
        response = await client.post("/compress", content=Unread(), headers={"Content-Length": "101"})
        answer = problem(response, 413, "body_too_large")
        assert (answer["limit"], answer["actual"]) == (100, 101)


async def test_a_body_that_turns_out_too_large_is_refused(connect: Connect) -> None:
    async def body() -> AsyncIterator[bytes]:
        for _ in range(5):
            yield bytes(30)

    async with connect(max_body_bytes=100) as client:
        answer = problem(await client.post("/compress", content=body()), 413, "body_too_large")
        assert (answer["limit"], answer["actual"]) == (100, 120)
        response = await client.post("/compress", files={"file": ("a.png", bytes(100))})
        problem(response, 413, "body_too_large")


async def test_the_limit_itself_is_allowed(connect: Connect) -> None:
    async with connect(max_body_bytes=len(picture())) as client:
        assert (await client.post("/compress", content=picture())).status_code == 200


async def test_a_slow_body_is_refused(connect: Connect) -> None:
    async def body() -> AsyncIterator[bytes]:
        yield b"\x89PNG"
        await asyncio.sleep(5)
        yield b"late"

    async with connect(body_timeout_s=0.1) as client:
        problem(await client.post("/compress", content=body()), 408, "body_timeout")
        response = await client.post("/compress", content=body(), headers={"Request-Timeout-Ms": "50"})
        problem(response, 504, "deadline_exceeded")


async def test_announced_bytes_do_not_block_other_requests(connect: Connect) -> None:
    image, may_send = picture("BMP", (300, 300)), asyncio.Event()
    size = len(image)

    async def body() -> AsyncIterator[bytes]:
        await may_send.wait()
        yield image

    async with connect(max_body_bytes=size, max_pixels=90_000, max_pending_bytes=size) as client:
        promise = {"Content-Length": str(size)}
        idle = [asyncio.create_task(client.post("/compress", content=body(), headers=promise)) for _ in range(4)]
        await asyncio.sleep(0.05)
        assert (await client.post("/compress", content=image)).status_code == 200
        may_send.set()
        statuses = [response.status_code for response in await asyncio.gather(*idle)]
        assert 200 in statuses
        assert set(statuses) <= {200, 503}


async def test_the_callers_time_is_kept_up_to_the_servers_maximum(connect: Connect, pool: PretendPool) -> None:
    async with connect(timeout_s=20, max_timeout_s=40) as client:
        for header, seconds in (("1500", 1.5), ("999999999", 40.0), ("9" * 40, 40.0)):
            await client.post("/compress", content=picture(), headers={"Request-Timeout-Ms": header})
            assert pool.jobs[-1][0].deadline == pytest.approx(time.monotonic() + seconds, abs=5)
        await client.post("/compress", content=picture())
        assert pool.jobs[-1][0].deadline == pytest.approx(time.monotonic() + 20, abs=5)
        for header, actual in (("0", 0), ("-5", -5), ("soon", None), ("1.5", None), ("", None)):
            response = await client.post("/compress", content=picture(), headers={"Request-Timeout-Ms": header})
            body = problem(response, 422, "bad_option")
            assert (body.get("limit"), body.get("actual")) == (None if actual is None else 1, actual)


async def test_errors_of_the_pool_become_problems(client: httpx2.AsyncClient, pool: PretendPool) -> None:
    pool.error = UnreachableTarget("no stream is below 500 bytes; 612 can be had", limit=500, actual=612)
    body = problem(await client.post("/compress?max_bytes=500", content=picture()), 422, "unreachable_target")
    assert (body["limit"], body["actual"]) == (500, 612)
    pool.error = Overloaded("full", retry_after_s=12.2)
    response = await client.post("/compress", content=picture())
    problem(response, 503, "overloaded")
    assert response.headers["retry-after"] == "13"
    pool.error = VirtualCodecError("logged")
    problem(await client.post("/compress", content=picture()), 500, "internal")


async def test_a_full_service_refuses_before_it_reads(client: httpx2.AsyncClient, pool: PretendPool) -> None:
    pool.refusal = Draining("about to stop", retry_after_s=5)
    response = await client.post("/compress", content=Unread())
    problem(response, 503, "draining")
    assert response.headers["retry-after"] == "5"


async def test_a_caller_who_leaves_takes_the_job_along(connect: Connect, pool: PretendPool) -> None:
    pool.gate = asyncio.Event()
    async with connect() as client:
        request = asyncio.create_task(_leave_after_sending(client, pool))
        await request
        assert pool.cancelled == 1


async def _leave_after_sending(client: httpx2.AsyncClient, pool: PretendPool) -> None:
    """Speaks ASGI itself: a client without a socket cannot hang up."""
    app = client._transport.app  # type: ignore[attr-defined]
    messages: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    messages.put_nowait({"type": "http.request", "body": picture(), "more_body": False})
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": "/compress",
        "raw_path": b"/compress",
        "query_string": b"",
        "root_path": "",
        "headers": [],
        "client": ("test", 1),
        "server": ("test", 80),
    }
    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    call = asyncio.create_task(app(scope, messages.get, send))
    await pool.taken.acquire()
    messages.put_nowait({"type": "http.disconnect"})
    await call
    assert sent == []


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/compress?quality=0", 422, "bad_option"),
        ("/compress?colour=red", 422, "bad_option"),
        ("/compress?quality=1&quality=2", 422, "bad_option"),
        ("/compress?model=large", 404, "model_not_found"),
        ("/decompress?quality=50", 422, "bad_option"),
    ],
)
async def test_a_wrong_query_is_refused_before_the_body_is_read(
    client: httpx2.AsyncClient, pool: PretendPool, path: str, status: int, code: str
) -> None:
    pool.refusal = Overloaded("even while the service is full")
    problem(await client.post(path, content=Unread()), status, code)
