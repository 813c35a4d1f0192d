"""Misbehaving clients: they disconnect early, or send and read a byte at a time."""

from __future__ import annotations

import contextlib
import random
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final
from urllib.parse import urlsplit

from benchmarks.reliability._server import ServerUnderTest
from virtual_codec.load_test import Request

_LIMIT_S: Final = 60.0
_INTERVAL_S: Final = 0.15  # between connections, so that their jobs are not an overload too


def disconnect_early(
    subject: ServerUnderTest, requests: Sequence[Request], rate_per_s: float, stop: threading.Event
) -> Counter[str]:
    """Send requests and disconnect: in the head, in the body, or while the answer is being made."""
    generator = random.Random(0)  # noqa: S311 - timing, not secrets
    done: Counter[str] = Counter()
    number = 0
    while not stop.wait(generator.expovariate(rate_per_s)):
        request = requests[number % len(requests)]
        head, body = _head(request), request.content
        where = ("in the head", "in the body", "before the answer")[number % 3]
        sent = {"in the head": head[: len(head) // 2], "in the body": head + body[: len(body) // 2]}.get(
            where, head + body
        )
        number += 1
        with contextlib.suppress(OSError), _connect(subject) as connection:
            connection.sendall(sent)
            time.sleep(generator.uniform(0, 0.05))
            if number % 2:  # end with a reset
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            done[where] += 1
    return done


def open_slow_connections(
    subject: ServerUnderTest, request: Request, count: int, stop: threading.Event
) -> Counter[str]:
    """Open connections that send heads and bodies, or read answers, far too slowly; returns how they ended."""
    ends: Counter[str] = Counter()
    lock = threading.Lock()
    ways: list[tuple[str, Callable[[socket.socket], str]]] = [
        ("a head", lambda connection: _send_slowly(connection, _head(request), stop)),
        ("a body", lambda connection: _send_slowly(connection, request.content, stop, before=_head(request))),
        ("reading", lambda connection: _read_slowly(connection, _head(request) + request.content, stop)),
    ]

    def one(number: int) -> None:
        name, way = ways[number % len(ways)]
        if stop.wait(number * _INTERVAL_S):
            return
        try:
            with _connect(subject) as connection:
                end = way(connection)
        except OSError as error:
            end = type(error).__name__
        with lock:
            ends[f"{name}: {end}"] += 1

    threads = [threading.Thread(target=one, args=(number,), daemon=True) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return ends


def _send_slowly(connection: socket.socket, content: bytes, stop: threading.Event, *, before: bytes = b"") -> str:
    connection.sendall(before)
    connection.settimeout(0.01)
    for place in range(len(content)):
        connection.send(content[place : place + 1])
        with contextlib.suppress(TimeoutError):
            return _status(connection.recv(100))
        if stop.wait(0.5):
            return "still served when it ended"
    return "sent"


def _read_slowly(connection: socket.socket, content: bytes, stop: threading.Event) -> str:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.sendall(content)
    first = connection.recv(100)
    while connection.recv(64):
        if stop.wait(0.2):
            return "still served when it ended"
    return _status(first)


def _status(answer: bytes) -> str:
    return answer.split(b" ")[1].decode() if answer.startswith(b"HTTP/1.1 ") else "hung up on"


def _connect(subject: ServerUnderTest) -> socket.socket:
    address = urlsplit(subject.url)
    return socket.create_connection((str(address.hostname), address.port), timeout=_LIMIT_S)


def _head(request: Request) -> bytes:
    lines = (f"POST {request.path} HTTP/1.1", "Host: x", f"Content-Length: {len(request.content)}", "Connection: close")
    return "\r\n".join((*lines, "", "")).encode()
