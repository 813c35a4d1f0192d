"""Malformed HTTP on a socket: whatever is said, answers are well-formed, end in time, and are no server errors."""

from __future__ import annotations

import contextlib
import re
import socket
import time
from collections.abc import Callable
from random import Random
from typing import Final

from tests.fuzz.mutate import mutate
from tests.fuzz.seeds import seeds
from tests.fuzz.targets import Finding

_PATIENCE_S: Final = 30.0
_STATUS: Final = re.compile(rb"^HTTP/1\.1 ([0-9]{3}) ")

Speech = list[bytes]  # what is sent, piece by piece; each answer is read between pieces as far as it comes


def converse(address: tuple[str, int], speech: Speech, random: Random) -> bytes:
    """Say it all, however the server takes it, and hear it out. Raises `Finding` when it does not hang up in time."""
    with socket.create_connection(address, timeout=_PATIENCE_S) as connection:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            for piece in speech:
                connection.sendall(piece)
                if random.random() < 0.1:
                    time.sleep(0.01)
            if random.random() < 0.15:
                return b""  # gone without listening
            with contextlib.suppress(OSError):  # the server may have hung up
                connection.shutdown(socket.SHUT_WR)
        heard = b""
        try:
            while chunk := connection.recv(1 << 16):
                heard += chunk
        except ConnectionResetError:
            pass
        except TimeoutError:
            raise Finding(f"no end after {_PATIENCE_S} s; heard {heard[:200]!r}") from None
    return heard


def check_answers(heard: bytes) -> list[int]:
    """The statuses of the answers. Raises `Finding` for a server error, or what is no answer."""
    statuses = []
    while heard:
        found = _STATUS.match(heard)
        if found is None:
            raise Finding(f"no status line: {heard[:100]!r}")
        statuses.append(int(found[1]))
        head, separator, rest = heard.partition(b"\r\n\r\n")
        length = re.search(rb"(?i)\r\ncontent-length: *([0-9]+)", head)
        if statuses[-1] == 100:
            heard = rest
            continue
        if not separator or length is None:
            raise Finding(f"an answer without a length: {head[:300]!r}")
        if statuses[-1] >= 500 and statuses[-1] not in (503, 504):
            raise Finding(f"a server error: {heard[:600]!r}")
        # An answer to HEAD tells a length too, but what follows is the next answer.
        heard = rest if rest.startswith(b"HTTP/1.1 ") else rest[int(length[1]) :]
    return statuses


def speech(random: Random) -> Speech:
    """Something to say, more or less wrong."""
    return random.choice(_SPEECHES)(random)


def _file(random: Random) -> bytes:
    file = random.choice(sorted(seeds().values()))
    return mutate(file, random) if random.random() < 0.5 else file


def _head(random: Random, *lines: bytes) -> bytes:
    method = random.choice((b"POST", b"POST", b"POST", b"GET", b"HEAD", b"PUT", b"OPTIONS", b"post", b"X" * 300))
    path = random.choice(
        (b"/compress", b"/decompress", b"/compress?effort=0", b"/", b"/healthz", b"/models/x", b"*", b"//x", b"/%00%ff")
    )
    version = random.choice((b"HTTP/1.1", b"HTTP/1.1", b"HTTP/1.1", b"HTTP/1.0", b"HTTP/9.9", b"HTTX", b""))
    extra = random.choice(
        (
            b"",
            b"Connection: close",
            b"Expect: 100-continue",
            b"Accept: image/*;q=x,,;",
            b"X-Request-ID: \xff",
            b"Request-Timeout-Ms: 1",
        )
    )
    named = [line for line in (b"Host: x", extra, *lines) if line]
    return b"\r\n".join((b" ".join((method, path, version)), *named, b"", b""))


def _plain(random: Random) -> Speech:
    body = _file(random)
    length = random.choice((len(body), len(body), len(body), 0, len(body) + 5, max(0, len(body) - 5), 10**12, 2**63))
    return [_head(random, b"Content-Length: %d" % length), body]


def _damaged(random: Random) -> Speech:
    return [mutate(b"".join(_plain(random)), random)]


def _pipelined(random: Random) -> Speech:
    return [b"".join(b"".join(_plain(random)) for _ in range(random.choice((2, 5, 20))))]


def _chunked(random: Random) -> Speech:
    body = _file(random)
    step = random.choice((1, 7, 100, 10_000))
    pieces = [
        _head(
            random,
            b"Transfer-Encoding: " + random.choice((b"chunked", b"Chunked", b"gzip, chunked", b"chunked, chunked")),
        )
    ]
    for start in range(0, len(body), step):
        chunk = body[start : start + step]
        size = random.choice(
            (b"%x" % len(chunk),) * 20 + (b"-1", b"0", b"ffffffffffffffff", b"zz", b"%x" % (len(chunk) + 3))
        )
        pieces.append(size + random.choice((b"", b"", b";name=value", b";" + b"e" * 3000)) + b"\r\n" + chunk + b"\r\n")
    return [*pieces, random.choice((b"0\r\n\r\n", b"0\r\nTrailer: x\r\n\r\n", b"0\r\n" + b"T: t\r\n" * 5000, b""))]


def _two_lengths(random: Random) -> Speech:
    body = _file(random)
    lengths = random.choice(
        (
            (b"Content-Length: %d" % len(body), b"Transfer-Encoding: chunked"),
            (b"Content-Length: %d" % len(body), b"Content-Length: 3"),
            (b"Content-Length: +5",),
            (b"Content-Length : 5",),
        )
    )
    return [_head(random, *lengths), body]


def _long_head(random: Random) -> Speech:
    lines = [
        b"X-%d: %s" % (number, b"v" * random.choice((1, 100))) for number in range(random.choice((10, 1000, 5000)))
    ]
    return [_head(random, *lines)]


def _in_drops(random: Random) -> Speech:
    said = b"".join(_plain(random))
    return [said[start : start + 3] for start in range(0, min(len(said), 600), 3)]


def _form(random: Random) -> Speech:
    file = _file(random)
    field = b'--b\r\nContent-Disposition: form-data; name="effort"\r\n\r\n0\r\n'
    part = (
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\nContent-Type: x/y\r\n\r\n'
        + file
        + b"\r\n"
    )
    body = b"".join(random.choice(((part,), (field, part), (part, field), (part, part), (field,) * 20 + (part,), ())))
    body += random.choice((b"--b--\r\n", b"--b--", b"", b"--b\r\n"))
    if random.random() < 0.6:
        body = mutate(body, random)
    charset = random.choice(
        (b"", b"; charset=undefined", b"; charset=idna", b"; charset=utf-16", b"; charset=unicode_escape")
    )
    kind = b"Content-Type: multipart/form-data; boundary=b" + charset
    return [_head(random, kind, b"Content-Length: %d" % len(body)), body]


def _noise(random: Random) -> Speech:
    return [random.randbytes(random.choice((1, 50, 5000)))]


_SPEECHES: Final[tuple[Callable[[Random], Speech], ...]] = (
    *(_plain, _damaged, _pipelined, _chunked, _two_lengths, _long_head, _in_drops, _form, _form, _noise),
)
