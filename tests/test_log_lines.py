"""What the log of a running service tells, and what it never does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import httpx2
import pytest

from tests.api.pretend import write_store
from tests.pictures import saved, scene
from tests.server_process import ServerProcess, started, wait_for, wait_until_ready
from virtual_codec.keys import new_key

SCRIPT = """
import pathlib, sys
from virtual_codec.api.server import run
from virtual_codec.serving import PoolPolicy, open_pool
from virtual_codec.settings import Settings
policy = PoolPolicy(devices="cpu", threads=1, standby="off", stop_grace_s=1, hang_grace_s=1)
pool = open_pool("local", {}, policy, worker_factory="tests.talkative_codec:open_talkative")
run(Settings.load(model_store=pathlib.Path(sys.argv[1]), port=0, drain_delay_s=0), pool)
"""
PICTURE = saved(scene(20, 30))
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SECRET, KEY = new_key("alice")


class Server(ServerProcess):
    """A server with JSON lines, since nobody looks at a terminal, and with a key."""

    def about(self, request_id: str) -> list[dict[str, object]]:
        return [line for line in self.records if line.get("request_id") == request_id]

    def post(self, path: str, request_id: str, **more: object) -> httpx2.Response:
        headers = {"X-Request-ID": request_id, "Authorization": f"Bearer {SECRET}", **more.pop("headers", {})}  # type: ignore[dict-item]  # a test's own
        return httpx2.post(f"{self.url}{path}", headers=headers, timeout=60, **more)  # type: ignore[arg-type]  # as above


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    environment = os.environ | {"VCODEC_API_KEYS": KEY.entry, "VCODEC_PROT": "canary"}
    command = [sys.executable, "-c", SCRIPT, str(write_store(tmp_path_factory.mktemp("store")))]
    with started(Server, command, environment=environment, stop=_interrupt) as running:
        wait_until_ready(running)
        yield running


def _interrupt(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGINT)


def test_a_request_is_one_line_with_all_there_is_to_know(server: Server) -> None:
    headers = {"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}
    response = server.post("/compress?quality=40", "whole", content=PICTURE, headers=headers)
    assert response.status_code == 200
    wait_for(lambda: [it for it in server.about("whole") if it["event"] == "request"])
    [line] = [it for it in server.about("whole") if it["event"] == "request"]
    assert line["level"] == "info"
    expected = {"method": "POST", "route": "/compress", "status": 200, "trace_id": TRACE, "key": "alice"}
    expected |= {"pixels": 600, "size": "30x20", "worker": "cpu/0", "model": "0badf00d", "scale": 1}
    assert {name: line[name] for name in expected} == expected
    assert line["received_bytes"] == len(PICTURE)
    assert line["sent_bytes"] == len(response.content)
    assert {"ms", "bpp", "queue_ms", "decode_ms"} <= line.keys()


def test_log_lines_of_a_worker_have_the_fields_of_their_request(server: Server) -> None:
    headers = {"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}
    assert server.post("/compress", "inside", content=PICTURE, headers=headers).status_code == 200
    wait_for(lambda: any(it["event"] == "working" for it in server.about("inside")))
    [line] = [it for it in server.about("inside") if it["event"] == "working"]
    assert (line["worker"], line["trace_id"], line["pixels"]) == ("cpu/0", TRACE, 600)
    assert line["logger"] == "virtual_codec.talkative"


def test_log_lines_of_failed_requests_have_status_and_code(server: Server) -> None:
    slow = server.post("/compress", "slow", content=saved(scene(20, 31)), headers={"Request-Timeout-Ms": "1"})
    assert slow.status_code == 504
    wait_for(lambda: any(it["event"] == "request" for it in server.about("slow")))
    late = next(it for it in server.about("slow") if it["event"] == "request")
    assert (late["level"], late["status"], late["code"]) == ("warning", 504, "deadline_exceeded")
    assert server.post("/compress", "refused", content=saved(scene(20, 32))).status_code == 422
    wait_for(lambda: any(it["event"] == "request" for it in server.about("refused")))
    refused = next(it for it in server.about("refused") if it["event"] == "request")
    assert (refused["level"], refused["code"], refused["worker"]) == ("info", "undecodable_image", "cpu/0")


def test_an_unknown_setting_is_reported_by_name_only(server: Server) -> None:
    [line] = [it for it in server.records if it.get("variable") == "VCODEC_PROT"]
    assert (line["event"], line["did_you_mean"]) == ("unknown_setting", "VCODEC_PORT")


def test_nothing_that_callers_write_is_in_the_log(server: Server) -> None:
    canary = "canary"
    form = {"file": (f"{canary}.png", PICTURE, f"image/{canary}")}
    server.post("/compress", "form", files=form, data={canary: canary})
    server.post("/compress", "form-2", files=form, data={"quality": "50"})
    server.post(f"/compress?{canary}={canary}", "query", content=PICTURE)
    server.post(f"/{canary}", "path", content=PICTURE, headers={"User-Agent": canary, "Cookie": canary})
    server.post("/compress", "body", content=canary.encode() * 100)
    server.post("/compress", f"{canary} that is no id", content=PICTURE)
    server.post("/compress", "key", content=PICTURE, headers={"Authorization": f"Bearer {canary}"})
    server.post("/compress", "trace", content=PICTURE, headers={"traceparent": canary, "tracestate": canary})
    server.post("/compress", "crash", content=saved(scene(20, 33)))
    httpx2.request(canary.upper(), f"{server.url}/compress", headers={"X-Request-ID": "method"})
    httpx2.get(f"{server.url}/models/{canary}", headers={"X-Request-ID": "model", "Authorization": f"Bearer {SECRET}"})
    httpx2.get(f"{server.url}/problems/{canary}", headers={"X-Request-ID": "last"})
    wait_for(lambda: server.about("last"))
    text = "".join(server.lines)
    assert canary not in text.lower().replace("event=canary", "")
    assert SECRET not in text
    for request_id in ("form", "form-2", "query", "path", "body", "key", "trace", "crash", "method", "model", "last"):
        assert any(it["event"] == "request" for it in server.about(request_id)), request_id
    assert any(it["event"] == "job_broke" for it in server.about("crash"))
    assert PICTURE[:8].decode("latin-1") not in text
    assert all(len(line) < 8000 for line in server.lines)
