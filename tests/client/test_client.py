"""The HTTP client, against the real application without sockets, and against a real server."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

import virtual_codec as vc
from tests.api.pretend import SMALL, PretendPool, picture, write_store
from tests.models import make_store
from tests.pictures import saved, scene
from tests.served import served
from virtual_codec import errors
from virtual_codec.api import create_app
from virtual_codec.client import RetryPolicy
from virtual_codec.client._problems import error_of
from virtual_codec.client._retries import Attempts
from virtual_codec.jobs import CompressOptions
from virtual_codec.settings import Settings

SECRET = "a-secret-of-the-tests"


@pytest.fixture
def pool() -> PretendPool:
    return PretendPool()


@pytest.fixture
def url(pool: PretendPool, tmp_path: Path) -> Iterator[str]:
    """Address of a real server with that pool, in a thread of this process; it wants a key."""
    settings = Settings.load(model_store=write_store(tmp_path), api_keys=SECRET)
    with served(create_app(settings, pool)) as address:
        yield address


def answering(*answers: httpx2.Response | Exception) -> tuple[httpx2.MockTransport, list[httpx2.Request]]:
    """Transport that gives these answers one after the other, and the requests that it got."""
    requests: list[httpx2.Request] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        request.read()
        requests.append(request)
        given = answers[len(requests) - 1]
        if isinstance(given, Exception):
            raise given
        return given

    return httpx2.MockTransport(answer), requests


def refusal(status: int = 503, code: str = "overloaded", retry_after: str = "0") -> httpx2.Response:
    body = {"type": f"/problems/{code}", "detail": "as it is", "request_id": "abc", "limit": 7}
    headers = {"Content-Type": "application/problem+json", "Retry-After": retry_after}
    return httpx2.Response(status, headers=headers, content=json.dumps(body))


MODELS = httpx2.Response(200, json=[{"id": "0badf00d", "name": "small", "default": True, "of_a_later_server": 1}])


async def test_a_picture_goes_through_the_real_application_and_comes_back(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store")
    settings = Settings.load(model_store=store.root, pool="inline", devices="cpu")
    app = create_app(settings)
    pixels = scene(48, 64)
    (tmp_path / "a.png").write_bytes(saved(pixels))
    async with (
        app.router.lifespan_context(app),
        vc.AsyncClient("http://test", transport=httpx2.ASGITransport(app)) as client,
    ):
        while not await client.is_ready():  # noqa: ASYNC110  # the codec is being opened
            await asyncio.sleep(0.05)
        stream = await client.compress(pixels, quality=40)
        assert bytes(stream) == bytes(await client.compress(tmp_path / "a.png", quality=40))
        assert (stream.size, stream.quality, stream.model) == ((64, 48), 40, store.default.id)
        assert (await client.compress(pixels, min_psnr=25)).psnr_db is not None
        image = await client.restore(stream)
        assert (image.size, image.mode) == ((64, 48), "RGB")
        await client.restore_to(tmp_path / "b.png", bytes(stream))
        assert (tmp_path / "b.png").read_bytes() == await client.restore_bytes(stream)
        assert (await client.info(bytes(stream))).model == stream.model
        (model,) = await client.models()
        assert model == await client.model(store.default.name)
        with pytest.raises(errors.UndecodableImage, match="truncated"):
            await client.compress(saved(pixels)[:-400])
        with pytest.raises(errors.BadOption, match="unknown option 'qualty'"):
            await client.compress(pixels, qualty=3)


def test_a_real_server_is_used_over_one_connection(url: str, pool: PretendPool, tmp_path: Path) -> None:
    image = picture("BMP", (600, 400))
    (tmp_path / "a.bmp").write_bytes(image)
    pool.image = bytes(700_000)
    with vc.Client(url, api_key=SECRET, timeout_s=30) as client:
        assert client.is_ready()
        assert bytes(client.compress(tmp_path / "a.bmp", quality=30, background="00ff00")).startswith(b"\xff\xd8")
        job, _ = pool.jobs[0]
        assert job.data == image
        assert job.options == CompressOptions(quality=30, background=(0, 255, 0), model=SMALL)
        jpeg = picture("JPEG")
        assert client.restore_bytes(jpeg, output="webp") == pool.image
        client.restore_to(tmp_path / "b.png", jpeg)
        assert (tmp_path / "b.png").read_bytes() == pool.image
        assert [it.name for it in tmp_path.glob(".vcodec*")] == []
        assert [model.name for model in client.models()] == ["old", "small"]
        assert client.model("small").id == SMALL
        with pytest.raises(errors.ModelNotFound) as caught:
            client.model("none")
        assert caught.value.request_id
        assert len(client._http._transport._pool.connections) == 1  # type: ignore[attr-defined]
    with vc.Client(url) as stranger, pytest.raises(errors.Unauthorized):
        stranger.models()


def test_the_time_of_a_call_becomes_that_of_the_request() -> None:
    transport, requests = answering(refusal(), MODELS)
    with vc.Client("http://test/codec/", api_key="k", timeout_s=20, transport=transport) as client:
        (model,) = client.models()
    assert (model.id, model.name, model.default) == ("0badf00d", "small", True)
    first, second = (int(request.headers["Request-Timeout-Ms"]) for request in requests)
    assert 19_000 < second <= first <= 20_000
    assert requests[0].url == "http://test/codec/models"
    assert requests[0].headers["Authorization"] == "Bearer k"


@pytest.mark.parametrize(
    "failure", [refusal(), refusal(429, "quota_exceeded"), httpx2.Response(502), httpx2.ConnectError("refused")]
)
def test_what_may_pass_is_tried_again(failure: httpx2.Response | Exception) -> None:
    transport, requests = answering(failure, MODELS)
    with vc.Client("http://test", transport=transport) as client:
        assert client.models()
    assert len(requests) == 2


def test_a_file_is_sent_anew_by_every_attempt(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"content")
    transport, requests = answering(refusal(), httpx2.Response(200, content=b"image", headers=RESTORED))
    with vc.Client("http://test", transport=transport) as client:
        assert client.restore_bytes(tmp_path / "a.jpg") == b"image"
    assert [request.content for request in requests] == [b"content"] * 2
    assert requests[0].headers["Content-Length"] == "7"


RESTORED = {
    "Content-Type": "image/png",
    "Vcodec-Model": "0badf00d",
    "Vcodec-Scale": "2",
    "Vcodec-Size": "3x2",
    "Vcodec-Bpp": "0.5",
}


async def test_the_asynchronous_client_tries_again_too(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"content")
    requests = []

    async def answer(request: httpx2.Request) -> httpx2.Response:
        requests.append(await request.aread())
        return refusal() if len(requests) < 3 else httpx2.Response(200, content=b"image", headers=RESTORED)

    async with vc.AsyncClient("http://test", transport=httpx2.MockTransport(answer)) as client:
        assert await client.restore_bytes(tmp_path / "a.jpg") == b"image"
    assert requests == [b"content"] * 3


def test_retries_are_bounded() -> None:
    for retry, answers, wanted in (
        (RetryPolicy(retries=2), [refusal()] * 3, 3),
        (RetryPolicy(), [refusal(retry_after="31")], 1),
        (RetryPolicy(), [refusal(422, "bad_option")], 1),
        (RetryPolicy(), [refusal(500, "internal")], 1),
    ):
        transport, requests = answering(*answers)
        client = vc.Client("http://test", retry=retry, transport=transport)
        with client, pytest.raises(errors.VirtualCodecError, match="as it is"):
            client.models()
        assert len(requests) == wanted


def test_the_wait_is_that_of_retry_after_within_the_time_of_the_call() -> None:
    attempts = Attempts(RetryPolicy(), timeout_s=10)
    assert 3 <= attempts.wait_s(errors.Overloaded("full", retry_after_s=3)) <= 3.75
    assert 0.4 <= attempts.wait_s(errors.ServerUnreachable("gone")) <= 0.5
    full = errors.Overloaded("full", retry_after_s=11)
    with pytest.raises(errors.Overloaded):
        attempts.wait_s(full)
    date = error_of(503, {"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}, b"")
    assert (type(date), date.retry_after_s) == (errors.Unavailable, 0)


def test_problems_are_errors_of_their_types() -> None:
    for kind in (errors.BadOption, errors.TooManyPixels, errors.DeadlineExceeded, errors.QuotaExceeded):
        answer = refusal(422, kind.code)
        error = error_of(422, answer.headers, answer.content)
        assert type(error) is kind
        assert (str(error), error.limit, error.request_id) == ("as it is", 7, "abc")
    later = refusal(422, "of_a_later_server")
    assert type(error_of(422, later.headers, later.content)) is errors.BadInput
    assert type(error_of(500, {}, b"<html>")) is errors.VirtualCodecError
    assert "answers 301" in str(error_of(301, {}, b""))


def test_failures_of_connections_are_errors_of_this_package() -> None:
    for raised, kind in (
        (httpx2.ConnectError("refused"), errors.ServerUnreachable),
        (httpx2.RemoteProtocolError("hung up"), errors.ServerUnreachable),
        (httpx2.ReadTimeout("late"), errors.DeadlineExceeded),
    ):
        transport, _ = answering(raised)
        once = vc.Client("http://test", retry=RetryPolicy(retries=0), transport=transport)
        with once as client, pytest.raises(kind):
            client.models()
    with vc.Client("http://127.0.0.1:9", retry=RetryPolicy(retries=0)) as client:
        assert not client.is_ready()


def test_an_answer_of_another_service_is_told() -> None:
    transport, _ = answering(httpx2.Response(200, text="hello"), httpx2.Response(200, json={"a": 1}))
    with vc.Client("http://test", transport=transport) as client:
        with pytest.raises(errors.VirtualCodecError, match="is the address right"):
            client.compress(picture())
        with pytest.raises(errors.VirtualCodecError, match="is the address right"):
            client.models()


@pytest.mark.parametrize(
    ("url", "api_key", "said"),
    [("localhost:8000", None, "must begin with http"), ("http://test", "a\nb", "printable ASCII")],
)
def test_a_wrong_address_or_key_is_refused_at_once(url: str, api_key: str | None, said: str) -> None:
    for kind in (vc.Client, vc.AsyncClient):
        with pytest.raises(ValueError, match=said):
            kind(url, api_key=api_key)


def test_a_download_that_breaks_leaves_the_old_file(tmp_path: Path) -> None:
    def broken() -> Iterator[bytes]:
        yield b"half"
        raise httpx2.ReadError("hung up")

    (tmp_path / "b.png").write_bytes(b"old")
    transport, _ = answering(httpx2.Response(200, content=broken(), headers=RESTORED))
    client = vc.Client("http://test", retry=RetryPolicy(retries=0), transport=transport)
    with client, pytest.raises(errors.ServerUnreachable):
        client.restore_to(tmp_path / "b.png", b"jpeg")
    assert {it.name: it.read_bytes() for it in tmp_path.iterdir()} == {"b.png": b"old"}


def test_without_httpx2_the_extra_is_named() -> None:
    code = "import sys; sys.modules['httpx2'] = None; import virtual_codec as vc; vc.open; vc.Client"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "ImportError: the client needs httpx2: pip install 'virtual-codec[client]' brings it" in done.stderr


def test_the_client_loads_nothing_heavy() -> None:
    code = "import sys, virtual_codec as vc; vc.Client; print({'torch', 'numba', 'fastapi'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
