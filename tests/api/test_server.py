"""The service as it runs: a process of its own, real sockets, real signals."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from PIL import Image

from tests.api.large_codec import OPEN as LARGE
from tests.api.pretend import picture, write_store
from tests.api.slow_codec import OPEN
from tests.server_process import ServerProcess, started, wait_for, wait_until_ready
from virtual_codec.api.server import listen, run
from virtual_codec.settings import Settings

SCRIPT = """
import pathlib, sys
from virtual_codec.api.server import listen, run
from virtual_codec.serving import PoolPolicy, open_pool
from virtual_codec.settings import Settings
policy = PoolPolicy(devices="cpu", threads=2, standby="off", stop_grace_s=5)
pool = open_pool("local", {}, policy, worker_factory=sys.argv[2])
store, delay_s = pathlib.Path(sys.argv[1]), float(sys.argv[3])
run(Settings.load(model_store=store, host=sys.argv[5], port=0, drain_delay_s=delay_s, log_format=sys.argv[4]), pool)
"""
INSTANT, SECONDS = picture(size=(1, 1)), picture(size=(250, 1))


@contextlib.contextmanager
def serving(
    model_store: Path,
    *,
    drain_delay_s: float = 1,
    log_format: str = "text",
    host: str = "127.0.0.1",
    codec: str = OPEN,
) -> Iterator[ServerProcess]:
    command = [sys.executable, "-c", SCRIPT, str(model_store), codec, str(drain_delay_s), log_format, host]
    with started(ServerProcess, command, stop=subprocess.Popen.kill) as server:
        wait_until_ready(server)
        yield server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with serving(write_store(tmp_path_factory.mktemp("store"))) as running:
        yield running


@pytest.fixture
def passing_server(model_store: Path) -> Iterator[ServerProcess]:
    with serving(model_store) as running:
        yield running


async def test_sigterm_loses_nothing(passing_server: ServerProcess) -> None:
    server = passing_server
    async with httpx2.AsyncClient(base_url=server.url, timeout=20) as client:
        slow = asyncio.create_task(client.post("/compress", content=SECONDS))
        await asyncio.sleep(0.2)
        server.process.send_signal(signal.SIGTERM)
        await asyncio.sleep(0.3)
        assert (await client.get("/readyz")).status_code == 503
        assert (await client.post("/compress", content=INSTANT)).status_code == 200, "not ready, but serving"
        await asyncio.sleep(1.2)
        with pytest.raises(httpx2.ConnectError):
            httpx2.get(f"{server.url}/healthz")
        assert not slow.done()
        assert (await slow).status_code == 200
    assert await asyncio.to_thread(server.process.wait, 10) == 0
    assert any("stopped" in line for line in server.lines)


async def test_a_request_that_outlives_the_shutdown_is_told_so(
    model_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VCODEC_SHUTDOWN_GRACE_S", "1")
    with serving(model_store, drain_delay_s=0) as server:
        async with httpx2.AsyncClient(base_url=server.url, timeout=20) as client:
            slow = asyncio.create_task(client.post("/compress", content=picture(size=(6000, 1))))
            await asyncio.sleep(0.3)
            server.process.send_signal(signal.SIGTERM)
            answer = await slow
        assert (answer.status_code, answer.json()["code"]) == (503, "draining")
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert "Retry-After" in answer.headers
        assert await asyncio.to_thread(server.process.wait, 10) == 0


def test_ctrl_c_stops_without_the_delay(model_store: Path) -> None:
    with serving(model_store, drain_delay_s=600) as server:
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(10) == 0


def test_malformed_http_gets_a_problem(server: ServerProcess) -> None:
    host, _, port = server.url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(b"GET / nonsense\r\n\r\n")
        answer = b"".join(iter(lambda: connection.recv(1000), b""))
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ")
    assert b"application/problem+json" in head
    problem = json.loads(body)
    assert set(problem) == {"type", "title", "status", "detail", "instance", "code", "request_id"}
    assert problem["code"] == "bad_input"
    assert f"x-request-id: {problem['request_id']}".encode() in head


def test_the_job_of_a_disconnected_caller_is_cancelled(server: ServerProcess) -> None:
    with pytest.raises(httpx2.ReadTimeout):
        httpx2.post(f"{server.url}/compress", content=SECONDS, timeout=0.3)
    line = 'vcodec_requests_cancelled_total{where="worker"} 1.0'
    wait_for(lambda: line in httpx2.get(f"{server.url}/metrics").text)
    wait_for(lambda: any("status=499" in line for line in server.lines))


def test_an_early_refusal_keeps_the_connection(server: ServerProcess) -> None:
    with httpx2.Client(base_url=server.url) as client:
        response = client.post("/compress", content=bytes(65 * 2**20))
        assert response.status_code == 413
        assert response.json()["actual"] == 65 * 2**20
        assert client.post("/compress", content=INSTANT).status_code == 200


def test_lines_may_be_json(model_store: Path) -> None:
    with serving(model_store, log_format="json") as server:
        httpx2.post(f"{server.url}/compress", content=INSTANT, headers={"X-Request-ID": "seven"})
        wait_for(lambda: any('"seven"' in line for line in server.lines))
    [line] = [json.loads(line) for line in server.lines if '"seven"' in line]
    assert line["event"] == "request"
    assert line["status"] == 200
    assert line["route"] == "/compress"
    assert all(json.loads(line) for line in server.lines)


def test_open_to_all_without_keys_is_warned_of(server: ServerProcess, model_store: Path) -> None:
    with serving(model_store, host="0.0.0.0") as open_server:
        assert sum("open_to_all" in line and "VCODEC_API_KEYS_FILE" in line for line in open_server.lines) == 1
    assert not any("open_to_all" in line for line in server.lines)


def test_answers_do_not_wait_for_acknowledgements() -> None:
    with listen("127.0.0.1", 0) as listener:
        assert listener.proto == socket.IPPROTO_TCP, "or asyncio leaves Nagle's algorithm on"


def test_an_address_in_use_is_the_first_thing_said(model_store: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match=f"cannot listen on 127.0.0.1:{port}"):
            run(Settings.load(model_store=model_store, port=port))


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak of memory is read from /proc")
def test_unread_answers_are_bounded_and_other_requests_are_served(model_store: Path) -> None:
    image = jpeg_of(7000)  # 50 million pixels: a BMP of 147 MB
    head = f"POST /decompress HTTP/1.1\r\nHost: x\r\nAccept: image/bmp\r\nContent-Length: {len(image)}\r\n\r\n"
    with serving(model_store, codec=LARGE) as server, contextlib.ExitStack() as stack:
        before = peak_bytes(server.process.pid)
        host, port = server.url.removeprefix("http://").split(":")
        callers = [stack.enter_context(socket.create_connection((host, int(port)), timeout=30)) for _ in range(8)]
        for caller in callers:
            caller.sendall(head.encode() + image)
        statuses = [caller.recv(12) for caller in callers]
        assert statuses.count(b"HTTP/1.1 200") == 1
        assert statuses.count(b"HTTP/1.1 503") == 7
        for _ in range(5):
            answer = httpx2.post(f"{server.url}/decompress", content=jpeg_of(1000), timeout=30)
            assert (answer.status_code, len(answer.content)) == (200, 3_000_000)
        assert peak_bytes(server.process.pid) - before < 450e6


def jpeg_of(side: int) -> bytes:
    file = io.BytesIO()
    Image.new("L", (side, side), 128).save(file, "JPEG")
    return file.getvalue()


def peak_bytes(process_id: int) -> int:
    """Peak of a process's resident memory."""
    [line] = re.findall(r"^VmHWM:\s+(\d+) kB$", Path(f"/proc/{process_id}/status").read_text(), re.MULTILINE)
    return 1024 * int(line)
