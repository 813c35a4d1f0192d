"""Answers of nginx's own, by a real nginx with the configuration of docker/, before a replica that answers as told."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT
from virtual_codec.api.problems import PROBLEMS

pytestmark = pytest.mark.skipif(shutil.which("nginx") is None, reason="there is no nginx")

HEAD = "Host: x\r\nConnection: close\r\n"
MAX_BODY = 1000


class Replica:
    """Server that answers /NUMBER with that status, and /close and /slow with none."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connected, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(connected,), daemon=True).start()

    def _answer(self, connected: socket.socket) -> None:
        with connected:
            path = connected.recv(65_536).decode().split(" ")[1]
            if path == "/slow":
                time.sleep(2)
            if path in ("/close", "/slow"):
                return
            head = f"HTTP/1.1 {path[1:4]} Told\r\nContent-Type: text/x-own\r\nContent-Length: 3\r\nConnection: close"
            connected.sendall(f"{head}\r\n\r\nown".encode())


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    folder = tmp_path_factory.mktemp("nginx")
    with socket.create_server(("127.0.0.1", 0)) as free:
        number: int = free.getsockname()[1]
    replica = Replica()
    with closing(replica.listener):
        _write_configuration(folder, number, replica.port)
        command = ["nginx", "-p", str(folder), "-c", str(folder / "nginx.conf"), "-g", "daemon off;"]
        with (folder / "log").open("wb") as log:
            nginx = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            _wait_for(number, nginx, folder)
            yield number
        finally:
            nginx.terminate()
            nginx.wait()


def _write_configuration(folder: Path, number: int, replica: int) -> None:
    """Write the configuration of docker/ with names, ports and folders of this machine."""
    template = (ROOT / "docker" / "nginx" / "service.conf.template").read_text(encoding="utf-8")
    changes = {
        "${VCODEC_MAX_BODY_BYTES}": str(MAX_BODY),
        "${PROXY_READ_TIMEOUT}": "1s",
        "listen 8080;": f"listen 127.0.0.1:{number};",
        "set $replicas service;": "set $replicas 127.0.0.1;",
        "$replicas:8000;": f"$replicas:{replica};",
        "/dev/stdout": str(folder / "access.log"),
    }
    main = (ROOT / "docker" / "nginx" / "nginx.conf").read_text(encoding="utf-8")
    changes_of_main = {
        " /tmp/": f" {folder}/",
        "/etc/nginx/conf.d/*.conf": str(folder / "service.conf"),
        "/dev/stderr": str(folder / "error.log"),
    }
    for text, new in changes.items():
        assert text in template
        template = template.replace(text, new)
    for text, new in changes_of_main.items():
        assert text in main
        main = main.replace(text, new)
    (folder / "service.conf").write_text(re.sub(r"resolver 127[^;]+;", "", template))
    (folder / "nginx.conf").write_text(("user root;\n" if os.geteuid() == 0 else "") + main)


def _wait_for(number: int, nginx: subprocess.Popen[bytes], folder: Path) -> None:
    end = time.monotonic() + 20
    while True:
        try:
            socket.create_connection(("127.0.0.1", number)).close()
        except OSError:
            assert nginx.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < end
            time.sleep(0.05)
        else:
            return


def ask(port: int, request: str) -> tuple[int, dict[str, str], bytes]:
    """Status, headers by lower-case name, and body of an answer."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connected:
        connected.sendall(request.encode())
        answer = b""
        while piece := connected.recv(65_536):
            answer += piece
    head, _, body = answer.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    return int(first.split(" ")[1]), headers, body


def problem(port: int, request: str) -> tuple[dict[str, Any], dict[str, str]]:
    """Problem document that answers a request, checked as far as all are alike, and the headers."""
    status, headers, body = ask(port, request)
    assert headers["content-type"] == "application/problem+json"
    found: dict[str, Any] = json.loads(body)
    known = PROBLEMS[found["code"]]
    assert (status, found["status"], found["title"]) == (known.status, known.status, known.title)
    assert found["type"] == f"/problems/{found['code']}"
    assert found["request_id"] == headers["x-request-id"]
    assert found["detail"]
    return found, headers


@pytest.mark.parametrize(
    "request_text",
    [
        "\x16\x03\x01 no HTTP\r\n\r\n",
        f"get / HTTP/1.1\r\n{HEAD}\r\n",
        f"CONNECT x:1 HTTP/1.1\r\n{HEAD}\r\n",
        f"OPTIONS * HTTP/1.1\r\n{HEAD}\r\n",
        f"GET /../../etc HTTP/1.1\r\n{HEAD}\r\n",
        f"GET / HTTP/3.0\r\n{HEAD}\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        f"GET /{'a' * 40_000} HTTP/1.1\r\n{HEAD}\r\n",
        f"GET / HTTP/1.1\r\n{HEAD}X: {'a' * 40_000}\r\n\r\n",
        f"POST /200 HTTP/1.1\r\n{HEAD}Transfer-Encoding: gzip\r\n\r\n",
        f"POST /200 HTTP/1.1\r\n{HEAD}Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        f"POST /200 HTTP/1.1\r\n{HEAD}Content-Length: -1\r\n\r\n",
    ],
    ids=lambda text: text[:24],
)
def test_a_malformed_request_gets_a_problem(port: int, request_text: str) -> None:
    found, _ = problem(port, request_text)
    assert found["code"] == "bad_input"


@pytest.mark.parametrize(("path", "methods"), [("/compress", "POST"), ("/", "GET, HEAD"), ("/models/x", "GET, HEAD")])
def test_a_method_that_nginx_refuses_is_a_problem_with_those_that_are_taken(port: int, path: str, methods: str) -> None:
    found, headers = problem(port, f"TRACE {path}?q=1 HTTP/1.1\r\n{HEAD}X-Request-ID: mine\r\n\r\n")
    assert (found["code"], found["instance"], found["request_id"]) == ("method_not_allowed", path, "mine")
    assert headers["allow"] == methods
    assert methods in found["detail"]


def test_bodies_replicas_and_paths_that_nginx_refuses_are_problems(port: int) -> None:
    found, headers = problem(port, f"POST /200 HTTP/1.1\r\n{HEAD}Content-Length: 2000\r\n\r\n")
    assert (found["code"], found["limit"], found["actual"]) == ("body_too_large", MAX_BODY, 2000)
    assert not {"allow", "retry-after"} & set(headers)
    assert problem(port, f"GET /metrics HTTP/1.1\r\n{HEAD}\r\n")[0]["code"] == "not_found"
    assert problem(port, f"GET /problem-of-nginx HTTP/1.1\r\n{HEAD}\r\n")[0]["code"] == "not_found"
    found, headers = problem(port, f"GET /close HTTP/1.1\r\n{HEAD}\r\n")
    assert (found["code"], headers["retry-after"]) == ("no_worker", "5")
    assert problem(port, f"GET /slow HTTP/1.1\r\n{HEAD}\r\n")[0]["code"] == "deadline_exceeded"


@pytest.mark.parametrize("status", [200, 400, 404, 405, 413, 500, 501, 504])
def test_answers_of_replicas_are_passed_on(port: int, status: int) -> None:
    found, headers, body = ask(port, f"GET /{status} HTTP/1.1\r\n{HEAD}\r\n")
    assert (found, headers["content-type"], body) == (status, "text/x-own", b"own")
