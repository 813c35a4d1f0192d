"""Temporary server process for one load test."""

from __future__ import annotations

import contextlib
import http.client
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from virtual_codec.errors import NoWorker

_START_LIMIT_S: Final = 180.0  # includes compilation at the first use
_STOP_LIMIT_S: Final = 60.0
QUIET: Final = {"VCODEC_LOG_LEVEL": "warning", "VCODEC_DRAIN_DELAY_S": "0"}
SERVE: Final = (sys.executable, "-m", "virtual_codec", "serve", "--host", "127.0.0.1", "--port")


@contextlib.contextmanager
def temporary_server(
    command: Sequence[str] = SERVE, *, ready: str = "/readyz", environment: Mapping[str, str] | None = None
) -> Iterator[tuple[str, int]]:
    """Start a server by `command` and a free port, and end it after the block; yields its URL and process id.

    The server is ready when GET `ready` answers 200. Its environment is that of this process, overridden by
    `environment`; `QUIET` holds defaults that keep request logs and the drain delay out of the measurement. Raises
    `NoWorker` if the server does not become ready.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen(
        [*command, str(port)],
        stdin=subprocess.DEVNULL,
        stdout=sys.stderr,
        env={**QUIET, **os.environ, **(environment or {})},
    )
    try:
        _wait_until_ready(server, port, ready)
        yield f"http://127.0.0.1:{port}", server.pid
    finally:
        server.terminate()
        try:
            server.wait(_STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _wait_until_ready(server: subprocess.Popen[bytes], port: int, path: str) -> None:
    end = time.monotonic() + _START_LIMIT_S
    while time.monotonic() < end:
        if server.poll() is not None:
            raise NoWorker(f"the server ended with status {server.returncode}; its output is above")
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        with contextlib.suppress(OSError, http.client.HTTPException), contextlib.closing(connection):
            connection.request("GET", path)
            if connection.getresponse().status == 200:
                return
        time.sleep(0.2)
    raise NoWorker(f"the server was not ready within {_START_LIMIT_S:g} seconds")
