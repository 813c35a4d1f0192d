from __future__ import annotations

import json
import math
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import final

import pytest

from service.cli import main
from service.cli._load import Load, LoadReport, run_load


@final
class EchoServer(ThreadingHTTPServer):
    """Answers like the service, with the body reversed; every body of `b"no"` is turned away."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), EchoHandler)
        self.seen: list[tuple[str, str | None, bytes]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class EchoHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        assert isinstance(self.server, EchoServer)
        self.server.seen.append((self.path, self.headers["X-Api-Key"], body))
        time.sleep(0.005)
        self.send_response(503 if body == b"no" else 200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Vcodec-Size", "1000x500")
        self.send_header("Server-Timing", "decode;dur=1.5, queue;dur=0, device;dur=4.5")
        self.end_headers()
        self.wfile.write(body[::-1])

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's own name
        pass


@pytest.fixture
def server() -> Iterator[EchoServer]:
    with EchoServer() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_a_load_counts_answers_times_and_pixels(server: EchoServer) -> None:
    report = run_load(Load(url=server.url, path="/compress?quality=30", bodies=[b"ab"], clients=3, seconds=0.2))
    answers = len(report.latencies_s)
    assert report.statuses == {"200": answers}
    assert len(server.seen) == answers + 3  # one a client was not measured
    assert server.seen[0] == ("/compress?quality=30", None, b"ab")
    assert report.megapixels == pytest.approx(0.5 * answers)
    assert report.received_bytes == 2 * answers
    assert report.stages_ms == pytest.approx({"decode": 1.5, "queue": 0, "device": 4.5})
    assert 5 <= report.percentile_ms(50) <= report.percentile_ms(99) < 1000


def test_percentiles_are_by_nearest_rank() -> None:
    report = LoadReport(
        statuses={"200": 100},
        seconds=1.0,
        latencies_s=[number / 1000 for number in range(100, 0, -1)],
        megapixels=0,
        received_bytes=0,
        stages_ms={},
    )
    assert [report.percentile_ms(percent) for percent in (0, 1, 50, 99, 100)] == [1, 1, 50, 99, 100]
    empty = LoadReport(statuses={}, seconds=1.0, latencies_s=[], megapixels=0, received_bytes=0, stages_ms={})
    assert math.isnan(empty.percentile_ms(50))
    assert empty.as_dict()["latency_ms"] == {}


def test_bench_sends_the_files_that_are_named(
    server: EchoServer, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "a.png").write_bytes(b"one")
    (tmp_path / "b.png").write_bytes(b"two")
    files = [str(tmp_path / name) for name in ("a.png", "b.png")]
    flags = [
        "--url",
        server.url,
        "--clients",
        "2",
        "--seconds",
        "0.1",
        "--header",
        "X-API-Key: secret",
        "--json",
    ]
    assert main(["bench", *files, *flags, "--options", "effort=1"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert set(figures["statuses"]) == {"200"}
    assert figures["images_per_s"] > 1
    assert {(path, key) for path, key, _ in server.seen} == {("/compress?effort=1", "secret")}
    assert {body for _, _, body in server.seen} == {b"one", b"two"}


def test_a_load_of_streams_compresses_first(
    server: EchoServer, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "a.png").write_bytes(b"one")
    line = ["bench", str(tmp_path / "a.png"), "--task", "decompress", "--url", server.url, "--seconds", "0.1"]
    assert main(line) == 0
    assert {(path, body) for path, _, body in server.seen} == {("/compress", b"one"), ("/decompress", b"eno")}
    assert "images_per_s" in capsys.readouterr().out


def test_refusals_are_counted_and_make_it_fail(
    server: EchoServer, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "a.png").write_bytes(b"no")
    assert main(["bench", str(tmp_path / "a.png"), "--url", server.url, "--seconds", "0.1", "--json"]) == 1
    figures = json.loads(capsys.readouterr().out)
    assert set(figures["statuses"]) == {"503"}
    assert figures["images_per_s"] == 0


@pytest.mark.parametrize("url", ["ftp://there", "127.0.0.1:8000"])
def test_an_address_that_is_none_is_a_misuse(url: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"one")
    assert main(["bench", str(tmp_path / "a.png"), "--url", url]) == 2
    assert "not an http address" in capsys.readouterr().err
