"""`vcodec bench`: how many images a second a server answers, and how soon."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import http.client
import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from service.cli._load import Load, LoadReport, connect, request, run_load
from service.cli._open import OpenCodec
from service.cli._verb import Misuse, Verb, positive, positive_seconds
from service.errors import NoWorker

_START_LIMIT_S = 180.0  # compiling on first use included
_STOP_LIMIT_S = 60.0


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "inputs",
        nargs="*",
        type=Path,
        metavar="IN",
        help="images to send in turn (default: one made up, 768x512)",
    )
    parser.add_argument("--url", help="a running server (default: one of its own, for as long as it takes)")
    parser.add_argument("--task", choices=("compress", "decompress"), default="compress")
    parser.add_argument("--clients", type=positive, default=4, metavar="N", help="requests at once (default 4)")
    parser.add_argument("--seconds", type=positive_seconds, default=15.0, metavar="S", help="(default 15)")
    parser.add_argument(
        "--options", default="", metavar="QUERY", help="of the requests, as in a URL: quality=30&effort=1"
    )
    parser.add_argument(
        "--header", action="append", default=[], metavar="NAME:VALUE", help="sent along; may be repeated"
    )
    parser.add_argument("--json", action="store_true", help="print the figures as one JSON line")


def _run(arguments: argparse.Namespace, _open_codec: OpenCodec) -> int:
    images = [path.read_bytes() for path in arguments.inputs] or [_made_up_picture()]
    headers = dict(_header(text) for text in arguments.header)
    with contextlib.nullcontext(arguments.url) if arguments.url else _own_server() as url:
        compress = Load(
            url=url,
            path=f"/compress?{arguments.options}" if arguments.options else "/compress",
            bodies=images,
            clients=arguments.clients,
            seconds=arguments.seconds,
            headers=headers,
        )
        try:
            connect(compress).close()
        except ValueError as error:
            raise Misuse(str(error)) from error
        load = compress
        if arguments.task == "decompress":
            load = dataclasses.replace(compress, path="/decompress", bodies=_streams(compress))
        report = run_load(load)
    print(json.dumps(report.as_dict()) if arguments.json else _table(report))
    return 0 if set(report.statuses) == {"200"} else 1


def _streams(load: Load) -> Sequence[bytes]:
    connection = connect(load)
    answers = [request(connection, load, body) for body in load.bodies]
    connection.close()
    for status, _, content in answers:
        if status != "200":
            raise Misuse(f"a picture could not be compressed ({status}): {content[:500].decode(errors='replace')}")
    return [content for _, _, content in answers]


def _table(report: LoadReport) -> str:
    rows: list[tuple[str, str]] = []
    for name, value in report.as_dict().items():
        if isinstance(value, dict):
            rows.append((name, "  ".join(f"{key} {number}" for key, number in value.items()) or "-"))
        else:
            rows.append((name, str(value)))
    return "\n".join(f"{name:<18}{value}" for name, value in rows)


@contextlib.contextmanager
def _own_server() -> Iterator[str]:
    """A server on a free port of this machine, ready, and ended afterwards."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "service", "serve", "--host", "127.0.0.1", "--port", str(port)]
    server = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=sys.stderr)
    try:
        _wait_until_ready(server, port)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        try:
            server.wait(_STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _wait_until_ready(server: subprocess.Popen[bytes], port: int) -> None:
    end = time.monotonic() + _START_LIMIT_S
    while time.monotonic() < end:
        if server.poll() is not None:
            raise NoWorker(f"the server ended with status {server.returncode}; what it said stands above")
        with contextlib.suppress(OSError, http.client.HTTPException):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            connection.request("GET", "/readyz")
            if connection.getresponse().status == 200:
                return
        time.sleep(0.2)
    raise NoWorker(f"the server was not ready within {_START_LIMIT_S:g} seconds")


def _made_up_picture() -> bytes:
    """Smooth shapes with texture on them, always the same: PNG, 768x512."""
    import numpy as np

    from service.images import encode

    generator = np.random.default_rng(0)
    picture = np.full((512, 768, 3), 128.0)
    for side in (256, 128, 64, 32, 16, 8, 4, 2):
        cells = generator.normal(0.0, 1.0, (512 // side + 2, 768 // side + 2, 3)) * 4 * side**0.4
        rows, columns = np.arange(512) / side, np.arange(768) / side
        top, left = rows.astype(int), columns.astype(int)
        down, right = (rows - top)[:, None, None], (columns - left)[None, :, None]
        upper = cells[top][:, left] * (1 - right) + cells[top][:, left + 1] * right
        lower = cells[top + 1][:, left] * (1 - right) + cells[top + 1][:, left + 1] * right
        picture += upper * (1 - down) + lower * down
    return encode(np.clip(picture, 0, 255).astype(np.uint8), "png")


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not name.strip():
        raise Misuse(f"a header is NAME:VALUE, got {text!r}")
    return name.strip(), value.strip()


VERB: Final = Verb(summary="load a server and time its answers", add_arguments=_add_arguments, run=_run)
